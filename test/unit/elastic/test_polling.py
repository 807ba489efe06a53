"""One source, asked again and again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from asyncluster.elastic.polling import Poll


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
