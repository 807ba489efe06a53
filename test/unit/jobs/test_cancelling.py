"""Cancelling where much is held: what it costs, counted in look-ups, and who is told to end what."""

from __future__ import annotations

from typing import Any

from asyncluster.model.messages import Cancel

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
