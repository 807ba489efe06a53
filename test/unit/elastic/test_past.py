"""What a scheduler said before is let go of in slices."""

from __future__ import annotations

import weakref

import pytest

from asyncluster.elastic import past as module
from asyncluster.elastic.past import Past
from asyncluster.model.batch import BatchJob, BatchState, Chunk, Demand
from asyncluster.testing.threads import Turns


def demand(count: int) -> tuple[Demand, list[weakref.ref[BatchJob]]]:
    jobs = tuple(BatchJob(str(number), BatchState.QUEUED, (Chunk(1, 1),)) for number in range(count))
    return Demand(jobs, (), 1.0), [weakref.ref(job) for job in jobs]


def test_a_large_answer_is_freed_some_of_it_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing when it is dropped, a slice in each turn, and all in the end; of two, too."""
    monkeypatch.setattr(module, "SLICE", 10)
    reactor = Turns()
    past = Past(reactor)  # type: ignore[arg-type]  # as much of one as is needed
    said, jobs = demand(25)
    again, others = demand(15)
    past.take(said)
    past.take(again)
    del said, again
    left = [*jobs, *others]
    assert sum(job() is not None for job in left) == 40
    while reactor.due:
        before = sum(job() is not None for job in left)
        reactor.due.pop(0)()
        assert before - sum(job() is not None for job in left) <= 10
    assert sum(job() is not None for job in left) == 0


def test_a_small_one_is_not_worth_a_turn() -> None:
    """Nor one that never was."""
    reactor = Turns()
    past = Past(reactor)  # type: ignore[arg-type]  # as much of one as is needed
    past.take(demand(5)[0])
    past.take(None)
    assert reactor.due == []
