"""One action at a time: what is asked of scheduler and cloud for it."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord, PoolRecord, Why
from asyncluster.elastic.runner import Runner
from asyncluster.errors import NoAnswerError, SchedulerError
from asyncluster.model.supply import Flavor, Pool, Reservation


class Scheduler:
    """Remembers what it is asked."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.refusal = refusal

    def vacate(self, name: str, reason: str) -> Deferred[None]:
        self.asked.append(f"vacate {name}")
        return fail(self.refusal) if self.refusal is not None else succeed(None)

    def remove_node(self, name: str, reservation: Reservation) -> Deferred[None]:
        self.asked.append(f"remove {name}")
        return succeed(None)


def remove(scheduler: Any, why: Why) -> Outcome:
    record = NodeRecord("p-1", "p", "t", Life.EMPTY, 0.0, 0.0, why=why)
    pool = Pool("p", "fake", Flavor(1))
    runner = Runner(Clock(), scheduler, {"p": None}, Options())  # type: ignore[dict-item] # no cloud is asked
    action = Action(Do.REMOVE, "p-1", "p", "because")
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
