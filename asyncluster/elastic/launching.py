"""Nodes to begin: up to least, on request, and for work that waits; each with its one cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from asyncluster.elastic import limits
from asyncluster.elastic.actions import Action, Do, Reason
from asyncluster.elastic.bins import Room, Source
from asyncluster.elastic.machine import REQUEST, REQUESTED_BY
from asyncluster.elastic.match import flavor
from asyncluster.elastic.packing import Packer
from asyncluster.elastic.records import STARTING, STAYING, Life, NodeRecord, PoolRecord, called_back
from asyncluster.elastic.serving import Supply
from asyncluster.elastic.situation import Situation
from asyncluster.model.supply import Pool
from asyncluster.units import count as many

_UNLEARNED = "begins none before its cloud has said what a node of it has"


def tally(records: Iterable[NodeRecord]) -> limits.Tally:
    """Count a pool's nodes."""
    everything = starting = pending = staying = 0
    for record in records:
        everything += 1
        starting += record.life in STARTING
        pending += record.life is Life.INTENDED or (record.life is Life.LAUNCHING and record.started is None)
        staying += record.life in STAYING or called_back(record)
    return limits.Tally(everything, starting, pending, staying)


def unlisted(situation: Situation, pool: str) -> str:
    """'' if the pool's cloud is known well enough to begin nodes there, else why not."""
    if situation.listing(pool) is not None:
        asked = any(each.name == pool and each.unknown for each in situation.pools)
        fault = situation.unlearned.get(pool, "")
        return _UNLEARNED + (f", which it did not: {fault}" if fault else "") if asked else ""
    listing = situation.listings.get(pool)
    if listing is None:
        return "begins none before its cloud has said what it has"
    return f"begins none: its cloud has not answered for {situation.now - listing.seen:.0f} s"


def supplies(
    situation: Situation, pools: Mapping[str, PoolRecord], tallies: Mapping[str, limits.Tally], room: Room
) -> list[Supply]:
    """The pools, each with what it may begin by itself."""
    found = []
    for pool in situation.pools:
        record, has = pools[pool.name], flavor(pool, pools[pool.name])
        count = tallies[pool.name]
        most = limits.room(
            pool, record, count, situation.modes, situation.options, unlisted(situation, pool.name), situation.now
        )
        shelf = room.shelf(Source.NEW, pool)
        found.append(Supply(pool, has, record.lacks, most, count.all, most.count, shelf))
    return found


def in_advance(
    situation: Situation,
    packer: Packer,
    supplies: list[Supply],
    pools: dict[str, PoolRecord],
    tallies: Mapping[str, limits.Tally],
) -> None:
    """Begin what is needed whatever waits: what was requested, and each pool's least."""
    for supply in supplies:
        name, pool = supply.pool.name, supply.pool
        count, record = tallies[name], pools[name]
        listed = unlisted(situation, name)
        asked = limits.room(
            pool, record, count, situation.modes, situation.options, listed, situation.now, requested=True
        ).count
        begun = 0
        while begun < min(asked, record.asked):
            packer.begin(supply, Reason(REQUEST, f"{REQUESTED_BY}{record.asked_by or 'a person'}"))
            begun += 1
        full = count.staying == count.all and count.all + begun >= pool.most
        if begun or (record.asked and full):  # what is asked of a pool at its most is forgotten
            left = 0 if full else record.asked - begun
            pools[name] = attrs.evolve(record, asked=left, asked_by=record.asked_by if left else "")
        while supply.left > 0 and count.staying + len(supply.begun) < pool.least:
            text = f"pool {name} has {count.staying + len(supply.begun)} of at least {many(pool.least, 'node')}"
            packer.begin(supply, Reason("least", text))


class Names:
    """Names for a pool's next nodes, which nothing that is known bears; `serials` are the numbers in them."""

    def __init__(self, pool: Pool, record: PoolRecord, taken: frozenset[str]) -> None:
        self._prefix = pool.prefix or f"{pool.name}-"
        self._taken = taken
        self._last = record.serial
        self.serials: list[int] = []

    def nth(self, number: int) -> str:
        """From 0; the same for the same number."""
        while len(self.serials) <= number:
            self._last += 1
            if f"{self._prefix}{self._last}" not in self._taken:
                self.serials.append(self._last)
        return f"{self._prefix}{self.serials[number]}"


def taken(situation: Situation, nodes: Mapping[str, NodeRecord]) -> frozenset[str]:
    """All names that the book, the scheduler or a cloud has."""
    names = set(nodes)
    if situation.demand is not None:
        names.update(node.name for node in situation.demand.nodes)
    for listing in situation.listings.values():
        names.update(instance.name for instance in listing.instances)
    return frozenset(names)


def intents(
    situation: Situation,
    supplies: list[Supply],
    nodes: dict[str, NodeRecord],
    pools: dict[str, PoolRecord],
    names: Mapping[str, Names],
) -> list[Action]:
    """The records of the nodes that are begun, and the actions; the records are to be kept first."""
    actions = []
    for supply in supplies:
        pool, now = supply.pool.name, situation.now
        for bin, reason in supply.begun:
            token = f"{situation.options.realm}-{situation.salt}-{bin.name}"
            nodes[bin.name] = NodeRecord(
                bin.name,
                pool,
                token,
                Life.INTENDED,
                now,
                now,
                cause=reason.text,
                doing=Do.LAUNCH.name,
                place=supply.pool.place,
            )
            actions.append(Action(Do.LAUNCH, bin.name, pool, reason.text, reason.rule))
        if supply.begun:
            pools[pool] = limits.spend(pools[pool], supply.pool, len(supply.begun), now)
            pools[pool] = attrs.evolve(pools[pool], serial=names[pool].serials[len(supply.begun) - 1])
    return actions
