"""When a person is told that tasks wait for what is not there."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from asyncluster.client.patience import EVERY, Patience
from asyncluster.errors import RefusedError


class Session:
    """What patience looks at; its link answers `answer`."""

    def __init__(self) -> None:
        self.ended: Exception | None = None
        self.finished = 0
        self.job = 3
        self.out: dict[int, object] = {}
        self.calls = self.link = self
        self.answer: Any = "no node is present"
        self.asked = 0

    def call(self, verb: str, job: int) -> Deferred[str]:
        assert (verb, job) == ("stuck", 3)
        self.asked += 1
        return fail(self.answer) if isinstance(self.answer, Exception) else succeed(self.answer)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def shown() -> list[tuple[str, int, str]]:
    return []


@pytest.fixture
def clock(session: Session, shown: list[tuple[str, int, str]]) -> Clock:
    clock = Clock()
    Patience(clock, session, lambda *line: shown.append(line))  # type: ignore[arg-type]  # what it needs of both
    return clock


def test_told_once(session: Session, shown: list[Any], clock: Clock) -> None:
    """After a full interval without a result; again when the reason is another one."""
    session.out = {0: object()}
    clock.advance(EVERY)
    assert (session.asked, shown) == (0, [])
    clock.pump([EVERY] * 3)
    assert shown == [("master", 2, "tasks wait: no node is present")]
    session.answer = ""
    clock.advance(EVERY)
    session.answer = "no node is present"
    clock.advance(EVERY)
    assert len(shown) == 2


def test_not_while_results_come_or_nothing_is_out(session: Session, clock: Clock) -> None:
    """The master is not even asked."""
    session.out = {0: object()}
    for _ in range(3):
        session.finished += 1
        clock.advance(EVERY)
    session.out = {}
    clock.pump([EVERY] * 3)
    session.out = {1: object()}  # it has its own few seconds
    clock.advance(EVERY)
    session.ended = RuntimeError()
    clock.pump([EVERY] * 3)
    assert session.asked == 0
    assert clock.getDelayedCalls() == []


def test_a_master_that_does_not_know(session: Session, shown: list[Any], clock: Clock) -> None:
    """An older one refuses; that is nobody's business."""
    session.out, session.answer = {0: object()}, RefusedError("there is no verb stuck")
    clock.pump([EVERY] * 3)
    assert shown == []


def test_a_reason_that_counts_is_told_once(session: Session, shown: list[Any], clock: Clock) -> None:
    """However many seconds it says; other words are news."""
    session.out = {0: object()}
    clock.advance(EVERY)
    for seconds in range(4):
        session.answer = f"its cloud has not answered for {seconds} s"
        clock.advance(EVERY)
    assert len(shown) == 1
    session.answer = "every node that fits is held"
    clock.advance(EVERY)
    assert len(shown) == 2
