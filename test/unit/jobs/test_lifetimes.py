"""Nodes that end themselves at a known time get no task that may take longer than is left."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.model.messages import Code, Recall
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts

Desk = Any  # the fixture's class lives in conftest.py, which is not importable
GIB = 1 << 30


def join(desk: Desk, name: str, left: float, slots: int = 1, **more: Any) -> None:
    desk.take(desk.board.join(NodeFacts(name, "host", slots, slots, GIB, "3.11", left=left, **more), desk.now))


def need(desk: Desk, code: int, **needs: Any) -> None:
    desk.take(desk.board.code(Code(1, code, 0, b"g", Need(**needs))))


def why(desk: Desk, seq: int) -> str:
    return str(desk.board.explain(1, seq).reason)


def test_a_task_goes_where_enough_time_is_left(desk: Desk) -> None:
    """One without a limit goes anywhere."""
    desk.job()
    need(desk, 1, time_limit=60.0)
    join(desk, "short", 59.0)
    desk.submit(0, code=1)
    desk.dispatch()
    assert desk.given("short") == []
    assert why(desk, 0) == "may take 1m; the node with the most time, short, ends itself in 59s"
    join(desk, "long", 60.0)
    desk.dispatch()
    assert desk.given("long") == [0]
    desk.submit(1)
    desk.dispatch()
    assert desk.given("short") == [1]


def test_time_runs(desk: Desk) -> None:
    """What fitted when the node joined does not later; a node that stays takes it."""
    desk.job()
    need(desk, 1, time_limit=60.0)
    join(desk, "short", 100.0)
    desk.submit(0, code=1)
    desk.dispatch()
    assert desk.given("short") == [0]
    desk.now += 50.0
    desk.answer("short", 0)
    desk.submit(1, code=1)
    desk.dispatch()
    assert desk.given("short") == []
    assert "ends itself in 50s" in why(desk, 1)
    join(desk, "stays", 0.0)
    desk.dispatch()
    assert desk.given("stays") == [1]


def test_a_node_that_is_back_says_anew_how_long_it_lives(desk: Desk) -> None:
    """By its own clock; a longer time lets waiting tasks in."""
    desk.job()
    need(desk, 1, time_limit=60.0)
    join(desk, "a", 10.0)
    desk.submit(0, code=1)
    desk.dispatch()
    desk.take(desk.board.away("a"))
    desk.take(desk.board.rejoin(NodeFacts("a", "host", 1, 1, GIB, "3.11", left=100.0), [], desk.now))
    desk.dispatch()
    assert desk.given("a") == [0]


def test_what_is_sent_ahead_still_has_its_time(desk: Desk) -> None:
    """Each may need all of it, one after another; behind a task that said nothing none is sent."""
    desk.job()
    need(desk, 1, time_limit=10.0)
    join(desk, "a", 35.0)
    desk.submit(*range(10), code=1)
    desk.dispatch()
    assert desk.given("a") == [0, 1]  # of unknown length: one ahead
    desk.answer("a", 0, wall=100)  # so short that hundreds would be sent ahead
    desk.dispatch()
    assert desk.given("a") == [2, 3]
    desk.job(2)
    join(desk, "b", 35.0)
    desk.submit(0, job=2)
    desk.take(desk.board.away("a"))
    desk.take(desk.board.cancel(1, range(4, 10)))
    desk.dispatch()
    desk.sent("b")
    desk.submit(20, code=1)
    desk.dispatch()
    assert desk.given("b") == []


def test_tasks_with_limits_are_not_passed_over_for_ever(desk: Desk) -> None:
    """They keep their turn on a node that ends itself, while others have more to send ahead."""
    desk.job()
    desk.job(2, owner="bob")
    need(desk, 1, time_limit=10.0)
    join(desk, "a", 1000.0)
    desk.submit(*range(5000), job=2)
    desk.submit(0, code=1)
    seen: list[int] = []
    for _ in range(60):
        desk.dispatch()
        given = [(message.job, message.seq) for message in desk.sent("a") if hasattr(message, "attempt")]
        seen += [seq for job, seq in given if job == 1]
        for job, seq in given:
            desk.answer("a", seq, job=job, wall=100)
        if seen:
            break
    assert seen == [0]
    assert desk.board.queued > 0


def test_a_wide_task_does_not_keep_a_node_that_ends_too_soon(desk: Desk) -> None:
    """It is reserved while there is time, and for all again when there is not."""
    desk.job()
    need(desk, 1, cores=2, time_limit=50.0)
    join(desk, "a", 100.0, slots=2)
    desk.submit(0)
    desk.dispatch()
    assert desk.given("a") == [0]
    desk.submit(1, code=1)
    desk.dispatch()
    desk.submit(2)
    desk.dispatch()
    assert desk.given("a") == []  # it is being emptied
    desk.tick(51.0)
    desk.dispatch()
    assert desk.given("a") == [2]
    assert "may take 50s" in why(desk, 1)


def test_nothing_is_recalled_for_a_node_that_ends_too_soon(desk: Desk) -> None:
    """It could not run it; what has no limit it may have."""
    desk.job()
    need(desk, 1, time_limit=60.0)
    join(desk, "stays", 0.0)
    desk.submit(0, 1, code=1)
    desk.dispatch()
    assert desk.given("stays") == [0, 1]
    join(desk, "short", 30.0)
    desk.tick(5.0)
    desk.tick(5.0)
    assert not any(isinstance(message, Recall) for message in desk.sent("stays"))
    join(desk, "long", 300.0)
    desk.tick(5.0)
    assert any(isinstance(message, Recall) for message in desk.sent("stays"))


@pytest.mark.parametrize("left", [-1.0, float("nan"), float("inf"), "soon"])
def test_facts_refuse_times_that_cannot_be(left: Any) -> None:
    """A node that says nonsense is refused, not believed."""
    with pytest.raises(ValueError, match="left"):
        NodeFacts("a", "host", 1, 1, GIB, "3.11", left=left)


@settings(deadline=None, max_examples=100)
@given(
    lives=st.lists(st.integers(0, 200), min_size=1, max_size=4),
    limits=st.lists(st.integers(0, 100), min_size=1, max_size=12),
    steps=st.lists(st.integers(1, 40), max_size=12),
)
def test_no_task_is_ever_placed_on_a_node_that_ends_before_it(
    lives: list[int], limits: list[int], steps: list[int]
) -> None:
    """Whatever nodes and tasks there are, and however time goes on."""
    from asyncluster.jobs.actions import ToNode
    from asyncluster.jobs.board import Board
    from asyncluster.model.job import JobSpec
    from asyncluster.model.messages import Outcome, Result, Task

    board, now = Board(), 0.0
    board.open(JobSpec(1, "ann"))
    ends = {}
    for number, left in enumerate(lives):
        board.join(NodeFacts(f"n{number}", "host", 2, 2, GIB, "3.11", left=float(left)), now)
        ends[f"n{number}"] = now + left if left else float("inf")
    for code, limit in enumerate(limits):
        board.code(Code(1, code, 0, b"g", Need(time_limit=float(limit))))
        board.submit(1, [Task(1, code, 0, code, b"")])
    for step in [0, *steps]:
        now += step
        for action in board.dispatch(now):
            if not isinstance(action, ToNode):
                continue
            tasks = [message for message in action.messages if isinstance(message, Task)]
            for task in tasks:
                assert not limits[task.code] or now + limits[task.code] <= ends[action.node]
            if tasks:
                done = [Result(1, task.seq, task.attempt, Outcome.VALUE, b"", 10) for task in tasks]
                board.results(action.node, done, now)
