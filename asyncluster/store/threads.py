"""The thread that writes: takes all that waits, has it committed, tells, and takes again.

That is the whole of group commit.  Nothing waits for a timer: an order that comes to an idle writer is
committed alone and at once; those that come meanwhile are the next group, however many they are.  A group
that cannot be committed is tried again and again, with growing pauses, and nothing behind it before it.

Knows neither the reactor nor any database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol

import attrs

from asyncluster.errors import StoreError
from asyncluster.model.journal import Entry
from asyncluster.store.records import Order, WhenDurable, weight

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two attempts; each pause is twice the one before."""


@attrs.frozen
class Stop:
    """Queued: the last one; after what was queued before it the writer ends."""


Queued = Order | WhenDurable | Stop


class Commits(Protocol):
    """What writes a group; `keeper.Keeper` does."""

    def commit(self, orders: Sequence[Order], again: bool = False) -> None:
        """All of them, durably, or none.  again: it was tried before.  Raises anything where it could not."""


class Listener(Protocol):
    """Who is told; in the writer's thread."""

    def committed(self, weight: int, calls: Sequence[WhenDurable]) -> None:
        """A group is durable; what it weighed, and what was to be called then."""

    def failing(self, error: Exception) -> None:
        """The first attempt of a group went wrong, with this; more follow."""

    def healed(self, attempts: int) -> None:
        """It is written after all."""


@attrs.frozen
class Group:
    """What one transaction takes."""

    orders: list[Order]
    calls: list[WhenDurable]
    last: bool


@attrs.define(eq=False)
class Writer:
    """Runs until a `Stop` comes.

    pause: waits so many seconds, or shorter once nobody wants it to go on; returns whether that is so.
    gather: seconds that an entry waits for others to share its transaction: each costs the reactor's thread its turns.
    """

    commits: Commits
    listener: Listener
    pause: Callable[[float], bool]
    gather: float = 0.0
    queue: SimpleQueue[Queued] = attrs.field(factory=SimpleQueue)

    def run(self) -> None:
        """Write what is queued.  Raises StoreError where it was told to end and could not write all of it."""
        while True:
            group = self._take()
            if group.orders:
                self._write(group)
            if group.orders or group.calls:
                self.listener.committed(sum(map(weight, group.orders)), group.calls)
            if group.last:
                return

    def _take(self) -> Group:
        group = Group([], [], last=False)
        items = [self.queue.get()]
        if self.gather and isinstance(items[0], Entry):
            self.pause(self.gather)
        # nobody else takes, so at least so many are there
        items.extend(self.queue.get_nowait() for _ in range(self.queue.qsize()))
        for item in items:
            if isinstance(item, WhenDurable):
                group.calls.append(item)
            elif isinstance(item, Stop):
                return attrs.evolve(group, last=True)
            else:
                group.orders.append(item)
        return group

    def _write(self, group: Group) -> None:
        unwanted = False
        for attempt, seconds in enumerate(pauses(), start=1):
            try:
                self.commits.commit(group.orders, again=attempt > 1)
            except Exception as error:
                if attempt == 1:
                    self.listener.failing(error)
                if unwanted:
                    raise StoreError(f"closed before everything was written: {error}") from error
                unwanted = self.pause(seconds)
            else:
                if attempt > 1:
                    self.listener.healed(attempt)
                return


def pauses() -> Iterator[float]:
    """Seconds to wait after each failed attempt, for ever."""
    seconds = FIRST_PAUSE
    while True:
        yield seconds
        seconds = min(seconds * 2, LONGEST_PAUSE)


class ClosingPause:
    """A pause that ends when the journal is to be closed: then one more attempt is made, the last."""

    def __init__(self) -> None:
        self._closing = threading.Event()

    def close(self) -> None:
        """End this pause and all that would follow."""
        self._closing.set()

    def __call__(self, seconds: float) -> bool:
        """Wait; tells whether it was closed."""
        return self._closing.wait(seconds)
