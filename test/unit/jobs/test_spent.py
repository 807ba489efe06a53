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
