"""Which nodes nobody needs: all of them at once, but only when idle for long enough, and never below least."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import attrs

from asyncluster.elastic.bins import Bin
from asyncluster.elastic.machine import retire
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord, Why
from asyncluster.model.supply import Pool


def release(
    pool: Pool,
    records: Iterable[NodeRecord],
    bins: Mapping[str, Bin],
    spare: int,
    options: Options,
    now: float,
    known: Container[str] = (),
) -> list[NodeRecord]:
    """The records of a pool's nodes that change: some retire, of others it is noted since when nobody needs them.

    bins: after all work was placed, so that what is wanted is known; spare: how many the pool may lose; known: names
    that the scheduler lists.
    """
    changed: list[NodeRecord] = []
    ripe: list[tuple[float, NodeRecord, str]] = []
    for before in records:
        record, bin = before, bins.get(before.name)
        wanted = bin is not None and bin.wanted
        if record.life is Life.LAUNCHING and record.started is None:
            record = _unneeded(record, wanted, changed, now)
            since, limit, rule = record.idle_since, options.cancel_after, "its cloud has not begun it, and for"
        elif record.life is Life.UP:
            since, limit, rule = record.idle_since, options.max_idle_time, "idle for"
        else:
            continue
        if wanted or record.doing or since is None or now - since < limit:
            continue
        name = "max_idle_time" if record.life is Life.UP else "cancel_after"
        what = f"{rule} {now - since:.0f} s ({name} is {limit:.0f})"
        more = " and no work that waits has use for it" if record.life is Life.UP else " nobody has needed it"
        ripe.append((since, record, what + more))
    ripe.sort(key=lambda one: (one[0], one[1].name))
    for _, record, cause in ripe[: max(0, spare)]:
        changed.append(retire(record, Why.SURPLUS, cause, now, known=record.name in known))
    return changed


def _unneeded(record: NodeRecord, wanted: bool, changed: list[NodeRecord], now: float) -> NodeRecord:
    """Notes since when nobody has needed a node that its cloud has not begun."""
    if wanted == (record.idle_since is None):
        return record
    record = attrs.evolve(record, idle_since=None if wanted else now)
    changed.append(record)
    return record
