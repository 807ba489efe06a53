"""Signs of life, and who may be silent."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.wire.beating import start_beating


class Link:
    """Counts what goes out; `received` is set by the test."""

    reading_held = False

    def __init__(self) -> None:
        self.received = self.beats = 0

    def send_now(self, messages: list[object]) -> None:
        self.beats += 1


def begin() -> tuple[Clock, Any, Any, list[float]]:
    clock, link, gone = Clock(), Link(), []
    beating = start_beating(clock, link, 1, 5, lambda: gone.append(clock.seconds()))  # type: ignore[arg-type]  # link enough
    return clock, link, beating, gone


def test_silence() -> None:
    """A peer of whom nothing comes is gone after the limit, once."""
    clock, link, _, gone = begin()
    link.received = 1
    clock.pump([1] * 30)
    assert gone == [7]
    assert link.beats == 6


def test_a_peer_that_waits_for_us() -> None:
    """It may be silent while we owe it an answer, and for the limit after that."""
    clock, link, beating, gone = begin()
    answer: Deferred[int] = beating.while_it_waits(Deferred())
    clock.pump([1] * 100)
    assert gone == []
    assert link.beats == 100
    answer.callback(1)
    clock.pump([1] * 4)
    assert gone == []
    clock.pump([1] * 10)
    assert gone == [107]  # looks once an interval: the answer at 100 counted at 101


def test_beats_of_many_links_fall_on_common_moments() -> None:
    """Whenever they began, so that few moments wake the process up; none comes later than after an interval."""
    clock = Clock()
    for _ in range(20):
        start_beating(clock, Link(), 8.0, 20.0, lambda: None)  # type: ignore[arg-type]  # link enough
        clock.advance(0.01)
    due = {round(call.getTime(), 6) for call in clock.getDelayedCalls()}
    assert due == {8.0}
