"""How many items the next chunk of a `map` takes.  Decides; sees no clock, no items, no link.

Small probes first; from what they took, chunks worth about 50 ms, growing by a limited factor so that a
wrong guess stays cheap, and shrinking towards the end so that the workers finish together.  Items that
take long by themselves travel one by one.
"""

from __future__ import annotations

import math

TARGET = 0.05
"""Seconds of work worth in a chunk."""
LONG = TARGET / 5
"""Items of that many seconds gain nothing from company."""
LEAST = 0.002
"""Seconds of work below which a chunk is not made smaller for the sake of balance."""
LARGEST = 3000
"""Items in a chunk: more gains nothing, and the results would come late."""
GROWTH = 16
FEW = 32
DEPTH_LIMIT = 10_000


class ChunkPlan:
    """Ask `size()`, tell `took()` and `done()`.

    total: number of items, None when unknown; slots: tasks the cluster runs at a time; chunksize: fixed
    number of items, None for automatic; buffer: most items under way, for inputs pulled lazily.
    """

    def __init__(self, total: int | None, slots: int, chunksize: int | None = None, buffer: int | None = None) -> None:
        self.total = total
        self.taken = 0
        self.flying = 0
        self.flying_items = 0
        self._slots = max(1, slots)
        self._chunksize = chunksize
        self._buffer = buffer
        self._mean: float | None = None
        self._largest = 1
        self._finished = 0
        self._impatient = False
        if chunksize is None and total is not None and total <= max(FEW, 4 * self._slots):
            self._chunksize = 1

    @property
    def exhausted(self) -> bool:
        """Nothing is left to take."""
        return self.total is not None and self.taken >= self.total

    def end(self) -> None:
        """The input ended here."""
        self.total = self.taken

    def size(self) -> int:
        """Items for the next chunk; 0: not now."""
        if self.exhausted or self.flying >= self._depth():
            return 0
        size = self._chunksize or self._adaptive()
        if self.total is not None:
            size = min(size, self.total - self.taken)
        if self._buffer is not None:
            size = min(size, self._buffer - self.flying_items)
        return max(0, size)

    def took(self, count: int) -> None:
        """A chunk of that many items went out."""
        self.taken += count
        self.flying += 1
        self.flying_items += count

    def done(self, count: int, wall: float | None) -> None:
        """A chunk came back; wall: seconds it took in the worker, None when it failed there."""
        self.flying -= 1
        self.flying_items -= count
        if wall is None or count < 1:
            return
        self._finished += 1
        self._largest = max(self._largest, count)
        each = wall / count
        weight = 0.5 if self._finished < 8 else 0.3
        self._mean = each if self._mean is None else self._mean + weight * (each - self._mean)

    def waited(self) -> None:
        """Half a second went by: if nothing has come back, the items are long ones."""
        if self._mean is None:
            self._impatient = True

    def resize(self, slots: int) -> None:
        """The cluster has grown or shrunk."""
        self._slots = max(1, slots)

    def _adaptive(self) -> int:
        mean = self._mean
        if mean is None or mean >= LONG:
            return 1
        mean = max(mean, 1e-9)
        size = min(int(TARGET / mean), GROWTH * self._largest, LARGEST)
        if self.total is not None:
            share = math.ceil((self.total - self.taken) / (3 * self._slots))
            size = min(size, max(share, min(int(LEAST / mean), LARGEST)))
        return max(1, size)

    def _depth(self) -> int:
        """Chunks under way at most: enough to hide the way there and back, few enough to stay flexible."""
        if self._chunksize is not None or self._impatient:
            return DEPTH_LIMIT
        if self._mean is None:
            return max(8, 4 * self._slots)
        if self._mean >= LONG:  # one by one; the master may as well see the queue grow
            return min(DEPTH_LIMIT, 4 * self._slots + 2 * self._finished)
        chunk = self._adaptive() * self._mean
        return self._slots * min(16, max(3, math.ceil(2 * TARGET / max(chunk, 1e-9))))
