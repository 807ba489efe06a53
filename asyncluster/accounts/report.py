"""Sums of usage: what a session or a batch of tasks adds to them, and which of them a report needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo

import attrs

from asyncluster.accounts.calendar import ONE_DAY, day_of, instant, pieces
from asyncluster.model.account import Session, Span, Total, Used

AXES = ("user", "day", "node", "job")


def month_of(day: date) -> int:
    """The number of a day's month."""
    return day.year * 12 + day.month - 1


def hour_of(zone: tzinfo, when: float) -> float:
    """The instant at which the hour began that a clock shows."""
    local = datetime.fromtimestamp(when, UTC).astimezone(zone)
    return float(int(when) - local.minute * 60 - local.second)


def totals_of_session(zone: tzinfo, session: Session) -> list[Total]:
    """What a session that has ended adds: its seconds where they lie, itself where it began."""
    found: list[Total] = []
    for number, (day, begin, end) in enumerate(pieces(zone, session.begun, session.ended)):
        for axis, key in (("user", session.user), ("day", day.isoformat()), ("node", session.node)):
            found.append(Total(axis, month_of(day), key, int(number == 0), end - begin))
    return summed(found)


def totals_of_used(zone: tzinfo, used: Iterable[Used]) -> list[Total]:
    """What tasks add."""
    found = []
    for each in used:
        day = day_of(zone, each.hour)
        keys = (("user", each.owner), ("day", day.isoformat()), ("node", each.node), ("job", str(each.job)))
        found += [
            Total(axis, month_of(day), key, 0, 0.0, each.tasks, each.core_seconds, each.wall, each.memory)
            for axis, key in keys
        ]
    return summed(found)


def summed(totals: Iterable[Total]) -> list[Total]:
    """One for each axis, month and key."""
    sums: dict[tuple[str, int, str], Total] = {}
    for each in totals:
        place = (each.axis, each.month, each.key)
        before = sums.get(place)
        sums[place] = each if before is None else _plus(before, each)
    return list(sums.values())


def _plus(one: Total, other: Total) -> Total:
    return attrs.evolve(
        one,
        sessions=one.sessions + other.sessions,
        seat_seconds=one.seat_seconds + other.seat_seconds,
        tasks=one.tasks + other.tasks,
        core_seconds=one.core_seconds + other.core_seconds,
        wall=one.wall + other.wall,
        memory=max(one.memory, other.memory),
    )


def span(zone: tzinfo, first: date, last: date, today: date = date.max) -> Span:
    """The sums that the days from `first` to `last`, both included, are made of.  Raises ValueError for none.

    today: after it there is nothing, so a report until then has the whole of its last month.
    """
    if last < first:
        raise ValueError(f"a report cannot end ({last}) before it begins ({first})")
    begin, end = instant(zone, first), instant(zone, last + ONE_DAY)
    first_whole = first if first.day == 1 else _next_month(first)
    after_whole = _next_month(last) if last >= today else (last + ONE_DAY).replace(day=1)
    if first_whole >= after_whole:
        edges: tuple[tuple[float, float], ...] = ((begin, end),)
        months = (0, -1)
    else:
        edges = ((begin, instant(zone, first_whole)), (instant(zone, after_whole), end))
        months = (month_of(first_whole), month_of(after_whole - ONE_DAY))
    edges = tuple((start, stop) for start, stop in edges if start < stop)
    return Span(*months, edges, first.isoformat(), last.isoformat())


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
