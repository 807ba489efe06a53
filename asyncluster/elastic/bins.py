"""Room for work: what is free on nodes, on those that start, and on those that could be called back.

Bins that serve the same jobs stand on one shelf, by free cores, so that the fullest that fits is found at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from math import inf

import attrs

from asyncluster.elastic.match import flavor, who_may
from asyncluster.elastic.places import is_here
from asyncluster.elastic.records import STARTING, Life, NodeRecord, PoolMode, PoolRecord, Steer, Why, called_back
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchNode, Chunk
from asyncluster.model.node import WELL, NodeState
from asyncluster.model.supply import Flavor, Pool

_HELD = frozenset({NodeState.HELD, NodeState.HOLDING})

SETTLING = 120.0
"""Seconds that a node may take after it was enabled until its scheduler says that it is well."""


class Source(IntEnum):
    """Where room is, in the order in which it is used."""

    FREE = 0
    RECALL = 1  # it is held because nobody needed it
    STARTING = 2
    NEW = 3


@attrs.define(eq=False)
class Shelf:
    """Bins that serve the same jobs.

    pool: whose rules of launching hold, None = the scheduler has them; static: how many bins are no pool's.
    """

    source: Source
    queues: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    properties: frozenset[str] = frozenset()
    pool: Pool | None = None
    by_cores: dict[int, dict[Bin, None]] = attrs.Factory(dict)
    static: int = 0

    def add(self, bin: Bin) -> None:
        """Put a bin that has room where it belongs."""
        if bin.cores > 0:
            self.by_cores.setdefault(bin.cores, {})[bin] = None
            self.static += bin.static

    def drop(self, bin: Bin) -> None:
        """Take it away, before what is free in it changes."""
        bucket = self.by_cores.get(bin.cores)
        if bucket is not None and bin in bucket:
            del bucket[bin]
            self.static -= bin.static
            if not bucket:
                del self.by_cores[bin.cores]

    def is_open_to(self, queue: str, account: str, binds_queues: bool) -> bool:
        """Whether such jobs may be here at all, on nodes that the scheduler has."""
        return who_may(self.queues, self.accounts, binds_queues, queue, account)


@attrs.define(eq=False)
class Bin:
    """What is free on one node.

    memory: inf = not known; left: seconds it will be there; size: its cores when nothing is on it; wanted: by work.
    """

    name: str
    shelf: Shelf
    cores: int
    memory: float
    gpus: int
    left: float
    size: int
    static: bool = False  # no pool's
    wanted: bool = False

    def times(self, chunk: Chunk, walltime: float) -> int:
        """How many such chunks fit."""
        if walltime > self.left or (chunk.whole and self.cores < self.size):
            return 0
        count = min(self.cores // max(1, chunk.cores), 1 if chunk.whole else self.cores)
        if chunk.memory > 0:
            count = min(count, int(self.memory // chunk.memory) if self.memory < inf else count)
        return min(count, self.gpus // chunk.gpus) if chunk.gpus > 0 else count

    def take(self, cores: int, memory: float, gpus: int) -> None:
        """Use some of it."""
        self.shelf.drop(self)
        self.cores -= cores
        self.memory -= memory
        self.gpus -= gpus
        self.wanted = True
        self.shelf.add(self)


def fresh(name: str, shelf: Shelf, has: Flavor, lifetime: float) -> Bin:
    """A node with nothing on it."""
    return Bin(name, shelf, has.cores, has.memory or inf, has.gpus, lifetime or inf, has.cores)


class Room:
    """All bins of one situation; `of` finds that of a node by its name."""

    def __init__(self, situation: Situation, nodes: Mapping[str, NodeRecord], pools: Mapping[str, PoolRecord]) -> None:
        self.shelves: list[list[Shelf]] = [[], [], [], []]
        self.of: dict[str, Bin] = {}
        self._shelves: dict[object, Shelf] = {}
        self._pools = {pool.name: pool for pool in situation.pools}
        self._pool_records = pools
        seen = self._scheduler(situation, nodes)
        for record in nodes.values():
            if self._coming(record, seen.get(record.name), situation):
                pool = self._pools[record.pool]
                has = flavor(pool, pools[record.pool])
                self._put(fresh(record.name, self.shelf(Source.STARTING, pool), has, pool.lifetime))

    def shelf(self, source: Source, pool: Pool) -> Shelf:
        """That of nodes of a pool that are not there yet."""
        shelf = self._shelves.get((source, pool.name))
        if shelf is None:
            shelf = self._shelves[source, pool.name] = Shelf(source, pool=pool)
            self.shelves[source].append(shelf)
        return shelf

    def _put(self, bin: Bin) -> None:
        self.of[bin.name] = bin
        bin.shelf.add(bin)

    def _scheduler(self, situation: Situation, nodes: Mapping[str, NodeRecord]) -> Mapping[str, BatchNode]:
        demand = situation.demand
        if demand is None:
            return {}
        for node in demand.nodes:
            source = self._source(node, nodes.get(node.name), demand.seen)
            if source is None:
                continue
            queues, accounts = self._kept_for(node, nodes.get(node.name), situation.binds_queues)
            key = (source, queues, accounts, node.properties)
            shelf = self._shelves.get(key)
            if shelf is None:
                shelf = Shelf(source, queues, accounts, frozenset(node.properties))
                self._shelves[key] = shelf
                self.shelves[source].append(shelf)
            left = node.walltime - (situation.now - demand.seen) if node.walltime > 0.0 else inf
            memory = node.memory - node.memory_used if node.memory else inf
            self._put(
                Bin(
                    node.name,
                    shelf,
                    node.cores - node.used,
                    memory,
                    node.gpus - node.gpus_used,
                    left,
                    node.cores,
                    node.name not in nodes,
                )
            )
        return {node.name: node for node in demand.nodes}

    def _kept_for(
        self, node: BatchNode, record: NodeRecord | None, binds_queues: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Queues and accounts that a node serves: what its scheduler says, or what we had it kept for.

        Torque does not list what Maui keeps.  A scheduler whose queues name their nodes is believed: a node that none
        of them names serves none, whatever we asked for.
        """
        pool = None if record is None else self._pools.get(record.pool)
        if pool is None:
            return node.queues, node.accounts
        kept = pool.reservation
        queues = node.queues or ((kept.queue,) if kept.queue and not binds_queues else ())
        return queues, node.accounts or ((kept.account,) if kept.account else ())

    def _source(self, node: BatchNode, record: NodeRecord | None, seen: float) -> Source | None:
        """Whether there is room on a node that the scheduler shows."""
        if record is None:
            return Source.FREE if node.state in WELL else None
        if self._leaving(record):
            return None
        if record.life is Life.UP and seen > record.since:
            return Source.FREE if node.state in WELL else None
        if called_back(record):
            return Source.RECALL if node.state in _HELD | WELL else None
        if record.life is Life.HOLDING and record.why is Why.SURPLUS and not record.doing:
            return Source.RECALL if node.state in _HELD else None
        return None

    def _leaving(self, record: NodeRecord) -> bool:
        pool = self._pool_records.get(record.pool)
        gone = not is_here(record, self._pools) or pool is None or pool.mode is PoolMode.DRAINING
        return gone or record.steer is not Steer.NOTHING

    def _coming(self, record: NodeRecord, node: BatchNode | None, situation: Situation) -> bool:
        """Whether a node of ours will soon be there for work and is not as yet."""
        if self._leaving(record) or record.name in self.of:
            return False
        if record.life in STARTING:
            return True
        if record.life is not Life.UP:
            return False
        if situation.demand is None or situation.demand.seen <= record.since:
            return True
        unwell = node is None or node.state in {NodeState.ERROR, NodeState.STARTING}
        return unwell and situation.now - record.since < SETTLING
