"""One action at a time: what is asked of scheduler and cloud for it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.machine import finish
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord, PoolRecord, Why
from asyncluster.elastic.runner import Runner, line_of
from asyncluster.errors import NoAnswerError, NotYetError, SchedulerError
from asyncluster.model.supply import Flavor, Pool, Reservation


class Scheduler:
    """Remembers what it is asked."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.refusal = refusal

    def vacate(self, name: str, reason: str) -> Deferred[None]:
        self.asked.append(f"vacate {name}")
        return fail(self.refusal) if self.refusal is not None else succeed(None)

    def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> Deferred[None]:
        return fail(self.refusal) if self.refusal is not None else succeed(None)

    def remove_node(self, name: str, reservation: Reservation) -> Deferred[None]:
        self.asked.append(f"remove {name}")
        return succeed(None)


def remove(scheduler: Any, why: Why) -> Outcome:
    return perform(Do.REMOVE, scheduler, why)


def perform(do: Do, scheduler: Any, why: Why) -> Outcome:
    record = NodeRecord("p-1", "p", "t", Life.EMPTY, 0.0, 0.0, why=why)
    pool = Pool("p", "fake", Flavor(1))
    runner = Runner(Clock(), scheduler, {"p": None}, Options())  # type: ignore[dict-item] # no cloud is asked
    action = Action(do, "p-1", "p", "because")
    found: list[Outcome] = []
    Deferred.fromCoroutine(runner.perform(action, record, pool, PoolRecord("p"))).addCallback(found.append)
    return found[0]


def test_a_dead_node_is_vacated_before_it_is_removed() -> None:
    """Its scheduler has jobs on it that would keep it, and that are to begin anew elsewhere."""
    scheduler = Scheduler()
    assert remove(scheduler, Why.FAULT) == Outcome()
    assert scheduler.asked == ["vacate p-1", "remove p-1"]


def test_one_that_is_empty_is_only_removed() -> None:
    """Nothing runs there, and nothing is asked."""
    scheduler = Scheduler()
    assert remove(scheduler, Why.SURPLUS) == Outcome()
    assert scheduler.asked == ["remove p-1"]


@pytest.mark.parametrize(("refusal", "removed"), [(SchedulerError("unknown"), True), (NoAnswerError("away"), False)])
def test_one_that_cannot_be_vacated(refusal: Exception, removed: bool) -> None:
    """A scheduler that does not know it may forget it all the same; one that is away is asked again later."""
    scheduler = Scheduler(refusal)
    assert remove(scheduler, Why.FAULT).fault is (Fault.NONE if removed else Fault.UNSURE)
    assert ("remove p-1" in scheduler.asked) is removed


@pytest.mark.parametrize(("do", "waits"), [(Do.RESERVE, True), (Do.VACATE, False)])
def test_a_node_that_has_not_come_is_waited_for(do: Do, waits: bool) -> None:
    """Nothing has failed where it is only late; where it was there before, something has."""
    late = NotYetError("slurmd has not started on p-1 yet")
    outcome = perform(do, Scheduler(late), Why.NOTHING)
    assert (outcome.missing == str(late), outcome.fault is Fault.REFUSED) == (waits, not waits)
    record, pool = NodeRecord("p-1", "p", "t", Life.READY, 0.0, 0.0, doing=do.name), PoolRecord("p")
    for now in (0.0, 10.0, 20.0) if waits else ():
        after = finish(record, pool, Action(do, "p-1", "p", "because"), outcome, Options(), now).node
        assert after is not None
        assert (after.attempts, after.retry_at, after.life) == (0, now + Options().check_pause, Life.READY)
        record = attrs.evolve(after, doing=do.name)


def test_a_node_that_is_there_does_not_wait_for_launches_of_others() -> None:
    """Launches, ends, and what takes but a moment have turns of their own, in each pool."""
    lines = {do: line_of(Action(do, "p-1", "p", "because")) for do in Do}
    assert lines[Do.LAUNCH] == lines[Do.POST_ADD]
    assert len({lines[do] for do in (Do.LAUNCH, Do.DESTROY, Do.CHECK)}) == 3
    assert len({lines[do] for do in (Do.CHECK, Do.ADD, Do.RESERVE, Do.ENABLE, Do.REMOVE)}) == 1
    assert line_of(Action(Do.LAUNCH, "q-1", "q", "because")) != lines[Do.LAUNCH]
    assert lines[Do.POST_REMOVE] == lines[Do.POST_DESTROY] == lines[Do.DESTROY], "what an end begins and ends with"
