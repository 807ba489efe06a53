"""Attempts that are tried again, jobs that are paused, and the one reason of each waiting task."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.jobs.actions import NoteLoss, NoteTried
from asyncluster.jobs.recovery import Recovered
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Code, Outcome, Task
from asyncluster.model.need import Need

Desk = Any  # the fixture's class lives in conftest.py, which is not importable

VALUE, EXCEPTION, LOST, REFUSED, CANCELLED, RETURNED, UNPREPARED, LIMIT, DEPENDENCY, STAYS = Outcome


def tried(desk: Desk) -> list[str]:
    """What was noted of charged attempts."""
    return [note.text for note in desk.noted if isinstance(note, NoteTried)]


def a_task(desk: Desk, retries: int = 2, **options: Any) -> None:
    """Task 0, with retries, on node a."""
    desk.job(**options)
    desk.take(desk.board.code(Code(1, 1, 0, b"g", Need(retries=retries))))
    desk.node()
    desk.submit(0, code=1)
    desk.dispatch()


@pytest.mark.parametrize("outcome", [EXCEPTION, LIMIT])
def test_an_attempt_that_fails_is_tried_again_as_often_as_asked(desk: Desk, outcome: int) -> None:
    """Then the client hears of the last one, and of no other; each is noted for a master that takes over."""
    a_task(desk)
    for attempt in (1, 2):
        desk.answer("a", 0, attempt=attempt, outcome=outcome, payload=b"too long")
        assert desk.told() == []
        desk.dispatch()
    desk.answer("a", 0, attempt=3, outcome=outcome, payload=b"the last")
    (result,) = desk.told()
    assert (result.attempt, result.outcome, result.payload) == (3, outcome, b"the last")
    how = "it raised an exception" if outcome == EXCEPTION else "too long"
    assert tried(desk) == [f"attempt {n} on node a: {how}" for n in (1, 2)]
    assert desk.board.counters.failed == 1
    assert desk.board.job_views()[0].failed == 1


def test_a_value_ends_the_trying(desk: Desk) -> None:
    """A number used again has all its retries."""
    a_task(desk, retries=1)
    for _ in range(2):
        desk.answer("a", 0, outcome=EXCEPTION)
        desk.dispatch()
        desk.answer("a", 0, attempt=2)
        assert desk.ended() == [(0, VALUE)]
        desk.submit(0, code=1)
        desk.dispatch()


def test_without_retries_nothing_is_tried_again(desk: Desk) -> None:
    """The plain case; a limit is a failure like another."""
    desk.job()
    desk.node(slots=2)
    desk.submit(0, 1)
    desk.dispatch()
    desk.answer("a", 0, outcome=EXCEPTION)
    desk.answer("a", 1, outcome=LIMIT, payload=b"ran 12 s")
    assert desk.ended() == [(0, EXCEPTION), (1, LIMIT)]
    assert desk.noted == []


def test_losses_and_retries_are_counted_apart(desk: Desk) -> None:
    """Two losses and two exceptions are within a crash_limit of 3 and 2 retries; the third loss ends it."""
    a_task(desk, crash_limit=3)
    for attempt, outcome in enumerate([EXCEPTION, LOST, EXCEPTION, LOST], 1):
        desk.answer("a", 0, attempt=attempt, outcome=outcome, payload=b"gone")
        assert desk.told() == []
        desk.dispatch()
    desk.answer("a", 0, attempt=5, outcome=LOST, payload=b"gone")
    (result,) = desk.told()
    assert result.outcome == LOST
    assert "3 times" in result.payload.decode()
    assert [type(note) for note in desk.noted] == [NoteTried, NoteLoss, NoteTried, NoteLoss]
    assert desk.board._jobs[1].tries == {}


def test_what_is_returned_charges_no_retry(desk: Desk) -> None:
    """Nor does an answer of an old attempt, or one to a task that was cancelled."""
    a_task(desk, retries=1)
    desk.answer("a", 0, outcome=RETURNED)
    desk.dispatch()
    desk.answer("a", 0, attempt=1, outcome=EXCEPTION)
    assert tried(desk) == []
    desk.answer("a", 0, attempt=2, outcome=EXCEPTION)
    desk.dispatch()
    desk.take(desk.board.cancel(1, [0]))
    desk.answer("a", 0, attempt=3, outcome=EXCEPTION)
    assert desk.ended() == [(0, CANCELLED)]
    assert len(tried(desk)) == 1
    assert desk.board._jobs[1].tries == {}


def test_a_node_cannot_answer_what_only_the_master_says(desk: Desk) -> None:
    """DEPENDENCY and STAYS are refused like an outcome that nobody knows."""
    desk.job()
    desk.node(slots=2)
    desk.submit(0, 1)
    desk.dispatch()
    desk.answer("a", 0, outcome=DEPENDENCY)
    desk.answer("a", 1, outcome=STAYS)
    assert desk.ended() == [(0, REFUSED), (1, REFUSED)]


def test_retries_and_pause_outlive_the_master(desk: Desk) -> None:
    """What was charged stays charged, and a paused job stays paused."""
    a_task(desk, retries=1)
    desk.answer("a", 0, outcome=EXCEPTION)
    desk.take(desk.board.pause(1, True))
    fresh = type(desk)()
    fresh.take(fresh.board.restore(JobSpec(1, "ann"), desk.board.as_recovered(1)))
    fresh.node()
    fresh.dispatch()
    assert fresh.given() == []
    assert fresh.board.job_views()[0].paused
    fresh.take(fresh.board.pause(1, False))
    fresh.dispatch()
    (task,) = [message for message in fresh.sent() if isinstance(message, Task)]
    fresh.answer("a", 0, attempt=task.attempt, outcome=EXCEPTION)
    assert fresh.ended() == [(0, EXCEPTION)]


def test_what_was_not_refused_before_the_master_died_is_refused_after(desk: Desk) -> None:
    """A task of a code that was never sent is in the journal, and must not stop those that are sound."""
    tasks = {seq: Task(1, seq, 0, seq, b"") for seq in (0, 5)}
    desk.take(desk.board.restore(JobSpec(1, "ann"), Recovered(codes=[Code(1, 0, 0, b"f")], tasks=tasks)))
    assert desk.ended() == [(5, REFUSED)]
    desk.node()
    desk.dispatch()
    assert desk.given() == [0]


def test_a_paused_job_gives_out_nothing(desk: Desk) -> None:
    """What runs goes on; what comes back or is submitted waits; others are served; then it goes on in its order."""
    desk.job()
    desk.job(2, "bob")
    desk.take(desk.board.code(Code(1, 1, 0, b"g", Need(memory=1))))
    desk.node(slots=2)
    desk.submit(0, 1)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.take(desk.board.pause(1, True))
    desk.answer("a", 1, outcome=RETURNED)
    desk.submit(2)
    desk.submit(3, code=1)
    desk.dispatch()
    assert desk.given() == []
    assert desk.board.queued == 0
    view = desk.board.job_views()[0]
    assert (view.queued, view.running, view.paused) == (3, 1, True)
    told = {desk.board.explain(1, seq).reason for seq in (1, 2, 3)}
    assert told == {"job 1 is paused; `asyncluster job resume 1` lets it go on"}
    desk.submit(0, job=2)
    desk.dispatch()
    assert desk.given() == [0]
    desk.answer("a", 0, job=2)
    desk.answer("a", 0)
    assert desk.ended() == [(0, VALUE)]
    desk.take(desk.board.cancel(1, [2]))
    desk.take(desk.board.pause(1, False))
    desk.take(desk.board.pause(1, False))
    assert desk.board.queued == 2
    desk.dispatch()
    assert desk.given() == [1, 3]


def test_pausing_what_is_not_open_means_nothing(desk: Desk) -> None:
    """As for any order that bears the number of no job."""
    assert desk.board.pause(7, True) == []


def test_each_state_of_a_task_is_explained(desk: Desk) -> None:
    """Running, queued, cancelled but not gone, unknown; of a job that is open or not."""
    desk.job()
    desk.node()
    desk.submit(0, 1, 2, 3)
    desk.dispatch()
    told = desk.board.explain
    assert (told(1, 0).state, told(1, 0).reason) == ("running", "node a has it, as attempt 1")
    assert told(1, 2).reason == "all 1 slots that fit are in use, on a"
    assert told(1, 3).reason == "all 1 slots that fit are in use, on a; 1 of its job is before it"
    desk.take(desk.board.cancel(1, [0]))
    assert told(1, 0).state == "cancelled"
    assert told(1, 9).state == "unknown"
    assert told(5, 0).reason == "job 5 is not open; it was closed or never existed"
