"""Hours used, by day and by week: sums over sessions, and how long what is left of them lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta, tzinfo

from asyncluster.accounts.calendar import ONE_DAY, day_of, instant, pieces, week_of

Interval = tuple[float, float]
"""Two instants; what lies between them is charged."""

FAR = 366 * 86400.0
"""Seconds beyond which nobody looks: who may stay for so long may stay."""


def by_day(zone: tzinfo, intervals: Iterable[Interval]) -> dict[date, float]:
    """Seconds used on each day.  Intervals that overlap are counted twice."""
    used: dict[date, float] = {}
    for begin, end in intervals:
        for day, start, stop in pieces(zone, begin, end):
            used[day] = used.get(day, 0.0) + stop - start
    return used


def by_week(used: Mapping[date, float]) -> dict[date, float]:
    """Seconds used in each week, by its Monday; used: by day."""
    weeks: dict[date, float] = {}
    for day, seconds in used.items():
        monday = week_of(day)
        weeks[monday] = weeks.get(monday, 0.0) + seconds
    return weeks


def lasts_by_day(zone: tzinfo, now: float, limit: float, used: Mapping[date, float]) -> float:
    """For how many seconds from now on no day has more than `limit` seconds used; used: by day."""
    return _lasts(now, limit, _days(zone, now, used))


def lasts_by_week(zone: tzinfo, now: float, limit: float, used: Mapping[date, float]) -> float:
    """The same for weeks; used: by day."""
    return _lasts(now, limit, _weeks(zone, now, by_week(used)))


def _lasts(now: float, limit: float, periods: Iterator[tuple[float, float]]) -> float:
    moment = now
    for end, used in periods:
        left = max(limit - used, 0.0)
        if left < end - moment:
            return moment + left - now
        moment = end
        if moment - now >= FAR:
            break
    return FAR


def _days(zone: tzinfo, now: float, used: Mapping[date, float]) -> Iterator[tuple[float, float]]:
    day = day_of(zone, now)
    while True:
        yield instant(zone, day + ONE_DAY), used.get(day, 0.0)
        day += ONE_DAY


def _weeks(zone: tzinfo, now: float, used: Mapping[date, float]) -> Iterator[tuple[float, float]]:
    monday = week_of(day_of(zone, now))
    while True:
        following = monday + timedelta(days=7)
        yield instant(zone, following), used.get(monday, 0.0)
        monday = following
