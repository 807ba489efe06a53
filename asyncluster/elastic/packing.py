"""Ready work into the room there is, then into nodes that would be begun for it: what is missing is what is launched.

The most urgent kinds come first; of the bins that fit the fullest is taken, so that the tail of the work lies on few
nodes.  A job of several nodes gets all of them or none.  A kind costs what it places, not how many jobs it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from math import inf
from operator import le

import attrs

from asyncluster.elastic import limits, words
from asyncluster.elastic.actions import Reason
from asyncluster.elastic.bins import Bin, Room, Shelf, Source, fresh
from asyncluster.elastic.demand import Kind, Shape
from asyncluster.elastic.match import kept_from, why_not
from asyncluster.model.batch import BatchNode, Chunk
from asyncluster.model.supply import Flavor, Pool

_PASSING = frozenset({"most", "rate", "backlog", "capacity", "failure"})
"""What keeps a pool from launching and is over by itself: idle nodes are kept for jobs of several nodes meanwhile."""

MEMORY = 16
"""How many sizes are remembered for which there was no room, of jobs that are alike but for their size."""


@attrs.define(eq=False)
class Supply:
    """A pool as the plan goes on.  count: its nodes, with those begun now; left: how many more may be begun;
    shelf: room on those begun now; begun: they, each with the reason."""

    pool: Pool
    has: Flavor
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


class Packer:
    """Places kinds one after the other.

    nodes: of no pool, that the scheduler has; name: of the node that a pool begins as its so-many-eth, from 0.
    """

    def __init__(
        self,
        room: Room,
        supplies: list[Supply],
        nodes: Iterable[BatchNode],
        binds_queues: bool,
        name: Callable[[Pool, int], str],
    ) -> None:
        self._supplies = supplies
        self._shelves = [shelf for source in room.shelves for shelf in source]
        self._shelves.sort(key=lambda shelf: shelf.source)
        self._binds = binds_queues
        self._name = name
        self._models = Counter((n.cores, n.memory, n.gpus, n.queues, n.accounts, n.properties) for n in nodes)
        self._serving: dict[tuple[int, Chunk], list[Shelf]] = {}
        self._whys: dict[tuple[int, float], dict[str, list[str]]] = {}
        self._kept: dict[tuple[str, str], dict[str, str]] = {}  # by queue and account: what is true of all such jobs
        self._failed: dict[object, list[tuple[float, ...]]] = {}  # no room anywhere for so much, or for more
        self._shapes: list[Shape] = []  # kept, so that their ids stay theirs

    def begin(self, supply: Supply, reason: Reason) -> Bin:
        """A node more; its room is there for what comes after."""
        bin = fresh(self._name(supply.pool, len(supply.begun)), supply.shelf, supply.has, supply.pool.lifetime)
        supply.shelf.add(bin)
        supply.begun.append((bin, reason))
        supply.count += 1
        supply.left -= 1
        self._failed.clear()
        return bin

    def place(self, kind: Kind, reasons: dict[str, Reason]) -> None:
        """Find room for a kind, and give each of its jobs the reason why it waits."""
        self._shapes.append(kind.shape)
        family, size = _size(kind)
        placed: list[tuple[int, Reason]] = []
        if not any(all(map(le, less, size)) for less in self._failed.get(family, ())):
            chunk = kind.shape.alone
            placed = self._singles(kind, chunk) if chunk is not None else self._gangs(kind)
        left = kind.count - sum(count for count, _ in placed)
        if left:
            refusal = self._refusal(kind.shape, kind.walltime)
            known = self._failed.get(family, [])
            self._failed[family] = [size, *(more for more in known if not all(map(le, size, more)))][:MEMORY]
            placed.append((left, refusal))
        _share(kind, placed, reasons)

    # Jobs of one node each

    def _singles(self, kind: Kind, chunk: Chunk) -> list[tuple[int, Reason]]:
        placed: list[tuple[int, Reason]] = []
        left = kind.count
        for shelf in self._serves(kind.shape, chunk):
            for cores in sorted(shelf.by_cores):
                if left <= 0:
                    return placed
                if cores < chunk.cores:
                    continue
                chosen: list[tuple[Bin, int]] = []
                for bin in shelf.by_cores.get(cores, ()):
                    fits = min(left, bin.times(chunk, kind.walltime))
                    if fits:
                        chosen.append((bin, fits))
                        left -= fits
                        if left <= 0:
                            break
                for bin, fits in chosen:
                    _fill(bin, chunk, fits)
                    placed.append((fits, words.room_reason(bin)))
        while left > 0:
            supply = self._best(kind.shape, chunk, kind.walltime)
            if supply is None:
                break
            bin = self.begin(supply, words.launch_reason(kind))
            fits = min(left, bin.times(chunk, kind.walltime))
            _fill(bin, chunk, fits)
            left -= fits
            placed.append((fits, words.room_reason(bin)))
        return placed

    # Jobs of several nodes, or of cores wherever they are

    def _gangs(self, kind: Kind) -> list[tuple[int, Reason]]:
        placed: list[tuple[int, Reason]] = []
        for job in kind.jobs:
            for _ in range(job.count):
                got = self._gang(kind)
                if got is None:
                    return placed
                placed.append((1, words.gang_reason(got)))
        return placed

    def _gang(self, kind: Kind) -> list[Bin] | None:
        """All that one such job needs, or None and everything as it was."""
        undo: list[tuple[Bin, int, float, int, bool]] = []
        begun: list[Supply] = []
        used: dict[Bin, None] = {}
        for chunk in sorted(kind.shape.chunks, key=lambda chunk: (-chunk.nodes * chunk.cores, -chunk.cores)):
            done = (
                self._spread(kind, chunk, undo, begun, used)
                if chunk.nodes == 0
                else self._several(kind, chunk, undo, begun, used)
            )
            if not done:
                keep = self._may_come(kind.shape, kind.walltime)
                for bin, cores, memory, gpus, wanted in reversed(undo):
                    bin.shelf.drop(bin)
                    bin.cores, bin.memory, bin.gpus, bin.wanted = cores, memory, gpus, wanted or keep
                    bin.shelf.add(bin)
                for supply in reversed(begun):
                    self._unbegin(supply)
                return None
        return list(used)

    def _several(
        self, kind: Kind, chunk: Chunk, undo: list[tuple[Bin, int, float, int, bool]], begun: list[Supply],
        used: dict[Bin, None],
    ) -> bool:  # fmt: skip
        left = chunk.nodes
        for shelf in self._serves(kind.shape, chunk):
            for cores in sorted(shelf.by_cores):
                if cores < chunk.cores or left <= 0:
                    continue
                chosen: list[Bin] = []
                for bin in shelf.by_cores.get(cores, ()):
                    if bin not in used and bin.times(chunk, kind.walltime):
                        chosen.append(bin)
                        if len(chosen) >= left:
                            break
                for bin in chosen:
                    _note(bin, undo, used)
                    _fill(bin, chunk, 1)
                left -= len(chosen)
        while left > 0:
            supply = self._best(kind.shape, chunk, kind.walltime)
            if supply is None:
                return False
            bin = self.begin(supply, words.launch_reason(kind))
            begun.append(supply)
            _note(bin, undo, used)
            _fill(bin, chunk, 1)
            left -= 1
        return True

    def _spread(
        self, kind: Kind, chunk: Chunk, undo: list[tuple[Bin, int, float, int, bool]], begun: list[Supply],
        used: dict[Bin, None],
    ) -> bool:  # fmt: skip
        one, left = attrs.evolve(chunk, nodes=1, cores=1), chunk.cores
        for shelf in self._serves(kind.shape, chunk):
            for cores in sorted(shelf.by_cores):
                portions: list[tuple[Bin, int]] = []
                for bin in shelf.by_cores.get(cores, ()):
                    fits = min(left, bin.times(one, kind.walltime))
                    if fits > 0:
                        portions.append((bin, fits))
                        left -= fits
                for bin, fits in portions:
                    _note(bin, undo, used)
                    _fill(bin, one, fits)
        while left > 0:
            supply = self._best(kind.shape, chunk, kind.walltime)
            if supply is None:
                return False
            bin = self.begin(supply, words.launch_reason(kind))
            begun.append(supply)
            fits = min(left, bin.times(one, kind.walltime))
            if fits <= 0:
                return False
            _note(bin, undo, used)
            _fill(bin, one, fits)
            left -= fits
        return True

    def _unbegin(self, supply: Supply) -> None:
        bin, _ = supply.begun.pop()
        supply.shelf.drop(bin)
        supply.count -= 1
        supply.left += 1

    # Who might

    def _why(self, shape: Shape, walltime: float) -> dict[str, list[str]]:
        """For each pool and each chunk '' if its nodes could run it, else why not."""
        found = self._whys.get((id(shape), walltime))
        if found is None:
            kept = self._kept_from(shape.queue, shape.account)
            parts = [Shape(shape.queue, shape.account, (chunk,)) for chunk in shape.chunks]
            found = {
                s.pool.name: [kept[s.pool.name] or why_not(s.pool, s.has, part, walltime) for part in parts]
                for s in self._supplies
            }
            self._whys[id(shape), walltime] = found
        return found

    def _kept_from(self, queue: str, account: str) -> dict[str, str]:
        found = self._kept.get((queue, account))
        if found is None:
            found = {s.pool.name: kept_from(s.pool, queue, account) for s in self._supplies}
            self._kept[queue, account] = found
        return found

    def _serves(self, shape: Shape, chunk: Chunk) -> list[Shelf]:
        found = self._serving.get((id(shape), chunk))
        if found is None:
            whys, at = self._why(shape, 0.0), shape.chunks.index(chunk)
            found = [
                shelf
                for shelf in self._shelves
                if (not whys[shelf.pool.name][at] if shelf.pool else shelf.serves(shape, chunk, self._binds))
            ]
            self._serving[id(shape), chunk] = found
        return found

    def _could(self, shape: Shape, chunk: Chunk, walltime: float) -> list[Supply]:
        """Pools whose nodes can run it, whether they have room or not."""
        whys, at = self._why(shape, walltime), shape.chunks.index(chunk)
        return [s for s in self._supplies if not whys[s.pool.name][at]]

    def _best(self, shape: Shape, chunk: Chunk, walltime: float) -> Supply | None:
        """The pool to begin a node in; None where there is none, or where one will have room in a minute."""
        open_ones = [s for s in self._could(shape, chunk, walltime) if s.left > 0 or s.room.brief]
        if not open_ones:
            return None
        best = min(open_ones, key=lambda s: (s.pool.priority, s.left <= 0, s.count, s.pool.name))
        return best if best.left > 0 else None

    def _may_come(self, shape: Shape, walltime: float) -> bool:
        """Whether a job that needs more nodes than can be had now could have them later."""
        for chunk in shape.chunks:
            pools = self._could(shape, chunk, walltime)
            if not any(s.left > 0 or s.room.rule in _PASSING for s in pools):
                return False
            if not self._enough(shape, chunk, walltime):
                return False
        return True

    def _enough(self, shape: Shape, chunk: Chunk, walltime: float) -> bool:
        """Whether pools at their most, with what the scheduler has besides, would do."""
        pools = self._could(shape, chunk, walltime)
        buckets = [bucket for shelf in self._serves(shape, chunk) for bucket in shelf.by_cores.values()]
        fixed = sum(bin.static for bucket in buckets for bin in bucket) if chunk.nodes != 1 else 0
        if chunk.nodes == 0:
            return bool(pools) and chunk.cores <= sum(s.pool.most * s.has.cores for s in pools) + fixed
        return bool(pools) and chunk.nodes <= sum(s.pool.most for s in pools) + fixed

    # Why not

    def _refusal(self, shape: Shape, walltime: float) -> Reason:
        """For a job that nothing can be done for now: what each pool says."""
        whys = self._why(shape, walltime)
        clauses, rule, best = [], "", 0
        for supply in self._supplies:
            reasons = whys[supply.pool.name]
            if "" in reasons:
                if not rule or supply.pool.priority < best:
                    rule, best = supply.room.rule, supply.pool.priority
                clauses.append(supply.text)
            else:
                clauses.append(f"pool {supply.pool.name} {reasons[0]}")
        needs = words.needs(shape)
        if rule and all(self._enough(shape, chunk, walltime) for chunk in shape.chunks):
            return Reason(rule, f"no more nodes can be begun now for {needs}: {'; '.join(clauses)}")
        if all(self._fixed(shape, chunk) for chunk in shape.chunks):
            return Reason("cluster", f"waits for the cluster's own nodes; no pool serves it: {'; '.join(clauses)}")
        return Reason("infeasible", f"no pool could ever run {needs}: {'; '.join(clauses) or 'there is no pool'}")

    def _fixed(self, shape: Shape, chunk: Chunk) -> bool:
        """Whether the cluster's own nodes, were they empty, would do."""
        room = 0
        for (cores, memory, gpus, queues, accounts, properties), count in self._models.items():
            shelf = Shelf(Source.FREE, queues, accounts, frozenset(properties))
            if shelf.serves(shape, chunk, self._binds):
                bin = Bin("", shelf, cores, memory or inf, gpus, inf)
                one = chunk if chunk.nodes else attrs.evolve(chunk, cores=1)
                fits = bin.times(one, 0.0)
                room += count * (fits if chunk.nodes == 0 else min(fits, 1))
        return room >= (chunk.nodes or chunk.cores)


