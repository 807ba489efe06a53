"""Things to be done, a few in each turn of the reactor."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.master.piecemeal import Piecemeal


def test_who_is_first_waits_for_nobody() -> None:
    """Not for the next turn, and stands before all that wait, also where it waited already; nothing is done twice."""
    clock, done = Clock(), list[list[int]]()
    line = Piecemeal(clock, done.append, few=2)
    line.put(range(6))
    line.put([6, 3])
    assert (done, len(line)) == ([[0, 1]], 5)
    line.put([5, 7, 3], first=True)
    assert done[1:] == [[5, 7]]
    line.put([8])
    clock.advance(0)
    clock.advance(0)
    clock.advance(0)
    assert done[2:] == [[3, 2], [4, 6], [8]]
    assert clock.getDelayedCalls() == []
    line.put(range(6))
    line.stop()
    assert (clock.getDelayedCalls(), len(line)) == ([], 0)


def test_nobody_is_first_while_some_are_being_done() -> None:
    """They end when their Deferred fires, as it may."""
    clock, done = Clock(), list[list[int]]()
    fires: list[Deferred[None]] = []

    def work(some: list[int]) -> Deferred[None]:
        done.append(some)
        fires.append(Deferred())
        return fires[-1]

    line = Piecemeal(clock, work, few=2)
    line.put(range(4))
    line.put([9], first=True)
    clock.advance(0)
    assert done == [[0, 1]]
    fires[0].callback(None)
    clock.advance(0)
    assert done == [[0, 1], [9, 2]]
