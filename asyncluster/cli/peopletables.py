"""Accounts, openings and usage as tables; the chart is made of one character, so that any terminal shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.model.account import WEEKDAYS, Opening, clock_text
from asyncluster.units import format_duration, format_size

BAR = 40
"""Characters of the longest bar."""


def print_users(found: Sequence[Mapping[str, Any]]) -> None:
    """A line for each account."""
    if not found:
        click.echo("There are no accounts.  `asyncluster user add NAME` makes one.")
        return
    headings = ("user", "enabled", "restricted", "daily", "weekly", "slots", "queued", "password", "session")
    rows = [
        (
            *(each["name"], _yes(each["enabled"]), _yes(each["restricted"])),
            *(_hours(each["daily"]), _hours(each["weekly"]), _count(each["slots"]), _count(each["queued"])),
            *(_yes(each["password"]), _session(each["session"])),
        )
        for each in found
    ]
    render.table(headings, rows, right={"daily", "weekly", "slots", "queued"}, colors={})


def print_user(one: Mapping[str, Any], as_json: bool) -> None:
    """One account, a line for each thing."""
    if as_json:
        render.print_json(one)
        return
    granted = "any time" if one["granted"] is None else format_duration(round(one["granted"]))
    openings = openings_text(one["openings"])
    whose = " (everybody's)" if openings and not one["openings"][0]["user"] else ""
    lines = {
        "user": one["name"],
        "enabled": _yes(one["enabled"]),
        "restricted": _yes(one["restricted"]),
        "hours": f"{_hours(one['daily'])} a day, {_hours(one['weekly'])} a week",
        "slots": _count(one["slots"], "at once"),
        "queued": _count(one["queued"], "tasks"),
        "openings": openings + whose or "none",
        "password": _yes(one["password"]),
        "session": _session(one["session"]) or "none",
        "a login": f"would be refused: {one['refused']}" if one["refused"] else f"would be granted {granted}",
        "tasks": f"wait: {one['tasks_wait']}" if one["tasks_wait"] else "may run",
    }
    for name, text in lines.items():
        click.echo(f"{name:<10}  {text}")


def tasks_end(one: Mapping[str, Any]) -> str:
    """What a new account means for tasks of who worked without one; "" where they may run."""
    if not one["tasks_wait"]:
        return ""
    name = one["name"]
    verb = "enable" if not one["enabled"] else "unrestrict"
    return (
        f"tasks of {name} that run now end, and wait as new ones do: {one['tasks_wait']}; `asyncluster user {verb} "
        f"{name}` lets them run"
    )


def print_openings(found: Sequence[Opening]) -> None:
    """A line for each."""
    if not found:
        click.echo("There are no openings: restricted users cannot have sessions.")
        return
    rows = [(each.user or "everybody", *_times(each)) for each in found]
    render.table(("for", "day", "from", "to"), rows, right=set(), colors={})


def print_usage(axis: str, lines: Sequence[Mapping[str, Any]], most: int) -> None:
    """A line for each, with a bar: seat hours and core-hours together."""
    if not lines:
        click.echo("Nothing was used in these days.")
        return
    top = max(_hours_of(line) for line in lines)
    headings = (axis, "sessions", "seat hours", "tasks", "core-hours", "memory", "both kinds of hours")
    rows = [
        (
            *(line["key"], f"{line['sessions']:,}", f"{line['seat_seconds'] / 3600:,.1f}", f"{line['tasks']:,}"),
            *(f"{line['core_seconds'] / 3600:,.1f}", _memory(line["memory"]), bar(_hours_of(line), top)),
        )
        for line in lines[:most]
    ]
    render.table(headings, rows, right={"sessions", "seat hours", "tasks", "core-hours", "memory"}, colors={})
    if len(lines) > most:
        click.echo(f"… and {len(lines) - most:,} more; --top N shows them")


def bar(value: float, top: float) -> str:
    """A bar of up to BAR characters; what is not nothing has one at least."""
    if value <= 0 or top <= 0:
        return ""
    return "#" * max(1, round(BAR * value / top))


def print_acts(acts: Sequence[Mapping[str, Any]]) -> None:
    """A line for each act, in the site's time."""
    rows = [(each["when"], each["who"] or "the master", each["what"], each["whom"], each["detail"]) for each in acts]
    render.table(("when", "who", "did", "to", "with"), rows, right=set(), colors={})


def _hours_of(line: Mapping[str, Any]) -> float:
    return (float(line["seat_seconds"]) + float(line["core_seconds"])) / 3600


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _hours(seconds: int | None) -> str:
    return "no limit" if seconds is None else format_duration(seconds) if seconds else "no hours"


def _count(number: int | None, what: str = "") -> str:
    return "no limit" if number is None else f"{number:,} {what}".rstrip()


def _memory(size: int) -> str:
    return "" if not size else format_size(size // 1024**2 * 1024**2 or size)


def _session(session: Mapping[str, Any] | None) -> str:
    if not session:
        return ""
    left = "" if session["left"] is None else f", {format_duration(round(session['left']))} left"
    return f"{session['node']}, {format_duration(round(session['used']))} used{left}"


def openings_text(found: Sequence[Mapping[str, Any]]) -> str:
    """What they come to: those of a day that meet are one, and days in a row with the same times stand together."""
    days = [_joined((each["start"], each["end"]) for each in found if each["weekday"] == day) for day in range(7)]
    parts = []
    for times, some in groupby(range(7), key=lambda day: days[day]):
        if times:
            names = [WEEKDAYS[day][:3] for day in some]
            row = names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"
            parts.append(f"{row} {' '.join(times)}")
    return ", ".join(parts)


def _joined(spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(f"{clock_text(start)}-{clock_text(end)}" for start, end in joined)


def _times(each: Opening) -> tuple[str, str, str]:
    return WEEKDAYS[each.weekday], clock_text(each.start), clock_text(each.end)
