"""Windows and the even spread of tasks."""

from __future__ import annotations

from math import ceil

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.jobs.credit import AHEAD, LONG, MOST, Pace, room, share_out, worth_refilling


def pace(mean: float | None) -> Pace:
    """A pace that is known already."""
    made = Pace()
    made.mean = mean
    return made


@attrs.frozen
class Seat:
    """A node as the spread sees it."""

    slots: int
    held: int


@given(slots=st.integers(1, 64), mean=st.integers(1, 10**8), held=st.integers(0, 40_000))
def test_window_of_equal_tasks(slots: int, mean: int, held: int) -> None:
    """slots + max(spare, ceil(slots x 10 ms / mean)), at most slots x 512, whatever is held already."""
    kind = pace(mean)
    spare = 1 if mean >= LONG else slots
    window = min(slots + max(spare, ceil(slots * AHEAD / mean)), slots * MOST)
    assert room(slots, held, {kind: held} if held else {}, kind) == max(0, window - held)


def test_unknown_tasks_get_one_ahead() -> None:
    """Nothing is known of them, so they may be long."""
    kind = pace(None)
    assert [room(4, held, {kind: held} if held else {}, kind) for held in (0, 4, 5, 9)] == [5, 1, 0, 0]


def test_short_tasks_may_wait_behind_long_ones() -> None:
    """The long are taken to run; the short ones are limited by time ahead, not by the long ones' window."""
    long, short = pace(5e6), pace(100.0)
    assert room(2, 2, {long: 2}, short) == 200
    assert room(2, 102, {long: 2, short: 100}, short) == 100
    assert room(2, 3, {long: 3}, short) == 0
    assert room(2, 202, {long: 2, short: 200}, long) == 0
    assert room(1, 2, {pace(None): 2}, short) == 0


def test_the_mean_follows_and_forgets() -> None:
    """The first results set it, later ones move it; a batch weighs as its results one by one would."""
    one, many = Pace(), Pace()
    one.learn(1, 100)
    many.learn(1, 100)
    assert one.mean == 100
    for _ in range(10):
        one.learn(1, 1000)
    many.learn(10, 10_000)
    assert one.mean == pytest.approx(many.mean)
    assert 600 < (one.mean or 0) < 1000
    one.learn(1000, 0)
    assert one.mean == pytest.approx(1)
    one.learn(5, -7)
    assert one.mean == pytest.approx(1)


def test_refills_come_in_batches() -> None:
    """A quarter of the window, unless little is queued or a slot would run dry."""
    assert not worth_refilling(2, 90, 10, 1000)
    assert worth_refilling(2, 75, 25, 1000)
    assert worth_refilling(2, 90, 10, 100)
    assert worth_refilling(8, 8, 1, 1000)


seats = st.lists(st.tuples(st.integers(1, 16), st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=12)


@given(count=st.integers(0, 800), raw=seats)
def test_spread_is_exact_and_even(count: int, raw: list[tuple[int, int, int]]) -> None:
    """All is given that there is space for, and no move of one task from one to another would be fairer."""
    nodes = [Seat(slots, held) for slots, held, _ in raw]
    spaces = [space for _, _, space in raw]
    given_ = share_out(count, nodes, spaces)
    assert sum(given_) == min(count, sum(spaces))
    assert all(0 <= done <= space for done, space in zip(given_, spaces, strict=True))
    for rich, got in zip(nodes, given_, strict=True):
        for poor, had, space in zip(nodes, given_, spaces, strict=True):
            if got and had < space:
                assert (rich.held + got - 1) / rich.slots <= (poor.held + had + 1) / poor.slots + 1e-9
