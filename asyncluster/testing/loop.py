"""The reactor's thread for tests of what another thread tells it: calls wait here until the test runs them."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from zope.interface import implementer

T = TypeVar("T")

LONG = 60.0
"""Seconds after which a test that waits has failed."""


@implementer(IReactorFromThreads)
class CallLoop:
    """Has `callFromThread` as a reactor has; runs what it was given only within `until` and `result`."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """Run this in the thread of the test, later."""
        self._calls.put(lambda: callable(*args, **kwargs))

    def until(self, done: Callable[[], bool]) -> None:
        """Run calls as they come, one by one, until `done()`; queue.Empty where none comes for a minute."""
        while not done():
            self._calls.get(timeout=LONG)()

    def result(self, deferred: Deferred[T]) -> T:
        """What a Deferred gives, or raise what it fails with."""
        outcome: list[T | Failure] = []
        deferred.addBoth(outcome.append)
        self.until(lambda: bool(outcome))
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]
