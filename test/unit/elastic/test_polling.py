"""One source, asked again and again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from asyncluster.elastic.polling import Poll
from asyncluster.errors import CloudError, NoAnswerError


def test_a_fault_of_who_is_told_is_logged_and_the_source_is_asked_again() -> None:
    """An answer that cannot be taken is not lost without a word; a question that is given up is nobody's fault."""
    logged: list[str] = []

    def hear(event: LogEvent) -> None:
        logged.append(f"{formatEvent(event)} {event.get('log_failure', '')}")

    answers: list[Deferred[int]] = [succeed(1), succeed(2), Deferred()]
    told: list[int] = []

    def take(answer: int) -> None:
        told.append(answer)
        raise KeyError("a fault of ours")

    clock: Any = Clock()
    poll = Poll(clock, "cloud of p", 10.0, 60.0, lambda: answers.pop(0), take, lambda: None)
    globalLogPublisher.addObserver(hear)
    try:
        poll.start()
        clock.pump([0.0, 12.0, 12.0])
        poll.stop()
    finally:
        globalLogPublisher.removeObserver(hear)
    assert told == [1, 2]
    assert len(logged) == 2
    assert all("cloud of p" in line and "a fault of ours" in line for line in logged)


def test_who_is_waited_for_is_told_of_before_the_limit() -> None:
    """For longer than a few intervals; nothing else changes by it, and its answer ends it."""
    clock: Any = Clock()
    out: Deferred[int] = Deferred()
    silent: list[int] = []
    poll = Poll(clock, "cloud of p", 4.0, 90.0, lambda: out, lambda _: None, lambda: silent.append(1))
    poll.start()
    clock.advance(0.0)
    clock.advance(14.0)
    assert poll.shown == ""
    clock.advance(48.0)
    assert (poll.shown, poll.fault, silent) == ("has not answered for 62 s", "", [])
    out.callback(1)
    assert poll.shown == ""
    poll.stop()


def test_who_refuses_does_answer() -> None:
    """It is not said to be silent, nor is one that cannot be asked."""
    clock: Any = Clock()
    faults: list[Exception] = [CloudError("no such key"), NoAnswerError("reset")]
    poll = Poll(clock, "cloud of p", 4.0, 90.0, lambda: fail(faults.pop(0)), lambda _: None, lambda: None)
    poll.start()
    clock.advance(0.0)
    assert poll.shown == "cannot be asked: no such key"
    clock.advance(5.0)
    assert poll.shown == "reset"
    poll.stop()
