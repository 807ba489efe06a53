"""Who has the next turn: some at once, few in one turn of the reactor, no line before another."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from asyncluster.elastic.actions import Action, Do
from asyncluster.elastic.turns import FEW, Turns


def action(name: str) -> Action:
    return Action(Do.CHECK, name, "p", "because")


class Begun:
    """What was begun, and ends when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.names: list[str] = []
        self.open: dict[str, Deferred[None]] = {}

    def __call__(self, action: Action) -> Deferred[None]:
        self.names.append(action.node)
        self.open[action.node] = Deferred()
        return self.open[action.node]


def put(turns: Turns, line: str, count: int) -> None:
    for number in range(count):
        turns.put(line, action(f"{line}{number}"))


def test_so_many_of_a_line_at_once() -> None:
    """The next begins when one is over, and not before the reactor's next turn."""
    begun = Begun()
    turns = Turns(begun.clock, 2, begun)
    put(turns, "a", 4)
    assert begun.names == []
    begun.clock.advance(0.0)
    assert begun.names == ["a0", "a1"]
    begun.clock.advance(1.0)
    assert len(turns.running) == 2
    begun.open["a1"].callback(None)
    assert begun.names == ["a0", "a1"]
    begun.clock.advance(0.0)
    assert begun.names == ["a0", "a1", "a2"]
    begun.open["a0"].callback(None)
    begun.open["a2"].callback(None)
    begun.clock.advance(0.0)
    assert begun.names == ["a0", "a1", "a2", "a3"]
    assert len(turns.running) == 1
    assert not begun.clock.getDelayedCalls()


def test_a_long_line_keeps_no_other_from_its_turn() -> None:
    """They take turns, a few in all at a time."""
    begun = Begun()
    turns = Turns(begun.clock, 100, begun)
    put(turns, "a", 50)
    put(turns, "b", 2)
    begun.clock.pump([0.0])
    assert begun.names[:4] == ["a0", "b0", "a1", "b1"]


def test_what_ends_at_once_keeps_nobody_waiting() -> None:
    """A thousand, each followed by another, are begun a few in each turn of the reactor, and none out of another."""
    clock, seen, depths = Clock(), list[str](), list[int]()

    def begin(one: Action) -> Deferred[None]:
        seen.append(one.node)
        frame, depth = sys._getframe(), 0
        while frame.f_back is not None:
            frame, depth = frame.f_back, depth + 1
        depths.append(depth)
        if one.node.startswith("a"):
            turns.put("b", action(f"b{one.node}"))  # the node's next step
        return succeed(None)

    turns = Turns(clock, 2, begin)
    put(turns, "a", 1000)
    most = 0

    def step() -> bool:
        nonlocal most
        before, calls = len(seen), len(clock.getDelayedCalls())
        if calls:
            call = clock.calls.pop()  # one turn: Clock.advance would take those that it adds as well
            call.called = 1
            call.func(*call.args, **call.kw)
        most = max(most, len(seen) - before)
        return bool(calls)

    while step():
        pass
    assert len(seen) == 2000
    assert most <= FEW
    assert max(depths) == min(depths)
    assert not turns.running


def test_stopped() -> None:
    """Those that wait are given back; those that were begun go on, and nothing follows."""
    begun = Begun()
    turns = Turns(begun.clock, 1, begun)
    put(turns, "a", 3)
    begun.clock.advance(0.0)
    assert [one.node for one in turns.stop()] == ["a1", "a2"]
    begun.open["a0"].callback(None)
    begun.clock.advance(1.0)
    assert begun.names == ["a0"]
    assert not begun.clock.getDelayedCalls()
    put(turns, "b", 1)  # of another start
    assert turns.stop()[0].node == "b0"
    assert not begun.clock.getDelayedCalls()
