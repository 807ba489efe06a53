"""The cloud's own list against the book: which instance is whose, and what nobody here ordered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.model.supply import Instance, InstanceState, Listing


@attrs.frozen
class Matched:
    """of: each record's instance, by the record's name; strays: records for what is ours and was in no record;
    reports: sentences about what is not ours."""

    of: Mapping[str, Instance]
    strays: tuple[NodeRecord, ...]
    reports: tuple[str, ...]


def is_ours(instance: Instance, realm: str) -> bool:
    """It bears our tag, and the tag is this realm's; a name that looks like ours proves nothing."""
    return instance.ours and instance.owner in {"", realm}


def match(
    listing: Listing, records: Iterable[NodeRecord], names: frozenset[str], realm: str, now: float, place: str = ""
) -> Matched:
    """records: of this pool, in this place; names: of all records there are; place: of the pool."""
    by_id: dict[str, NodeRecord] = {}
    unknown: dict[str, NodeRecord] = {}  # by token and by name, where the cloud's id is not known as yet
    for record in records:
        if record.instance:
            by_id[record.instance] = record
        else:
            unknown[record.token] = unknown[record.name] = record
    of: dict[str, Instance] = {}
    strays: list[NodeRecord] = []
    reports: list[str] = []
    used = set(names)
    for instance in listing.instances:
        if not is_ours(instance, realm):
            if instance.state is not InstanceState.GONE:  # a cloud may list for an hour what has ended
                reports.append(_report(instance, listing.pool))
            continue
        known = by_id.get(instance.id)
        if known is None and unknown:
            known = unknown.get(instance.token) if instance.token else unknown.get(instance.name)
            if known is not None and known.name in of:
                known = None  # made twice for one order
        if known is not None:
            of[known.name] = instance
            used.add(known.name)
        elif instance.state is not InstanceState.GONE:
            strays.append(_stray(instance, listing, used, now, place))
            used.add(strays[-1].name)
    return Matched(of, tuple(strays), tuple(reports))


def _report(instance: Instance, pool: str) -> str:
    if instance.ours:
        return f"{instance.name} ({instance.id}) in pool {pool} bears the tag of {instance.owner}: left alone"
    return f"{instance.name} ({instance.id}) in pool {pool} is named like ours and bears no tag: left alone"


def _stray(instance: Instance, listing: Listing, names: Collection[str], now: float, place: str) -> NodeRecord:
    name = instance.name or instance.id
    if name in names:
        name = f"{name}~{instance.id}"
    cause = f"listed by the cloud of {listing.pool} with our tag, and unknown to the book"
    return NodeRecord(
        name=name, pool=listing.pool, token=instance.token, life=Life.STRAY, since=now, ordered=now, cause=cause,
        instance=instance.id, address=instance.address, place=place,
    )  # fmt: skip
