"""Owners with limits: what waits for them, why, and that it goes on when they are gone."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.jobs.board import Board
from asyncluster.model.batch import BatchState
from asyncluster.model.messages import EVERYTHING, Cancel, Code, Outcome, Recall, Task
from asyncluster.model.need import Need
from asyncluster.model.refusal import QUEUED, read

BAR = "outside opening hours of ann; next opening Monday 08:00"


def limit(desk: Any, owner: str = "ann", slots: int | None = None, queued: int | None = None) -> None:
    desk.take(desk.board.owners.limit(desk.board.owners.of(owner), slots, queued))


def bar(desk: Any, why: str, owner: str = "ann") -> None:
    desk.take(desk.board.owners.bar(desk.board.owners.of(owner), why))


def test_nobody_is_above_the_limit_of_slots(desk: Any) -> None:
    """On all nodes together, nothing ahead; the next begins when one has ended, and others are not held up."""
    desk.node("a", 4)
    desk.node("b", 4)
    desk.job(1, "ann")
    desk.job(2, "bob")
    limit(desk, slots=3)
    desk.submit(*range(20))
    desk.dispatch()
    given = {name: desk.given(name) for name in "ab"}
    assert sum(map(len, given.values())) == 3
    assert desk.board.explain(1, 19).reason.startswith("3 of the 3 slots that ann may have at once are in use; an admi")
    assert "`asyncluster user limit ann --slots N`" in desk.board.explain(1, 19).reason
    desk.submit(*range(100, 105), job=2)
    desk.dispatch()
    assert sorted(desk.given("a") + desk.given("b")) == [100, 101, 102, 103, 104]
    name = next(name for name in "ab" if given[name])
    desk.answer(name, given[name][0])
    assert desk.board.queued == 17
    desk.dispatch()
    assert len(desk.given("a") + desk.given("b")) == 1


def test_a_limit_that_goes_lets_all_run(desk: Any) -> None:
    """At once, as it does when it is raised."""
    desk.node("a", 4)
    desk.job(1, "ann")
    limit(desk, slots=1)
    desk.submit(*range(6))
    desk.dispatch()
    assert desk.given() == [0]
    limit(desk, slots=2)
    desk.dispatch()
    assert desk.given() == [1]
    limit(desk)
    desk.dispatch()
    assert desk.given()[:2] == [2, 3]


def test_a_large_task_is_not_passed_by_its_owner_s_small_ones(desk: Any) -> None:
    """Once its turn has come, what its owner has runs out until it may begin."""
    desk.node("a", 8)
    desk.job(1, "ann")
    desk.take(desk.board.code(Code(1, 1, 0, b"", Need(cores=4))))
    limit(desk, slots=4)
    desk.submit(0, 1)
    desk.submit(2, code=1)
    desk.submit(*range(3, 20))
    ended, given = [], []
    for _ in range(6):
        desk.dispatch()
        given += desk.given()
        desk.answer("a", *[seq for seq in given if seq not in ended][:1])
        ended += [seq for seq in given if seq not in ended][:1]
    assert 2 in given


def test_the_jobs_of_a_limited_owner_take_turns(desk: Any) -> None:
    """Whose last task took the last slot is not the first who gets the next."""
    desk.node("a", 4)
    for job in (1, 2, 3):
        desk.job(job, "ann")
        desk.submit(*range(50), job=job)
    limit(desk, slots=1)
    turns = []
    for _ in range(9):
        desk.dispatch()
        (task,) = [message for message in desk.sent() if isinstance(message, Task)]
        turns.append(task.job)
        desk.answer("a", task.seq, job=task.job)
    assert sorted(turns[:3]) == sorted(turns[3:6]) == sorted(turns[6:]) == [1, 2, 3]


def test_a_task_above_the_limit_is_told_so(desk: Any) -> None:
    """It waits, since the limit may be raised; it counts as stuck, and no node is launched for it."""
    desk.node("a", 8)
    desk.job(1, "ann")
    desk.take(desk.board.code(Code(1, 1, 0, b"", Need(cores=4))))
    limit(desk, slots=2)
    desk.submit(0, code=1)
    desk.dispatch()
    assert desk.given() == []
    assert desk.board.why_stuck(1).startswith("it takes 4 slots, and ann may have 2 at once; an administrator can")
    limit(desk, slots=0)
    assert desk.board.demand(0.0).jobs[0].state is BatchState.HELD
    limit(desk, slots=4)
    desk.dispatch()
    assert desk.given() == [0]


def test_who_is_barred_gets_nothing_and_waits_with_that_reason(desk: Any) -> None:
    """What runs goes on, what was sent ahead comes back, others run, and no node is wanted for it."""
    desk.node("a", 1)
    desk.job(1, "ann")
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert desk.given() == [0, 1]
    bar(desk, BAR)
    assert desk.sent() == [Recall(EVERYTHING)]
    desk.answer("a", 1, outcome=Outcome.RETURNED)
    desk.answer("a", 0)
    desk.dispatch()
    assert desk.given() == []
    assert desk.ended() == [(0, Outcome.VALUE)]
    assert desk.board.explain(1, 1).reason == desk.board.explain(1, 2).reason == desk.board.why_stuck(1) == BAR
    assert (desk.board.queued, desk.board.wanted(1, 1)) == (0, "")
    (wanted,) = desk.board.demand(0.0).jobs
    assert (wanted.state, wanted.reason, wanted.count) == (BatchState.HELD, BAR, 2)
    bar(desk, "")
    desk.dispatch()
    assert desk.given() == [1, 2]


def test_what_a_limited_owner_wants_of_clouds_is_no_more_than_may_run(desk: Any) -> None:
    """So that no node is launched to stand idle."""
    desk.job(1, "ann")
    desk.submit(*range(100))
    assert desk.board.demand(0.0).jobs[0].count == 100
    limit(desk, slots=5)
    assert desk.board.demand(0.0).jobs[0].count == 5


def test_who_is_to_stop_gets_tasks_back_free_of_charge(desk: Any) -> None:
    """They end on the node and are queued again; another owner's go on."""
    desk.node("a", 2)
    desk.job(1, "ann", crash_limit=1)
    desk.job(2, "bob")
    desk.submit(0)
    desk.submit(7, job=2)
    desk.dispatch()
    desk.sent()
    bar(desk, "the account ann is disabled")
    desk.take([action for some in desk.board.owners.end(desk.board.owners.of("ann")) for action in some])
    assert desk.sent() == [Cancel(1, [0], True)]
    desk.answer("a", 0, outcome=Outcome.CANCELLED)
    assert desk.ended() == []
    desk.dispatch()
    assert desk.given() == []
    bar(desk, "")
    desk.dispatch()
    assert desk.given() == [0]
    assert desk.board.job_view(2).running == 1


