"""The little statistics that is needed: percentiles, and medians with their range. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """What the rounds of one run gave."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest of at least one value. Raises ValueError on none."""
    if not values:
        raise ValueError("no values: nothing was measured")
    return Spread(median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie: nearest rank, so it is one that was seen."""
    if not values:
        raise ValueError("no values: nothing was measured")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0 and 1, not at {share}")
    ordered = sorted(values)
    # ceil(share * n) - 1 in whole numbers: floats would turn 0.07 * 100 into 7.000000000000001
    rank = -(-round(share * 10_000) * len(ordered) // 10_000)
    return ordered[max(0, rank - 1)]
