"""Usage as a table with a chart."""

from __future__ import annotations

import pytest

from asyncluster.cli.peopletables import BAR, bar, print_usage

LINE = {
    "sessions": 2,
    "seat_seconds": 7200.0,
    "tasks": 10,
    "core_seconds": 3600.0,
    "wall": 3600.0,
    "memory": 5 * 1024**2,
}


def test_bars() -> None:
    """The largest is full, what is little is seen, nothing is nothing."""
    assert [len(bar(value, 100.0)) for value in (100.0, 50.0, 0.001, 0.0)] == [BAR, BAR // 2, 1, 0]


def test_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, those that are left out are counted."""
    print_usage("user", [{"key": "jane", **LINE}, {"key": "bob", **LINE}, {"key": "joe", **LINE}], 2)
    out = capsys.readouterr().out
    assert "jane" in out
    assert "joe" not in out
    assert "and 1 more" in out
    assert f"2.0     10         1.0   5 MiB  {'#' * BAR}" in out