def _size(kind: Kind) -> tuple[object, tuple[float, ...]]:
    """What may fail alike, and how much of it is asked: where there is no room for less there is none for more."""
    shape = kind.shape
    if len(shape.chunks) > 1:
        return id(shape), (kind.walltime,)
    chunk = shape.chunks[0]
    family = (shape.queue, shape.account, chunk.nodes, chunk.properties)
    return family, (kind.walltime, chunk.cores, chunk.memory, chunk.gpus)


def _fill(bin: Bin, chunk: Chunk, count: int) -> None:
    bin.take(max(1, chunk.cores) * count, chunk.memory * count, chunk.gpus * count)


def _note(bin: Bin, undo: list[tuple[Bin, int, float, int, bool]], used: dict[Bin, None]) -> None:
    undo.append((bin, bin.cores, bin.memory, bin.gpus, bin.wanted))
    used[bin] = None


def _share(kind: Kind, placed: list[tuple[int, Reason]], reasons: dict[str, Reason]) -> None:
    """One reason for each job, in the order in which room was found."""
    if len(placed) == 1:
        reasons.update(dict.fromkeys([job.id for job in kind.jobs], placed[0][1]))
        return
    turn = iter(placed)
    here, reason = next(turn)
    for job in kind.jobs:
        if job.count == 1 and here > 0:  # by far the most
            here -= 1
            reasons[job.id] = reason
            continue
        first, left = None, job.count
        while left > 0:
            if here <= 0:
                here, reason = next(turn)
            used = min(left, here)
            left, here = left - used, here - used
            first = first or (used, reason)
        if first is None or first[1] is reason:
            reasons[job.id] = reason
        else:
            text = f"{first[0]} of {job.count}: {first[1].text}; the last of them: {reason.text}"
            reasons[job.id] = Reason(reason.rule, text)
