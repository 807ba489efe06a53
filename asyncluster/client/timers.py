"""Timers that keep the right time on a reactor that is not ours.

Twisted's own go by the time of day: when somebody sets that, all are due at once, or none is for hours, and then a
healthy link is given up or stays without a heartbeat.  The reactor's clock is not ours to change (`steady` does that
where it is), so each timer runs on the private reactor, which counts steadily, and is only told to the other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from zope.interface import directlyProvides, implementer, providedBy

from asyncluster.client.thread import reactor_thread


def steadily(reactor: Any) -> Any:
    """That reactor, with timers that go by the steady clock; itself where it keeps a time of its own."""
    if getattr(reactor, "seconds", None) is not time.time:
        return reactor
    return SteadyReactor(reactor, reactor_thread().reactor)


class SteadyReactor:
    """A reactor in all but its timers.  timers: a reactor, in another thread, whose clock is steady."""

    def __init__(self, reactor: Any, timers: Any) -> None:
        self._reactor, self._timers = reactor, timers
        directlyProvides(self, *providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        """Of the steady clock."""
        return time.monotonic()

    def callLater(self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any) -> SteadyCall:
        """See IReactorTime."""
        return SteadyCall(self._reactor, self._timers, delay, lambda: function(*args, **kwargs))


@implementer(IDelayedCall)
class SteadyCall:
    """One timer."""

    def __init__(self, reactor: Any, timers: Any, delay: float, function: Callable[[], object]) -> None:
        self._reactor, self._timers, self._function = reactor, timers, function
        self._called = self._cancelled = False
        self._round = 0  # a word of an earlier one comes too late
        self._set: Any = None  # touched in the thread of the timers only
        self._begin(delay)

    def _begin(self, delay: float) -> None:
        self._round += 1
        self._due = time.monotonic() + delay
        if delay <= 0:  # soon, by no clock at all
            self._reactor.callFromThread(self._fire, self._round)
        else:
            self._timers.callFromThread(self._start, delay, self._round)

    def _start(self, delay: float, number: int) -> None:
        self._stop()
        self._set = self._timers.callLater(delay, self._reactor.callFromThread, self._fire, number)

    def _stop(self) -> None:
        if self._set is not None and self._set.active():
            self._set.cancel()
        self._set = None

    def _fire(self, number: int) -> None:
        if number == self._round and self.active():
            self._called = True
            self._function()

    def _check(self) -> None:
        if self._cancelled:
            raise AlreadyCancelled
        if self._called:
            raise AlreadyCalled

    def active(self) -> bool:
        """See IDelayedCall."""
        return not (self._called or self._cancelled)

    def cancel(self) -> None:
        """See IDelayedCall."""
        self._check()
        self._cancelled = True
        self._timers.callFromThread(self._stop)

    def getTime(self) -> float:
        """See IDelayedCall."""
        return self._due

    def delay(self, secondsLater: float) -> None:
        """See IDelayedCall."""
        self._check()
        self._begin(self._due + secondsLater - time.monotonic())

    def reset(self, secondsFromNow: float) -> None:
        """See IDelayedCall."""
        self._check()
        self._begin(secondsFromNow)
