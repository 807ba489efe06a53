"""Calls that block: limits, late answers, threads that are not free."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from asyncluster.errors import CapacityError, NoAnswerError
from asyncluster.supply.blocking import Blocking

LONG = 60.0


class Turns(Clock):
    """A clock that takes what threads hand over when the test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """From a thread."""
        self.handed.put((callable, args))

    def take(self) -> None:
        """Wait for the next one, and do it."""
        what, args = self.handed.get(timeout=LONG)
        what(*args)


class Gate:
    """A call that returns when it is let."""

    def __init__(self) -> None:
        self.entered, self.let = threading.Semaphore(0), threading.Event()

    def __call__(self, answer: object = "late") -> object:
        self.entered.release()
        assert self.let.wait(LONG)
        return answer


class BlockingTests(SynchronousTestCase):
    """On a clock, with real threads."""

    def setUp(self) -> None:
        self.turns = Turns()
        self.blocking = Blocking(self.turns, "pool burst", threads=2, limit=5.0)
        self.blocking.startService()
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        if self.blocking.running:
            self.blocking.stopService()

    def test_answers_and_failures_come_as_they_are(self) -> None:
        """With arguments in, and another thread's name on it."""
        got = self.blocking.call(lambda a, b: (a, b, threading.current_thread().name), 1, b=2)
        self.turns.take()
        assert self.successResultOf(got) == (1, 2, "pool burst 1")

        def refuse() -> None:
            raise CapacityError("none left")

        failed = self.blocking.call(refuse)
        self.turns.take()
        assert str(self.failureResultOf(failed, CapacityError).value) == "none left"
        assert not self.turns.getDelayedCalls()
        assert self.blocking.busy == 0

    def test_a_late_answer_is_dropped_and_its_thread_is_not_free_before(self) -> None:
        """Two that hang take both threads; a third has no turn, and is never made."""
        told: list[str] = []
        globalLogPublisher.addObserver(observer := lambda event: told.append(event.get("log_format") or ""))
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        gate, made = Gate(), []
        hang = [self.blocking.call(gate) for _ in range(2)]
        for _ in hang:
            assert gate.entered.acquire(timeout=LONG)
        third = self.blocking.call(lambda: made.append("third"))
        self.turns.advance(5.1)
        for one in hang:
            assert "no answer within 5 s" in str(self.failureResultOf(one, NoAnswerError).value)
        assert "all of 2 threads are in other calls" in str(self.failureResultOf(third, NoAnswerError).value)
        assert self.blocking.busy == 2
        gate.let.set()
        for _ in hang:
            self.turns.take()
        assert self.blocking.busy == 0
        assert sum("dropped" in text for text in told) == 2
        after = self.blocking.call(lambda: "works")
        self.turns.take()
        assert self.successResultOf(after) == "works"
        assert made == []

    def test_who_gives_up_waiting_leaves_the_call(self) -> None:
        """Its answer is dropped when it comes."""
        gate = Gate()
        given_up = self.blocking.call(gate)
        assert gate.entered.acquire(timeout=LONG)
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        gate.let.set()
        self.turns.take()
        assert not self.turns.getDelayedCalls()

    def test_no_more_threads_than_there_may_be(self) -> None:
        """Seven calls, two at a time."""
        gate = Gate()
        calls: list[Deferred[object]] = [self.blocking.call(gate, number) for number in range(7)]
        for _ in range(2):
            assert gate.entered.acquire(timeout=LONG)
        assert not gate.entered.acquire(timeout=0.05)
        gate.let.set()
        for _ in calls:
            self.turns.take()
        assert sorted(map(str, map(self.successResultOf, calls))) == [str(number) for number in range(7)]

    def test_stopped(self) -> None:
        """Who waits is told; nothing more is begun; it can be started again."""
        gate = Gate()
        hangs = self.blocking.call(gate)
        assert gate.entered.acquire(timeout=LONG)
        self.blocking.stopService()
        assert "the master stops" in str(self.failureResultOf(hangs, NoAnswerError).value)
        self.failureResultOf(self.blocking.call(gate), NoAnswerError)
        gate.let.set()
        self.turns.take()
        self.blocking.startService()
        again = self.blocking.call(lambda: 1)
        self.turns.take()
        assert self.successResultOf(again) == 1


def test_representations_hold_no_arguments() -> None:
    """What a call is given may be a secret."""
    blocking = Blocking(Turns(), "pool burst")
    blocking.startService()
    gate = Gate()
    waits = blocking.call(gate, "hush")
    assert "hush" not in repr(blocking._under_way)
    waits.addErrback(lambda _: None)
    blocking.stopService()
    gate.let.set()
