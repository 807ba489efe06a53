"""Ready work into the room there is, then into nodes that would be begun for it: what is missing is what is launched.

The most urgent kinds come first; of the bins that fit the fullest is taken, so that the tail of the work lies on few
nodes.  A job of several nodes gets all of them or none.  A kind costs what it places, not how many jobs it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import le

import attrs

from asyncluster.elastic import words
from asyncluster.elastic.actions import Reason
from asyncluster.elastic.bins import Bin, Room, fresh
from asyncluster.elastic.demand import Kind, Shape
from asyncluster.elastic.serving import Serving, Supply
from asyncluster.model.batch import BatchNode, Chunk
from asyncluster.model.supply import Pool

MEMORY = 16
"""How many sizes are remembered for which there was no room, of jobs that are alike but for their size."""


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
        self._serving = Serving(room, supplies, nodes, binds_queues)
        self._name = name
        self._failed: dict[object, list[tuple[float, ...]]] = {}  # no room anywhere for so much, or for more

    def begin(self, supply: Supply, reason: Reason) -> Bin:
        """A node more; its room is there for what comes after."""
        bin = fresh(self._name(supply.pool, len(supply.begun)), supply.shelf, supply.has, supply.pool.lifetime)
        supply.shelf.add(bin)
        supply.begun.append((bin, reason))
        supply.count += 1
        supply.left -= 1
        self._serving.changed()
        self._failed.clear()
        return bin

    def place(self, kind: Kind) -> None:
        """Find room for a kind, and tell it why its jobs wait."""
        family, size = self._size(kind)
        hopeless = any(_is_more(size, less) for less in self._failed.get(family, ()))
        if not hopeless:
            chunk = kind.shape.alone
            kind.told = self._singles(kind, chunk) if chunk is not None else self._gangs(kind)
        left = kind.count - sum([count for count, _ in kind.told])
        if left:
            if not hopeless:
                known = self._failed.get(family, ())
                self._failed[family] = [size, *(more for more in known if not _is_more(more, size))][:MEMORY]
            kind.told.append((left, self._serving.refusal(kind.shape, kind.walltime)))

    def _size(self, kind: Kind) -> tuple[object, tuple[float, ...]]:
        """What may fail alike, and how much of it is asked: where there is no room for less there is none for more.

        That holds between jobs that the same pools could run: what waits for a pool that will soon be allowed to
        begin a node more says nothing of what that pool could not run anyway.
        """
        shape = kind.shape
        if len(shape.chunks) > 1:
            return shape, (kind.walltime,)
        chunk = shape.chunks[0]
        able = self._serving.standing(shape, chunk, kind.walltime).able
        family = (shape.queue, shape.account, chunk.nodes == 0, chunk.properties, chunk.whole, able)
        return family, (kind.walltime, chunk.nodes, chunk.cores, chunk.memory, chunk.gpus)

    # Jobs of one node each

    def _singles(self, kind: Kind, chunk: Chunk) -> list[tuple[int, Reason]]:
        placed: list[tuple[int, Reason]] = []
        left = kind.count
        for shelf in self._serving.shelves(kind.shape, chunk):
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
        for _ in range(kind.count):
            got = self._gang(kind)
            if got is None:
                break
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
                keep = self._serving.may_come(kind.shape, kind.walltime)
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
        for shelf in self._serving.shelves(kind.shape, chunk):
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
        for shelf in self._serving.shelves(kind.shape, chunk):
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
        self._serving.changed()

    def _best(self, shape: Shape, chunk: Chunk, walltime: float) -> Supply | None:
        """The pool to begin a node in; None where there is none, or where one will have room in a minute."""
        able = self._serving.standing(shape, chunk, walltime).able
        open_ones = [s for s in able if s.left > 0 or s.room.brief]
        if not open_ones:
            return None
        best = min(open_ones, key=lambda s: (s.pool.priority, s.left <= 0, s.count, s.pool.name))
        return best if best.left > 0 else None


def _fill(bin: Bin, chunk: Chunk, count: int) -> None:
    bin.take(bin.cores if chunk.whole else (chunk.cores or 1) * count, chunk.memory * count, chunk.gpus * count)


def _note(bin: Bin, undo: list[tuple[Bin, int, float, int, bool]], used: dict[Bin, None]) -> None:
    undo.append((bin, bin.cores, bin.memory, bin.gpus, bin.wanted))
    used[bin] = None


def _is_more(size: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one asks for as much as the other, or for more, in everything."""
    return all(map(le, other, size))
