"""What comes before there is a session for it, and how it is handed over."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from asyncluster.client.attach_deferred import attach_deferred
from asyncluster.client.early import PIECE, Early
from asyncluster.client.opening import EXPECTED, _pieces
from asyncluster.client.session import Session
from asyncluster.model.messages import Beat, Message, Outcome, Result
from asyncluster.testing.threads import Threads


class Real:
    """Takes over."""

    def __init__(self) -> None:
        self.got: list[list[Any]] = []
        self.reason = ""
        self.fault: Exception | None = None

    def messages(self, messages: list[Message]) -> None:
        assert not self.reason
        self.got.append([beat.count for beat in messages if isinstance(beat, Beat)])
        if self.fault is not None:
            raise self.fault

    def lost(self, reason: str) -> None:
        self.reason = reason

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        return name, args


class Link:
    """Knows who handles it."""

    handler: Any = None


def beats(first: int, last: int) -> list[Message]:
    return [Beat(number) for number in range(first, last)]


def test_few_are_handed_over_at_once() -> None:
    """And from then on the link goes straight to who took over."""
    turns: list[Callable[[], None]] = []
    early, real, link = Early(turns.append), Real(), Link()
    early.messages(beats(0, 3))
    early.hand_over(link, real)
    assert (real.got, turns, link.handler) == ([[0, 1, 2]], [], real)
    early.messages(beats(3, 4))
    early.lost("cut")
    assert (real.got[1:], real.reason) == ([[3]], "cut")
    assert early.verb("x", ()) == ("x", ())


def test_many_are_handed_over_in_turns() -> None:
    """In order, with what comes meanwhile behind them, and the end of the link behind everything."""
    turns: list[Callable[[], None]] = []
    early, real, link = Early(turns.append), Real(), Link()
    early.messages(beats(0, 3 * PIECE))
    early.hand_over(link, real)
    assert len(real.got) == len(turns) == 1
    early.messages(beats(3 * PIECE, 3 * PIECE + 5))
    early.lost("cut")
    assert not real.reason
    while turns:
        before = len(real.got)
        turns.pop()()
        assert len(real.got) <= before + 1
    assert max(map(len, real.got)) <= PIECE
    assert list(chain(*real.got)) == list(range(3 * PIECE + 5))
    assert (real.reason, link.handler) == ("cut", real)


def test_a_mistake_loses_nothing_else() -> None:
    """The rest is handed over all the same, and the end of the link is told."""
    turns: list[Callable[[], None]] = []
    early, real = Early(turns.append), Real()
    early.messages(beats(0, 2 * PIECE))
    real.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        early.hand_over(object(), real)
    real.fault = None
    early.lost("cut")
    turns.pop()()
    assert list(chain(*real.got)) == list(range(2 * PIECE))
    assert real.reason == "cut"


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3 * EXPECTED)), max_size=6))
@settings(deadline=None, derandomize=False)
def test_room_is_made_in_pieces(gaps: list[tuple[int, int]]) -> None:
    """All numbers, in order, and no piece of many more than it may have."""
    ranges, at = [], 0
    for gap, more in gaps:
        ranges.append((at + gap, at + gap + more))
        at += gap + more
    pieces = list(_pieces(ranges))
    assert [n for piece in pieces for a, b in piece for n in range(a, b + 1)] == [
        n for a, b in ranges for n in range(a, b + 1)
    ]
    assert all(sum(b - a + 1 for a, b in piece) < 2 * EXPECTED for piece in pieces)


TURN = 0.25


class _Reactor(Threads):
    """Its threads work at once, and each of its turns takes TURN seconds: a slow machine."""

    def callLater(self, delay: float, function: Any, *args: object, **kwargs: object) -> Any:
        return super().callLater(max(delay, TURN), function, *args, **kwargs)


def test_a_large_job_that_has_ended(link: Any) -> None:
    """While its results are settled the link beats: else the master would give us up for dead."""
    clock, many = _Reactor(), 2 * EXPECTED
    link.terms = {"heartbeat": 0.5, "silence": 2.0}
    link.tasks = [[0, many - 1]], []
    link.owed = [Result(7, seq, 1, Outcome.VALUE, pickle.dumps(seq)) for seq in range(many)]
    made: list[Any] = []
    Deferred.fromCoroutine(attach_deferred(clock, 7, 300.0, False, {"address": link})).addBoth(made.append)
    settled = []
    turns = 0
    while not made or made[0].session.finished < many:
        before = made[0].session.finished if made else 0
        clock.advance(TURN)
        link.received += 1
        turns += 1
        settled.append((made[0].session.finished if made else 0) - before)
        assert turns < many
    assert isinstance(made[0].session, Session)
    assert max(settled) <= 2 * PIECE
    assert len(link.of(Beat)) > turns / 4
    results: list[Any] = []
    made[0].results().addCallback(results.extend)
    assert results == [], "nor are they gathered in one turn"
    clock.pump([TURN] * 10)
    assert results == [(seq, seq) for seq in range(many)]
    assert not made[0].session.ended
