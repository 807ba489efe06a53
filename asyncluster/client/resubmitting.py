"""Chunks of a `map` that were refused as their owner has too many tasks queued: which to hand in again, and how many.

Few at first, twice as many each time that all were taken, half as many when some were refused again: so a queue that is
full for hours is not asked for everything every half second.  Pure: whoever has it keeps the time.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from asyncluster.errors import RefusedError
from asyncluster.model.refusal import QUEUED

T = TypeVar("T")

FIRST = 8
"""So many are handed in again the first time."""


def is_too_many(error: object) -> bool:
    """Whether a call failed with this only since too many are queued."""
    return isinstance(error, RefusedError) and QUEUED in error.needs


class Resubmission(Generic[T]):
    """Of one map."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._batch = FIRST * 2  # halved at once: some were refused
        self._again = False  # some of those that were handed in last were refused
        self._due = False  # somebody will ask in a moment

    def refused(self, chunk: T) -> bool:
        """One more; whether somebody has to ask `take` in a while, since nobody is about to."""
        self._waiting.append(chunk)
        self._again = True
        due, self._due = self._due, True
        return not due

    def take(self) -> tuple[list[T], bool]:
        """What to hand in now, oldest first, and whether to ask once more in a while."""
        self._batch = max(1, self._batch // 2) if self._again else self._batch * 2
        self._again = False
        taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
        self._due = bool(self._waiting)
        return taken, self._due

    def clear(self) -> None:
        """Nobody wants them any more."""
        self._waiting.clear()