def test_tasks_beyond_the_limit_of_queued_ones_are_refused(desk: Any) -> None:
    """Of all jobs of the owner together; each is told why, and what others have is not counted."""
    desk.job(1, "ann")
    desk.job(2, "ann")
    desk.job(3, "bob")
    limit(desk, queued=5)
    desk.submit(*range(3))
    desk.submit(*range(4), job=2)
    desk.submit(*range(50), job=3)
    results = desk.told(2)
    assert [(result.seq, result.outcome) for result in results] == [(2, Outcome.REFUSED), (3, Outcome.REFUSED)]
    text, needs = read(results[0].payload)
    assert text.startswith(
        "it was not taken: ann has 5 tasks queued, and may have 5; submit it again when some of them"
    )
    assert "`asyncluster user limit ann --queued N`" in text
    assert needs == (QUEUED,)
    desk.node("a", 2)
    desk.dispatch()
    desk.submit(2, job=2)
    assert desk.ended(2) == []


@pytest.mark.parametrize("slots", [1, 2])
def test_a_closed_job_gives_its_slots_back(desk: Any, slots: int) -> None:
    """When the node is rid of what it had of it."""
    desk.node("a", 2)
    desk.job(1, "ann")
    desk.job(2, "ann")
    limit(desk, slots=slots)
    desk.submit(0, 1)
    desk.submit(0, 1, job=2)
    desk.dispatch()
    given = desk.sent()
    assert isinstance(desk.board, Board)
    desk.take(desk.board.close(1))
    desk.take(desk.board.close(2))
    for message in given:
        if type(message).__name__ == "Task":
            desk.answer("a", message.seq, job=message.job)
    assert desk.board.owners.of("ann").used == 0
    assert not desk.board.owners.of("ann").aside


def test_the_work_of_an_owner_is_counted_in_cores(desk: Any) -> None:
    """Of what runs, not of what was sent ahead."""
    desk.node("a", 4)
    desk.job(1, "ann")
    desk.take(desk.board.code(Code(1, 1, 0, b"", Need(cores=3))))
    ann = desk.board.owners.of("ann")
    assert desk.board.owners.cores_at_work(ann) == 0
    desk.submit(0, code=1)
    desk.submit(1)
    desk.dispatch()
    assert desk.board.owners.cores_at_work(ann) == 4
    assert desk.board.owners.cores_by_owner() == {"ann": 4}
    desk.answer("a", 0)
    assert desk.board.owners.cores_at_work(ann) == 1
    assert ann.spent == 3_000_000


def test_a_large_task_goes_before_small_ones_of_less_priority(desk: Any) -> None:
    """Of one owner: they wait behind it, though they would not be too much, and giving out comes to an end."""
    desk.node("a", 8)
    desk.job(1, "ann", priority=1)
    desk.job(2, "ann")
    desk.take(desk.board.code(Code(1, 1, 0, b"", Need(cores=3))))
    limit(desk, slots=4)
    desk.submit(0, 1)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.submit(2, code=1)
    desk.submit(*range(10, 30), job=2)
    desk.dispatch()
    assert desk.given() == []
    desk.answer("a", 0)
    desk.dispatch()
    assert desk.given() == [2]
