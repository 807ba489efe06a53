"""Whether a node of the book is where its pool is: that may have been taken out of the file since, or been moved.

Another region, project or kind of cloud lists nothing of what is in the old one and finds nothing there, and both
would be taken for gone.  So a node knows its place, and where that is not the pool's nobody judges it or gives it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from asyncluster.elastic.records import NodeRecord
from asyncluster.model.supply import Listing, Pool


def is_here(record: NodeRecord, pools: Mapping[str, Pool]) -> bool:
    """Whether the cloud of its pool can be asked for it.  pools: those of the file, by name.

    What is written without a place, as by an earlier release, counts as here.
    """
    pool = pools.get(record.pool)
    return pool is not None and not (record.place and pool.place and record.place != pool.place)


def found(
    records: Iterable[NodeRecord], pools: Mapping[str, Pool], listing: Callable[[str], Listing | None]
) -> dict[str, NodeRecord]:
    """Records as they become whose pool's cloud lists them, by name: that is where they are, however it is written.

    So nothing is lost by a place that is only said in other words, such as a region that was the library's own choice.
    """
    by_pool: dict[str, list[NodeRecord]] = {}
    for record in records:
        if record.pool in pools and record.place != pools[record.pool].place:
            by_pool.setdefault(record.pool, []).append(record)
    here: dict[str, NodeRecord] = {}
    for name, some in by_pool.items():
        answer = listing(name)
        listed = (
            {(each.token, id) for each in answer.instances for id in (each.id, "") if each.ours} if answer else set()
        )
        for record in some:
            if record.token and (record.token, record.instance) in listed:
                here[record.name] = attrs.evolve(record, place=pools[name].place)
    return here


def reports(records: Iterable[NodeRecord], pools: Mapping[str, Pool]) -> list[str]:
    """A sentence for the nodes of each pool, and place, that nobody looks after."""
    left: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if not is_here(record, pools):
            left.setdefault((record.pool, record.place if record.pool in pools else ""), []).append(record.name)
    found = []
    for (name, place), names in sorted(left.items()):
        who = f"{', '.join(sorted(names))} of pool {name}"
        if place:
            now, back = pools[name].place, "move the pool back and drain it before you move it"
            what = f"{who} were launched in {place}, and the pool is in {now} now"
        else:
            what, back = f"{who}, which is not in asyncluster.yaml any more", "put the pool back and drain it before"
            back += " you take it out"
        found.append(f"{what}: nobody looks after them, and they may cost money; {back}")
    return found


def reason(record: NodeRecord, pools: Mapping[str, Pool]) -> str:
    """The same of one node."""
    pool = pools.get(record.pool)
    if pool is None:
        return f"its pool {record.pool} is not in the configuration: put it back to have the node looked after"
    return (
        f"it was launched in {record.place}, and its pool {pool.name} is in {pool.place} now: move the pool back to "
        "have the node looked after, and drain it before you move it"
    )


def refusal(record: NodeRecord, pools: Mapping[str, Pool]) -> str:
    """Why nothing can be done about it."""
    where = f", where it is {record.instance}" if record.instance else ""
    pool = pools.get(record.pool)
    if pool is None:
        return (
            f"{record.name} is of pool {record.pool}, which is not in asyncluster.yaml any more: nothing here reaches "
            f"its cloud{where}; put the pool back, start the master again, and say it then"
        )
    return (
        f"{record.name} was launched in {record.place}{where}, and its pool {pool.name} is in {pool.place} now: "
        "nothing here reaches it; move the pool back, start the master again, and say it then"
    )
