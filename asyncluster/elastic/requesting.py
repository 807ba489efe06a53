"""Nodes that are asked for, whatever waits: how many of them a pool can have, and what is told of it."""

from __future__ import annotations

import attrs

from asyncluster.elastic import launching, limits, places
from asyncluster.elastic.records import PoolMode, PoolRecord
from asyncluster.elastic.situation import Situation
from asyncluster.errors import RefusedError
from asyncluster.model.supply import Pool
from asyncluster.units import count as many


@attrs.frozen
class Promise:
    """What becomes of a request.  taken: of the nodes asked for, those that come, now or later; text: a sentence."""

    taken: int
    text: str


def request(situation: Situation, pool: Pool, count: int, by: str) -> tuple[PoolRecord, Promise]:
    """So many nodes more: the pool's record then, and what was promised; no more is than the pool may ever have.

    RefusedError: there can be none before somebody has done something about it.
    """
    record = situation.pool_records[pool.name]
    _refuse(record, count)
    here = {pool.name: pool}
    tally = launching.tally(node for node in situation.nodes.values() if places.is_here(node, here))
    taken = min(count, max(0, pool.most - tally.staying - record.asked))
    text = _told(situation, pool, record, tally, taken)
    if taken < count:
        earlier = f", {record.asked} more asked for before" if record.asked else ""
        others = f"{count - taken} are not begun, nor kept" if taken else "nothing is begun, nor kept"
        text += f"; {others}: it has {tally.staying} of at most {many(pool.most, 'node')}{earlier}"
    if taken:
        record = attrs.evolve(record, asked=record.asked + taken, asked_by=by)
    return record, Promise(taken, text)


def _refuse(record: PoolRecord, count: int) -> None:
    if count < 1:
        raise RefusedError(f"{count} nodes cannot be launched: ask for 1 or more")
    if record.mode is not PoolMode.OPEN:
        raise RefusedError(f"pool {record.name} is {record.mode.value} ({record.mode_cause}): restore it first")
    if record.stopped:
        raise RefusedError(f"pool {record.name} is stopped by its cloud: {record.stopped}; restore it first")


def _told(situation: Situation, pool: Pool, record: PoolRecord, tally: limits.Tally, taken: int) -> str:
    """Which of those that are taken are begun now, and what the others wait for."""
    if not taken:
        return f"pool {pool.name} can have no more nodes"
    room = limits.room(
        pool, limits.refill(record, pool, situation.now), tally, situation.modes, situation.options,
        launching.unlisted(situation, pool.name), situation.now, requested=True,
    )  # fmt: skip
    silence = situation.silence
    now = 0 if silence else max(0, min(taken, room.count - record.asked))
    if now == taken:
        return f"{many(taken, 'node')} more in pool {pool.name}"
    bound = f"it begins none while {silence}" if silence else f"it {room.text}"
    return f"{many(taken, 'node')} more in pool {pool.name}, {now} of them now and the rest when it can: {bound}"
