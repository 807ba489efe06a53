"""Usage as a table with a chart."""

from __future__ import annotations

import pytest

from asyncluster.cli.peopletables import BAR, bar, openings_text, print_acts, print_usage, print_users

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


@pytest.mark.parametrize("axis", ["user", "day", "node", "job"])
def test_every_sum_has_its_chart(capsys: pytest.CaptureFixture[str], axis: str) -> None:
    """Each line a bar, as long as its hours are of the longest's."""
    little = LINE | {"seat_seconds": 0.0}
    print_usage(axis, [{"key": "one", **LINE}, {"key": "other", **little}], 2)
    heading, *_, first, second = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == axis
    assert (first.count("#"), second.count("#")) == (BAR, round(BAR / 3))


def test_limits_are_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Slots and queued tasks as hours; nothing of something is not the same as no limit."""
    flags = {"enabled": True, "restricted": True, "password": True, "session": None}
    some = {"name": "jane", "daily": 0, "weekly": 72000, "slots": 8, "queued": 10000}
    none = {"name": "bob", "daily": None, "weekly": None, "slots": None, "queued": None}
    print_users([some | flags, none | flags])
    heading, *_, jane, bob = capsys.readouterr().out.splitlines()
    assert " ".join(heading.split()) == "user enabled restricted daily weekly slots queued password session"
    assert " ".join(jane.split()) == "jane yes yes no hours 20h 8 10,000 yes"
    assert " ".join(bob.split()) == f"bob yes yes {'no limit ' * 4}yes"


def test_acts_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """With the time that the master says."""
    act = {"at": 0.0, "when": "2026-11-23 09:00:00+01:00", "who": "", "what": "import", "whom": "jane", "detail": ""}
    print_acts([act])
    assert "2026-11-23 09:00:00+01:00  the master  import  jane" in capsys.readouterr().out


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
