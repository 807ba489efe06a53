"""Usage as a table with a chart."""

from __future__ import annotations

import pytest

from asyncluster.cli.peopletables import BAR, bar, openings_text, print_usage

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


@pytest.mark.parametrize(
    ("some", "text"),
    [
        ([], ""),
        ([(2, 480, 600)], "Wed 08:00-10:00"),
        ([(day, 480, 1080) for day in range(5)], "Mon-Fri 08:00-18:00"),
        ([(0, 480, 600), (0, 480, 1080), (1, 480, 720), (1, 720, 1080)], "Mon-Tue 08:00-18:00"),
        ([(0, 480, 600), (0, 660, 720), (2, 480, 600), (6, 0, 1440)],
         "Mon 08:00-10:00 11:00-12:00, Wed 08:00-10:00, Sun 00:00-24:00"),
    ],
)  # fmt: skip
def test_openings_are_shown_as_what_they_come_to(some: list[tuple[int, int, int]], text: str) -> None:
    """Not as they were typed, which `opening list` shows."""
    found = [{"user": "", "weekday": day, "start": start, "end": end} for day, start, end in some]
    assert openings_text(found) == text
