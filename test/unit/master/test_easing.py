"""A client is held up while too much waits to be written, and is not taken for dead meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock

from asyncluster.master.ledger import MOST_WAITING, Ledger
from asyncluster.wire.beating import start_beating
from asyncluster.wire.link import Link


class Book:
    """A journal whose disk is as fast as the test says."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def when_durable(self, callback: Callable[[], object]) -> None:
        self.calls.append(callback)


class Transport:
    def __init__(self) -> None:
        self.said: list[str] = []

    def registerProducer(self, _producer: object, _streaming: bool) -> None:
        pass

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")


class Broker:
    def __init__(self) -> None:
        self.transport = Transport()


def make_link(clock: Clock) -> tuple[Link, Transport]:
    broker: Any = Broker()
    return Link(cast("Any", clock), broker, cast("Any", None), cast("Any", None)), broker.transport


def test_held_until_all_is_written() -> None:
    """Once, however much more it had sent already."""
    book, (link, transport) = Book(), make_link(Clock())
    ledger = Ledger(cast("Any", book))
    ledger.ease(link)
    book.waiting_bytes = MOST_WAITING + 1
    ledger.ease(link)
    ledger.ease(link)
    assert transport.said == ["pause"]
    (go_on,) = book.calls
    go_on()
    go_on()
    assert transport.said == ["pause", "resume"]


def test_who_is_held_up_is_not_silent() -> None:
    """The silence limit holds again from when it is read again."""
    clock = Clock()
    link, _transport = make_link(clock)
    gone: list[float] = []
    link.send_now = lambda _messages: None  # type: ignore[method-assign]  # heartbeats
    start_beating(clock, link, 5.0, 20.0, lambda: gone.append(clock.seconds()))
    link.hold_reading()
    clock.pump([5.0] * 20)
    assert gone == []
    link.go_on_reading()
    clock.pump([5.0] * 3)
    assert gone == []
    clock.pump([5.0] * 3)
    assert gone
