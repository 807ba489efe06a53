"""What tasks took is added up by job and node, a batch at a time."""

from __future__ import annotations

from asyncluster.jobs.actions import ToNode
from asyncluster.jobs.board import Board
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Code, CodeKind, Outcome, Result, Task
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts


def test_attempts_that_ended_by_themselves_are_added_up() -> None:
    """Values and exceptions with their time and cores; not what was given back, cancelled, or of an old attempt."""
    board = Board()
    board.open(JobSpec(1, "jane"))
    board.code(Code(1, 0, CodeKind.NAME, b"f", Need(cores=2)))
    board.join(NodeFacts("a", "host", 8, 8, 0, python="3.11", pool="night"), 0.0)
    board.submit(1, [Task(1, seq, 0, 0, b"") for seq in range(4)])
    given = [
        message
        for action in board.dispatch(0.0)
        if isinstance(action, ToNode)
        for message in action.messages
        if isinstance(message, Task)
    ]
    ends = [Outcome.VALUE, Outcome.EXCEPTION, Outcome.RETURNED]
    results = [Result(1, task.seq, task.attempt, end, b"", 1000) for task, end in zip(given, ends, strict=False)]
    assert len(results) == len(ends)
    board.results("a", results, 1.0)
    board.results("a", results, 2.0)
    spent = board.counters.spent["a", 1]
    assert (spent.owner, spent.pool, spent.tasks, spent.wall, spent.core_wall) == ("jane", "night", 2, 2000, 4000)


def given_to(board: Board, now: float = 0.0) -> list[Task]:
    return [
        message
        for action in board.dispatch(now)
        if isinstance(action, ToNode)
        for message in action.messages
        if isinstance(message, Task)
    ]


def a_board(count: int, need: Need) -> tuple[Board, list[Task]]:
    board = Board()
    board.open(JobSpec(1, "jane", crash_limit=5))
    board.code(Code(1, 0, CodeKind.NAME, b"f", need))
    board.join(NodeFacts("a", "host", 8, 8, 1 << 40, python="3.11"), 0.0)
    board.submit(1, [Task(1, seq, 0, 0, b"") for seq in range(count)])
    return board, given_to(board)


def test_what_ran_is_charged_however_it_ended() -> None:
    """By a limit, with retries or not, cancelled, lost with its worker, or to an end that nobody awaits."""
    board, tasks = a_board(7, Need(cores=1, time_limit=5.0, retries=1))
    board.cancel(1, [4, 5], cut=True)
    ends = [
        *(Outcome.LIMIT, Outcome.LOST, Outcome.RETURNED, Outcome.REFUSED),
        *(Outcome.CANCELLED, Outcome.VALUE, Outcome.EXCEPTION),
    ]
    results = [Result(1, task.seq, task.attempt, end, b"", 1000) for task, end in zip(tasks, ends, strict=True)]
    board.results("a", results, 1.0)
    spent = board.counters.spent["a", 1]
    assert (spent.tasks, spent.wall, spent.core_wall) == (5, 5000, 5000)
    assert board.owners.of("jane").spent == 5000
    again = [task for task in given_to(board, 2.0) if task.seq == 0]
    board.results("a", [Result(1, 0, again[0].attempt, Outcome.LIMIT, b"", 500)], 3.0)
    assert board.counters.spent["a", 1].wall == 5500


def test_a_task_that_kills_its_worker_at_its_end_is_charged() -> None:
    """As its node tells it; one that was lost with its node, or of which the node does not know that it ran, is not."""
    board, tasks = a_board(3, Need())
    ends = [
        Result(1, task.seq, task.attempt, Outcome.LOST, b"killed", wall)
        for task, wall in zip(tasks, (9000, 0), strict=False)
    ]
    board.results("a", ends, 1.0)
    board.leave("a", "its link broke", 2.0)
    spent = board.counters.spent["a", 1]
    assert (spent.tasks, spent.wall) == (1, 9000)
    assert board.owners.of("jane").spent == 9000


def test_what_a_closed_job_still_ran_is_charged() -> None:
    """Its tasks are ended by the node, which says how long they took; what had not begun took nothing."""
    board, tasks = a_board(2, Need())
    board.close(1)
    walls = (7000, 0)
    results = [
        Result(1, task.seq, task.attempt, Outcome.CANCELLED, b"", wall) for task, wall in zip(tasks, walls, strict=True)
    ]
    board.results("a", results, 1.0)
    spent = board.counters.spent["a", 1]
    assert (spent.tasks, spent.wall) == (1, 7000)


def test_a_program_that_is_to_begin_anew_elsewhere_has_not_failed() -> None:
    """Told to end, it ends with a code, which is what its task raises: that is neither its result nor charged."""
    board, (task,) = a_board(1, Need())
    board.vacate("a")
    assert board.results("a", [Result(1, 0, task.attempt, Outcome.EXCEPTION, b"", 500)], 1.0) == []
    assert board.counters.spent == {}
    assert board.explain(1, 0).state == "queued"
    board.hold("a", False)
    assert [each.seq for each in given_to(board, 2.0)] == [0]


def test_the_most_memory_of_any_task_is_kept() -> None:
    """Where it was measured."""
    board, tasks = a_board(3, Need(memory=1 << 30))
    results = [
        Result(1, task.seq, task.attempt, Outcome.VALUE, b"", 10, memory)
        for task, memory in zip(tasks, (5 << 20, 9 << 20, 0), strict=True)
    ]
    board.results("a", results[:2], 1.0)
    board.results("a", results[2:], 1.0)
    assert board.counters.spent["a", 1].memory == 9 << 20
