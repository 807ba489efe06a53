"""Cancelling where much is held: what it costs, counted in look-ups, and who is told to end what."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.model.messages import Cancel, Held, Task
from asyncluster.model.node import NodeFacts

Desk = Any  # the fixture's class lives in conftest.py, which is not importable
NODES, SLOTS = 50, 4


class Counting(dict[Any, Any]):
    """Counts how often somebody looks into it or walks it."""

    looks = 0

    def values(self) -> Any:
        Counting.looks += len(self)
        return super().values()

    def __iter__(self) -> Any:
        Counting.looks += len(self)
        return super().__iter__()

    def __contains__(self, key: object) -> bool:
        Counting.looks += 1
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        Counting.looks += 1
        return super().get(key, default)


def test_what_is_cancelled_once_more_is_looked_up_once(desk: Desk) -> None:
    """Many nodes hold tasks that were cancelled before: the second order costs a look a task, however many nodes."""
    desk.job()
    for number in range(NODES):
        desk.node(f"n{number}", slots=SLOTS)
    count = NODES * SLOTS
    desk.submit(*range(count))
    desk.dispatch()
    job = desk.board._jobs[1]
    assert len(job.running) == count
    desk.take(desk.board.cancel(1, None))
    for number in range(NODES):
        desk.sent(f"n{number}")
    job.shares = Counting(job.shares)
    for share in job.shares.values():
        share.tasks = Counting(share.tasks)
    for order in (None, list(range(count)) * 3):
        Counting.looks = 0
        desk.take(desk.board.cancel(1, order, cut=True))
        assert Counting.looks <= 2 * count
        told = [desk.sent(f"n{number}") for number in range(NODES)]
        assert [[type(each) for each in some] for some in told] == [[Cancel]] * NODES
        assert sorted(seq for some in told for each in some for seq in each.seqs) == list(range(count))


FACTS = NodeFacts("a", "host", 2, 2, 1 << 30, "3.11")


@pytest.mark.parametrize("cut", [False, True])
def test_a_node_that_comes_back_ends_what_it_was_to_end(desk: Desk, cut: bool) -> None:
    """The order may have been lost with the link; what somebody let go on to its end still may."""
    desk.job()
    desk.node(slots=2)
    desk.submit(0, 1)
    desk.dispatch()
    desk.sent()
    desk.take(desk.board.away("a"))
    desk.take(desk.board.cancel(1, [0], cut))
    desk.sent()
    held = [Held(1, [0], 0, [(0, 1), (1, 1)])]
    for _ in range(2):
        desk.take(desk.board.rejoin(FACTS, held, desk.now))
        assert desk.sent() == [Cancel(1, [0], cut)]
    desk.take(desk.board.cancel(1, [0], cut=True))
    desk.sent()
    desk.take(desk.board.rejoin(FACTS, held, desk.now))
    assert desk.sent() == [Cancel(1, [0], cut=True)]


def test_what_a_master_started_anew_does_not_know(desk: Desk) -> None:
    """A node has what is over, and nobody remembers how it was cancelled: the node may."""
    desk.job()
    desk.take(desk.board.submit(1, [Task(1, seq, 0, 0, b"") for seq in (0, 1)]))
    desk.take(desk.board.cancel(1, [0, 1]))
    desk.take(desk.board.rejoin(FACTS, [Held(1, [0], 0, [(0, 1)])], desk.now))
    assert desk.sent() == [Cancel(1, [0], cut=True, unknown=True)]
