"""Percentiles and ranges of the benchmark."""

from __future__ import annotations

import pytest

from bench.stats import percentile, spread


def test_spread_of_odd_and_even() -> None:
    """The median lies in the middle, or between the two middle ones, and the range is kept."""
    assert (spread([3, 1, 2]).median, spread([4, 1, 2, 3]).median) == (2, 2.5)
    found = spread([5.0, 1.0, 9.0])
    assert (found.low, found.high, found.count) == (1.0, 9.0, 3)


def test_nothing_measured() -> None:
    """No values are an error, never a zero that looks like a figure."""
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1), (0.01, 1), (0.07, 7), (0.5, 50), (0.99, 99), (0.991, 100), (1, 100)]
)
def test_percentile_is_a_value_that_was_seen(share: float, expected: int) -> None:
    """Nearest rank over 1..100 gives the rank itself, without a slip of floating point."""
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_percentile_of_one_value() -> None:
    """A single value is every percentile."""
    assert percentile([7.5], 0.99) == 7.5


def test_share_out_of_range() -> None:
    """99 for 0.99 is a mistake that must not pass."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        percentile([1, 2], 99)
