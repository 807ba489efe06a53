"""Reactors for tests of what is done in a thread, and of what is done turn by turn."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.python.failure import Failure


class Threads(Clock):
    """A clock whose threads are the test's own: work is done at once.

    inside: whether something is being done in one; begun: how much has been.
    """

    inside = False
    begun = 0

    def getThreadPool(self) -> Threads:
        """Itself."""
        return self

    def callFromThread(self, work: Callable[..., object], *args: object) -> None:
        """See IReactorFromThreads."""
        work(*args)

    def callInThreadWithCallback(
        self, told: Callable[[bool, object], object], work: Callable[..., object], *args: object
    ) -> None:
        """See ThreadPool."""
        self.inside = True
        self.begun += 1
        result: object
        try:
            result, well = work(*args), True
        except Exception:  # as a thread pool has it
            result, well = Failure(), False
        self.inside = False
        told(well, result)


class Turns:
    """A reactor's turns, one at a time: `due` is what is to be done."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def callLater(self, seconds: float, call: Callable[[], None]) -> object:
        """In a turn of its own."""
        self.due.append(call)
        return call
