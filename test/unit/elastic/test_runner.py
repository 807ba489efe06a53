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
from asyncluster.elastic.runner import Runner
from asyncluster.errors import NoAnswerError, NotYetError, SchedulerError
from asyncluster.model.supply import Flavor, Instance, Order, Pool, Reservation


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
    Deferred.fromCoroutine(runner.perform(action, record, pool, PoolRecord("p"), found.append))
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
    """A slow cloud has all its turns; checks and steps of the scheduler have their own."""

    class Slow:
        def launch(self, order: object) -> Deferred[Any]:
            return Deferred()

    options = Options(at_once=2)
    runner = Runner(Clock(), Scheduler(), {"p": Slow()}, options)  # type: ignore[arg-type,dict-item] # halves of both
    pool, found = Pool("p", "fake", Flavor(1)), []

    def begin(do: Do, number: int) -> Deferred[None]:
        record = NodeRecord(f"p-{number}", "p", f"t{number}", Life.ADDED, 0.0, 0.0)
        action = Action(do, record.name, "p", "because")
        done = runner.perform(action, record, pool, PoolRecord("p"), lambda outcome: found.append((do, outcome)))
        return Deferred.fromCoroutine(done)

    launches = [begin(Do.LAUNCH, number) for number in range(5)]
    begin(Do.CHECK, 5)
    begin(Do.RESERVE, 5)
    assert found == [(Do.CHECK, Outcome()), (Do.RESERVE, Outcome())]
    for launch in launches:
        launch.cancel()


class SlowCloud:
    """Takes orders and ends, and answers none."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.ends: list[str] = []

    def launch(self, order: Order) -> Deferred[Instance]:
        self.orders.append(order.name)
        return Deferred()

    def destroy(self, instance: Instance) -> Deferred[None]:
        self.ends.append(instance.name)
        return Deferred()


def test_who_is_to_go_does_not_wait_for_who_is_to_come() -> None:
    """A slow cloud is given as many orders at a time as it may be, and as many ends beside them."""
    cloud, pool = SlowCloud(), Pool("p", "fake", Flavor(1))
    runner = Runner(Clock(), Scheduler(), {"p": cloud}, Options(at_once=2))  # type: ignore[arg-type,dict-item] # halves
    for do, first in ((Do.LAUNCH, 1), (Do.DESTROY, 11)):
        for number in range(first, first + 4):
            record = NodeRecord(f"p-{number}", "p", "t", Life.UP, 0.0, 0.0)
            done = runner.perform(
                Action(do, record.name, "p", "because"), record, pool, PoolRecord("p"), lambda _: None
            )
            Deferred.fromCoroutine(done)
    assert (cloud.orders, cloud.ends) == (["p-1", "p-2"], ["p-11", "p-12"])
