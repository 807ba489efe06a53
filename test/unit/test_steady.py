"""A reactor that counts steadily does not look at the time of day."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor

from asyncluster.steady import count_steadily


@pytest.fixture
def reactor() -> Iterator[Any]:
    """One that was not installed, and does not run."""
    made = SelectReactor()
    yield made
    made.removeAll()
    made.waker.connectionLost(None)


def test_the_time_of_day_means_nothing(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set a year ahead, then two years back: what is due in a minute is still due in a minute."""
    before = reactor.callLater(60, lambda: None)
    count_steadily(reactor)
    count_steadily(reactor)
    after = reactor.callLater(60, lambda: None)
    begin = time.time()
    for wrong in (365 * 86400, -365 * 86400):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: begin + wrong)
        reactor.runUntilCurrent()
        assert before.active()
        assert after.active()
        assert abs(before.getTime() - after.getTime()) < 30
        assert 0 < before.getTime() - reactor.seconds() <= 61
        before.reset(50)
        assert before.getTime() < after.getTime() + 30


def test_who_keeps_his_own_time() -> None:
    """A clock of a test, or asyncio's, stays as it is."""
    from twisted.internet.task import Clock

    clock = Clock()
    count_steadily(clock)
    clock.advance(5)
    assert clock.seconds() == 5
