"""Timers on somebody else's reactor, which goes by the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTCP
from twisted.internet.task import Clock, deferLater
from zope.interface import implementer
from zope.interface.verify import verifyObject

from asyncluster.client.thread import reactor_thread
from asyncluster.client.timers import SteadyReactor, steadily


@implementer(IReactorTCP)
class Theirs:
    """Does what other threads ask for when it comes round; its own timers are not to be used."""

    seconds = staticmethod(time.time)
    port = 7

    def __init__(self) -> None:
        self.asked: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        self.asked.append((function, args))

    def come_round(self) -> None:
        asked, self.asked = self.asked, []
        for function, args in asked:
            function(*args)


class Timers(Clock):
    """Stands for the private reactor."""

    def callFromThread(self, function: Callable[..., object], *args: Any) -> None:
        function(*args)


class Place:
    """Both, and what is between them."""

    def __init__(self) -> None:
        self.theirs, self.timers = Theirs(), Timers()
        self.reactor: Any = SteadyReactor(self.theirs, self.timers)
        self.called: list[Any] = []

    def pass_(self, seconds: float) -> None:
        self.timers.advance(seconds)
        self.theirs.come_round()


@pytest.fixture
def place() -> Place:
    """With nothing under way."""
    return Place()


def test_calls_come_in_the_thread_of_the_reactor(place: Place) -> None:
    """When the other one says that time has passed, and not before the reactor comes round."""
    call = place.reactor.callLater(5, place.called.append, "five")
    verifyObject(IDelayedCall, call)
    place.pass_(4)
    assert (place.called, call.active()) == ([], True)
    place.timers.advance(1)
    assert place.called == []
    place.theirs.come_round()
    assert (place.called, call.active()) == (["five"], False)
    for order in (call.cancel, lambda: call.reset(1), lambda: call.delay(1)):
        with pytest.raises(AlreadyCalled):
            order()


def test_soon_is_by_no_clock(place: Place) -> None:
    """Nothing is set for what is due at once."""
    place.reactor.callLater(0, place.called.append, "now")
    assert place.called == []
    assert place.timers.getDelayedCalls() == []
    place.theirs.come_round()
    assert place.called == ["now"]


def test_cancelled(place: Place) -> None:
    """Also one that is on its way already."""
    first = place.reactor.callLater(1, place.called.append, 1)
    second = place.reactor.callLater(2, place.called.append, 2)
    place.timers.advance(1)
    first.cancel()
    second.cancel()
    place.pass_(5)
    assert place.called == []
    assert place.timers.getDelayedCalls() == []
    with pytest.raises(AlreadyCancelled):
        first.cancel()


def test_put_off(place: Place) -> None:
    """What an earlier setting has sent means nothing any more."""
    call = place.reactor.callLater(1, place.called.append, 1)
    place.timers.advance(1)
    call.reset(10)
    place.pass_(9)
    assert place.called == []
    before = call.getTime()
    call.delay(100)
    assert call.getTime() > before
    place.pass_(2)
    assert place.called == []
    place.pass_(120)
    assert place.called == [1]


def test_all_else_is_the_reactors(place: Place) -> None:
    """What it provides, too; and what counts seconds on a clock takes it for one."""
    assert place.reactor.port == 7
    assert IReactorTCP.providedBy(place.reactor)
    waited: Deferred[None] = deferLater(place.reactor, 3, place.called.append, "later")
    slow: Deferred[None] = Deferred()
    slow.addTimeout(2, place.reactor).addErrback(lambda failure: place.called.append(failure.type))
    place.pass_(2)
    place.pass_(1)
    assert place.called == [DeferredTimeoutError, "later"]
    assert waited.called


def test_which_reactors_need_it() -> None:
    """Those that go by the time of day."""
    clock = Clock()
    assert steadily(clock) is clock
    ours = reactor_thread().reactor
    assert steadily(ours) is ours
    theirs = Theirs()
    assert isinstance(steadily(theirs), SteadyReactor)
