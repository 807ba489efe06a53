"""What is done again and again goes on though it fails once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from asyncluster.errors import StoreAwayError
from asyncluster.master.probing import EVERY, Probing
from asyncluster.master.ticking import Ticking


def test_a_tick_that_fails_is_not_the_last() -> None:
    """It is logged as what it was; when it was stopped there are no more, and it may be started again."""
    clock, ticks = Clock(), list[float]()

    def tick() -> None:
        ticks.append(clock.seconds())
        if len(ticks) == 2:
            raise ZeroDivisionError

    ticking = Ticking(clock, 5.0, tick, "a look at nothing")
    ticking.stop()
    ticking.start()
    with capturedLogs() as logged:
        clock.pump([5.0] * 3)
    assert ticks == [5.0, 10.0, 15.0]
    assert [event.get("what") == "a look at nothing" for event in logged] == [True]
    for _ in range(2):
        ticking.stop()
    clock.pump([5.0] * 3)
    assert len(ticks) == 3
    ticking.start()
    clock.advance(5.0)
    assert len(ticks) == 4


class Database:
    """Of accounts, that is away."""

    away = True

    def __init__(self) -> None:
        self.asked: list[Deferred[None]] = []
        self.broken = False

    def touch(self) -> Deferred[None]:
        if self.broken:
            raise ZeroDivisionError
        self.asked.append(Deferred())
        return self.asked[-1]


def test_a_database_is_asked_again_whatever_became_of_the_question() -> None:
    """One question at a time; it is away still, or something inside breaks, before it is asked or after."""
    clock, database = Clock(), Database()
    probing = Probing(clock, database)  # type: ignore[arg-type]  # as far as it is asked
    probing.startService()
    clock.pump([EVERY] * 3)
    assert len(database.asked) == 1
    database.asked[0].errback(StoreAwayError("still"))
    clock.advance(EVERY)
    assert len(database.asked) == 2
    with capturedLogs() as logged:
        database.asked[1].errback(ZeroDivisionError())
        database.broken = True
        clock.advance(EVERY)
    assert len([event for event in logged if "log_failure" in event]) == 2
    database.broken = False
    clock.advance(EVERY)
    assert len(database.asked) == 3
    database.away = False
    database.asked[2].callback(None)
    clock.pump([EVERY] * 3)
    assert len(database.asked) == 3
    probing.stopService()
    assert clock.getDelayedCalls() == []
