"""How a run is held against the targets."""

from __future__ import annotations

import pytest

from bench.plan import SYSTEMS
from bench.targets import TARGETS, Target, judge, values

FAST = Target("bulk", "tasks_s", 4.0, least=True, rivals=("ppe",))
BEST = Target("bulk", "tasks_s", 20.0, least=True, rivals=("dask", "parsl"))
QUICK = Target("latency", "p50_ms", 0.25, least=False, rivals=("dask", "parsl"))
SMALL = Target("memory", "growth_mib", 50.0, least=False)


def bulk(**rates: float) -> dict[str, dict[str, dict[str, float]]]:
    """One round of bulk rates by system."""
    return {system: {"bulk": {"tasks_s": rate}} for system, rate in rates.items()}


def test_ratio_is_taken_within_a_round() -> None:
    """A machine that is twice as slow in the second round changes no ratio."""
    verdict = judge([bulk(ours=20_000, ppe=4_000), bulk(ours=10_000, ppe=2_000)], "ours", FAST)
    assert verdict.spread is not None
    assert (verdict.spread.low, verdict.spread.high, verdict.word) == (5, 5, "pass")


def test_bound_itself_passes_and_less_misses() -> None:
    """At least four times means that four times is enough."""
    assert judge([bulk(ours=400, ppe=100)], "ours", FAST).word == "pass"
    assert judge([bulk(ours=399, ppe=100)], "ours", FAST).word == "MISS"


def test_rates_against_the_best_rival() -> None:
    """Of several rivals the one with the highest rate counts."""
    verdict = judge([bulk(ours=4_000, dask=100, parsl=400)], "ours", BEST)
    assert verdict.spread is not None
    assert (verdict.spread.median, verdict.word) == (10, "MISS")


def test_times_against_the_best_rival() -> None:
    """For times the best rival is the one with the least."""
    taken = {"ours": 1.0, "dask": 8.0, "parsl": 4.0}
    measured = {name: {"latency": {"p50_ms": value}} for name, value in taken.items()}
    verdict = judge([measured], "ours", QUICK)
    assert verdict.spread is not None
    assert (verdict.spread.median, verdict.word) == (0.25, "pass")


def test_absent_rivals_are_named() -> None:
    """A verdict without one of the rivals says so; without all of them there is none."""
    assert judge([bulk(ours=4_000, dask=100)], "ours", BEST).absent == ("parsl",)
    assert judge([bulk(ours=4_000)], "ours", BEST).word == "not measured"


def test_round_without_us_is_left_out() -> None:
    """A turn of ours that failed is no zero; nor is a rival's."""
    verdict = judge([bulk(ppe=100), bulk(ours=500, ppe=100), bulk(ours=500)], "ours", FAST)
    assert verdict.spread is not None
    assert (verdict.spread.count, verdict.spread.median) == (1, 5)


def test_absolute_bound() -> None:
    """Without rivals the value itself is held against the bound; shrinking memory passes."""
    assert judge([{"ours": {"memory": {"growth_mib": 50.1}}}], "ours", SMALL).word == "MISS"
    assert judge([{"ours": {"memory": {"growth_mib": -1.0}}}], "ours", SMALL).word == "pass"


def test_values_skip_what_is_not_there() -> None:
    """Only rounds that gave the value count."""
    assert values([bulk(ours=1), {}, bulk(ours=3)], "ours", "bulk", "tasks_s") == [1, 3]


@pytest.mark.parametrize("target", TARGETS)
def test_every_rival_of_a_target_is_measured(target: Target) -> None:
    """A misspelt rival would turn a target into one that is never checked."""
    assert set(target.rivals) <= {system.name for system in SYSTEMS}
