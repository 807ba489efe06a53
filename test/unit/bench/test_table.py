"""The printed table."""

from __future__ import annotations

import pytest

from bench.plan import FIGURES
from bench.stats import spread
from bench.table import COLUMNS, grid, heading, number, ranged, report, wanted
from bench.targets import TARGETS, Target

ROUNDS = [
    {"ours": {"bulk": {"tasks_s": 20_000.0, "cpu_us": 40.0}}, "ppe": {"bulk": {"tasks_s": 4_000.0}}},
    {"ours": {"bulk": {"tasks_s": 24_000.0, "cpu_us": 42.0}}, "ppe": {"bulk": {"tasks_s": 6_000.0}}},
]


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.96, "100"), (12.34, "12.3"), (0.01234, "0.0123"), (0.0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    """Three digits that count, thousands parted."""
    assert number(value) == text


def test_range_only_where_there_is_one() -> None:
    """One round has no range, no round no value."""
    assert ranged(spread([2.0])) == "2"
    assert ranged(spread([1.0, 2.0, 3.0])) == "2 (1 .. 3)"
    assert ranged(None) == "-"


def test_columns_are_aligned() -> None:
    """Names to the left, numbers to the right, a rule under the heading."""
    assert grid([["", "rate"], ["ours", "5"], ["them", "1,000"]]) == [
        "       rate",
        "-----------",
        "ours      5",
        "them  1,000",
    ]


def test_bounds_in_words() -> None:
    """A reader sees what was asked for."""
    assert wanted(Target("bulk", "tasks_s", 4.0, least=True, rivals=("ppe",))) == "≥ 4 x ppe"
    assert wanted(Target("start", "seconds", 3.0, least=False, unit="s")) == "≤ 3 s"
    assert wanted(Target("bulk", "tasks_s", 20, least=True, rivals=("dask", "parsl"))) == "≥ 20 x best of dask, parsl"


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_column(target: Target) -> None:
    """Whatever is judged is also shown, under the same words."""
    assert heading(target)


def test_every_figure_has_columns() -> None:
    """A figure that can be asked for can be printed."""
    assert set(COLUMNS) == set(FIGURES)


def test_report() -> None:
    """Tables, verdicts from ratios within rounds, and notes stand in one text."""
    text = report(ROUNDS, {"ours": "AsynCluster", "ppe": "Pool"}, ["bulk"], ["ours", "ours-tcp"], ["dask: skipped"])
    assert "AsynCluster  22,000 (20,000 .. 24,000)" in text
    assert "4.5 (4 .. 5)" in text
    assert "pass" in text
    assert "not measured" in text
    assert text.count("against the targets") == 1
    assert text.endswith("notes:\n  dask: skipped")


def test_absent_system_has_no_row() -> None:
    """A system that was skipped leaves no empty line."""
    assert "Ray" not in report(ROUNDS, {"ours": "AsynCluster", "ray": "Ray"}, ["bulk"], [])
