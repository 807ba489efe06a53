"""Which pools and which room could serve a job at all, and what is said where nothing can be done for it now.

A queue and an account decide it in one way, what is asked of a node in another: each is looked up once for all jobs
that are alike in it, however many kinds they make together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf

import attrs

from asyncluster.elastic import limits, words
from asyncluster.elastic.actions import Reason
from asyncluster.elastic.bins import Bin, Room, Shelf, Source
from asyncluster.elastic.demand import Shape
from asyncluster.elastic.match import kept_from, why_not
from asyncluster.model.batch import BatchNode, Chunk
from asyncluster.model.supply import Flavor, Pool

_PASSING = frozenset({"most", "rate", "backlog", "capacity", "failure"})
"""What keeps a pool from launching and is over by itself: idle nodes are kept for jobs of several nodes meanwhile."""


@attrs.define(eq=False)
class Supply:
    """A pool as the plan goes on.  has, lacks: what its nodes are known to have, and the words that they do not bear;
    count: its nodes, with those begun now; left: how many more may be begun; shelf: room on those begun now; begun:
    they, each with the reason."""

    pool: Pool
    has: Flavor
    lacks: tuple[str, ...]
    room: limits.Room
    count: int
    left: int
    shelf: Shelf
    begun: list[tuple[Bin, Reason]] = attrs.Factory(list)

    @property
    def text(self) -> str:
        """What bounds it now, with its name."""
        more = f", and {len(self.begun)} begin now" if self.begun else ""
        return f"pool {self.pool.name} {self.room.text}{more}"


@attrs.frozen(eq=False)
class Standing:
    """What the pools are to jobs that all of them say the same of.

    why: of each supply '' if its nodes could run such a job, else why not; able: those that could, whether they have
    room or not; nodes, cores: of these at their most.
    """

    why: tuple[str, ...]
    able: tuple[Supply, ...]
    nodes: int
    cores: int


class Serving:
    """Answers for all jobs of one plan.  nodes: of no pool, that the scheduler has."""

    def __init__(self, room: Room, supplies: list[Supply], nodes: Iterable[BatchNode], binds_queues: bool) -> None:
        self._supplies = supplies
        self._shelves = [shelf for source in room.shelves for shelf in source]
        self._shelves.sort(key=lambda shelf: shelf.source)
        self._binds = binds_queues
        models = Counter((n.cores, n.memory, n.gpus, n.queues, n.accounts, n.properties) for n in nodes)
        self._models = [(_empty(*model), count) for model, count in models.items()]
        makes: dict[object, int] = {}
        self._make = [makes.setdefault(_make(supply), len(makes)) for supply in supplies]  # of each supply's nodes
        self._makes = [supplies[self._make.index(make)] for make in range(len(makes))]  # one supply of each
        self._kept: dict[tuple[str, str], list[str]] = {}  # by queue and account: of each supply
        self._lacks: dict[object, list[str]] = {}  # by what is asked of a node: of each supply
        self._open: dict[tuple[str, str], list[tuple[Shelf, int]]] = {}  # by queue and account: with its supply's place
        self._open_to_chunk: dict[object, list[Shelf]] = {}
        self._standings: dict[object, Standing] = {}  # by all that is asked
        self._by_why: dict[tuple[str, ...], Standing] = {}
        self._said: dict[tuple[str, ...], tuple[str, str]] = {}  # by what each supply says of a job

    def changed(self) -> None:
        """A supply has begun a node, or taken it back: what it says of itself is another."""
        self._said.clear()

    def shelves(self, shape: Shape, chunk: Chunk) -> list[Shelf]:
        """Room that such a chunk of such a job may have, what is to be used first at the front."""
        key = (shape.queue, shape.account, _asked(chunk, 0.0))
        found = self._open_to_chunk.get(key)
        if found is None:
            lacks, asked = self._lack(chunk, 0.0), chunk.properties
            found = self._open_to_chunk[key] = [
                shelf
                for shelf, at in self._open_to(shape.queue, shape.account)
                if (shelf.properties.issuperset(asked) if at < 0 else not lacks[at])
            ]
        return found

    def standing(self, shape: Shape, chunk: Chunk, walltime: float) -> Standing:
        """What the pools are to such a chunk of such a job."""
        key = (shape.queue, shape.account, _asked(chunk, walltime))
        found = self._standings.get(key)
        if found is None:
            kept, lacks = self._kept_from(shape.queue, shape.account), self._lack(chunk, walltime)
            found = self._standings[key] = self._stand(
                tuple([no or lack for no, lack in zip(kept, lacks, strict=True)])
            )
        return found

    def _stand(self, why: tuple[str, ...]) -> Standing:
        found = self._by_why.get(why)
        if found is None:
            able = tuple([s for s, no in zip(self._supplies, why, strict=True) if not no])
            nodes, cores = sum(s.pool.most for s in able), sum(s.pool.most * s.has.cores for s in able)
            found = self._by_why[why] = Standing(why, able, nodes, cores)
        return found

    def may_come(self, shape: Shape, walltime: float) -> bool:
        """Whether a job that needs more nodes than can be had now could have them later."""
        for chunk in shape.chunks:
            pools = self.standing(shape, chunk, walltime).able
            if not any(s.left > 0 or s.room.rule in _PASSING for s in pools):
                return False
            if not self._enough(shape, chunk, walltime):
                return False
        return True

    def refusal(self, shape: Shape, walltime: float) -> Reason:
        """For a job that nothing can be done for now: what each pool says."""
        verdict = self._verdict(shape, walltime)
        found = self._said.get(verdict)
        if found is None:
            found = self._said[verdict] = self._say(verdict)
        rule, clauses = found
        if rule and all(self._enough(shape, chunk, walltime) for chunk in shape.chunks):
            return Reason(rule, f"no more nodes can be begun now for {words.needs(shape)}: {clauses}")
        if all(self._fixed(shape, chunk) for chunk in shape.chunks):
            return Reason("cluster", f"waits for the cluster's own nodes; no pool serves it: {clauses}")
        text = f"no pool could ever run {words.needs(shape)}: {clauses or 'there is no pool'}"
        return Reason("infeasible", text)

    # What is true of all jobs that are alike in something

    def _kept_from(self, queue: str, account: str) -> list[str]:
        found = self._kept.get((queue, account))
        if found is None:
            found = self._kept[queue, account] = [kept_from(s.pool, queue, account) for s in self._supplies]
        return found

    def _lack(self, chunk: Chunk, walltime: float) -> list[str]:
        key = _asked(chunk, walltime)
        found = self._lacks.get(key)
        if found is None:
            of = [why_not(s.pool, s.has, s.lacks, chunk, walltime) for s in self._makes]
            found = self._lacks[key] = [of[make] for make in self._make]
        return found

    def _open_to(self, queue: str, account: str) -> list[tuple[Shelf, int]]:
        """Shelves that are not kept from such jobs, each with the place of its pool's supply; -1 = the scheduler's."""
        found = self._open.get((queue, account))
        if found is None:
            found = self._open[queue, account] = []
            kept, place = self._kept_from(queue, account), {s.pool.name: i for i, s in enumerate(self._supplies)}
            for shelf in self._shelves:
                at = place[shelf.pool.name] if shelf.pool else -1
                if not kept[at] if at >= 0 else shelf.is_open_to(queue, account, self._binds):
                    found.append((shelf, at))
        return found

    def _verdict(self, shape: Shape, walltime: float) -> tuple[str, ...]:
        """Of each supply '' if its nodes could run such a job, or a part of it, else why not."""
        if len(shape.chunks) == 1:
            return self.standing(shape, shape.chunks[0], walltime).why
        of = [self.standing(shape, chunk, walltime).why for chunk in shape.chunks]
        return tuple([first if first and all(others) else "" for first, *others in zip(*of, strict=True)])

    def _say(self, verdict: tuple[str, ...]) -> tuple[str, str]:
        """What bounds the pool that would be taken first, of those that could; and what all of them say."""
        able = self._stand(verdict).able
        rule = min(able, key=lambda s: s.pool.priority).room.rule if able else ""
        clauses = [
            f"pool {s.pool.name} {why}" if why else s.text for s, why in zip(self._supplies, verdict, strict=True)
        ]
        return rule, "; ".join(clauses)

    # How much there is in all

    def _enough(self, shape: Shape, chunk: Chunk, walltime: float) -> bool:
        """Whether pools at their most, with what the scheduler has besides, would do."""
        pools = self.standing(shape, chunk, walltime)
        if not pools.able:
            return False
        asked, most = (chunk.nodes, pools.nodes) if chunk.nodes else (chunk.cores, pools.cores)
        if asked <= most or chunk.nodes == 1:
            return asked <= most
        return asked <= most + sum(shelf.static for shelf in self.shelves(shape, chunk))

    def _fixed(self, shape: Shape, chunk: Chunk) -> bool:
        """Whether the cluster's own nodes, were they empty, would do."""
        room = 0
        one = chunk if chunk.nodes else attrs.evolve(chunk, cores=1)
        for bin, count in self._models:
            if bin.shelf.is_open_to(shape.queue, shape.account, self._binds) and bin.shelf.properties.issuperset(
                chunk.properties
            ):
                fits = bin.times(one, 0.0)
                room += count * (fits if chunk.nodes == 0 else min(fits, 1))
        return room >= (chunk.nodes or chunk.cores)


def _asked(chunk: Chunk, walltime: float) -> tuple[object, ...]:
    """What decides whether a node can run it: plain values, which are hashed ten times as fast as a Chunk."""
    return walltime, chunk.nodes == 0, chunk.cores, chunk.memory, chunk.gpus, chunk.properties


def _make(supply: Supply) -> object:
    """What decides which jobs its nodes could run, if they are not kept from them."""
    pool = supply.pool
    return pool.flavor, supply.has, supply.lacks, pool.reservation.property, pool.bears, pool.lifetime


def _empty(
    cores: int, memory: int, gpus: int, queues: tuple[str, ...], accounts: tuple[str, ...], properties: tuple[str, ...]
) -> Bin:
    """A node of one model, with nothing on it."""
    shelf = Shelf(Source.FREE, queues, accounts, frozenset(properties))
    return Bin("", shelf, cores, memory or inf, gpus, inf)
