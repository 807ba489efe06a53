"""Who may be at the proof at once, who waits for that, and whose turn is next: pure.

A few places are for those who are being proven; everybody else waits, and costs no more than a socket.  Addresses take
turns: one that knocks a thousand times gets as many turns as one that knocks once.  Who waits where there is no
more room gives way to an address that has fewer waiting.  So whoever means harm from some addresses delays
others by its share of the turns and no more, and no address is locked out.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum, auto
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")


class Verdict(Enum):
    """What becomes of somebody who knocks."""

    ENTER = auto()
    WAIT = auto()
    REFUSE = auto()


@attrs.define
class Places(Generic[T]):
    """`total` places, at most `per_address` of them for one address, and room for `room` who wait.

    `inside` are at the proof, `waiting` wait.  What frees a place (`leave`) is followed by asking `next` until None.
    """

    total: int
    per_address: int
    room: int
    inside: int = attrs.field(default=0, init=False)
    waiting: int = attrs.field(default=0, init=False)
    _inside: Counter[str] = attrs.field(factory=Counter, init=False)
    _queues: dict[str, deque[T]] = attrs.field(factory=dict, init=False)  # in the order of their turns

    def knock(self, address: str, who: T) -> tuple[Verdict, T | None]:
        """What becomes of `who`, and who of those that wait has to give way to it."""
        if self._has_place(address):  # then nobody from there waits: `next` was asked until then
            self._enter(address)
            return Verdict.ENTER, None
        gives_way = None
        if self.waiting >= self.room:
            gives_way = self._give_way(address)
            if gives_way is None:
                return Verdict.REFUSE, None
        self._queues.setdefault(address, deque()).append(who)
        self.waiting += 1
        return Verdict.WAIT, gives_way

    def _has_place(self, address: str) -> bool:
        return self.inside < self.total and self._inside[address] < self.per_address

    def _give_way(self, address: str) -> T | None:
        """The newest of the longest queue, where that is longer than the one of `address` with one more would be."""
        if not self._queues:
            return None
        longest = max(self._queues, key=lambda each: len(self._queues[each]))
        queue = self._queues[longest]
        if len(queue) <= len(self._queues.get(address, ())) + 1:
            return None
        self.waiting -= 1
        return queue.pop()  # one stays at least

    def next(self) -> T | None:
        """Who takes a place now: the first of the first address that may; None when nobody can.  Ask until then."""
        address = next(filter(self._has_place, self._queues), None)
        if address is None:
            return None
        queue = self._queues.pop(address)
        who = queue.popleft()
        self.waiting -= 1
        if queue:
            self._queues[address] = queue  # behind the others
        self._enter(address)
        return who

    def _enter(self, address: str) -> None:
        self.inside += 1
        self._inside[address] += 1

    def leave(self, address: str) -> None:
        """Somebody from there is proven or gone: a place is free."""
        self.inside -= 1
        self._inside[address] -= 1
        if self._inside[address] <= 0:
            del self._inside[address]  # else every address ever seen would stay

    def forget(self, address: str, who: T) -> None:
        """Somebody waits no longer.  Harmless when it does not wait."""
        queue = self._queues.get(address)
        if queue is None or who not in queue:
            return
        queue.remove(who)
        self.waiting -= 1
        if not queue:
            del self._queues[address]
