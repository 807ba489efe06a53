"""Days and weeks of a site: between which instants they lie, in a time zone whose clocks may be changed.

A clock that shows a time twice means the first; one that leaves a time out means the moment at which it did.  So times
of a day never run backwards, what ends at 02:30 and what begins then still meet, and each instant has one day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from asyncluster.model.account import WEEKDAYS

ONE_DAY = timedelta(days=1)


@lru_cache(maxsize=4096)
def instant(zone: tzinfo, day: date, minute: int = 0) -> float:
    """When a clock of that zone first shows `minute` of `day` (1440: the day's end), or would have."""
    if minute >= 1440:
        return instant(zone, day + ONE_DAY, minute - 1440)
    shown = datetime(day.year, day.month, day.day, minute // 60, minute % 60)
    first = shown.replace(tzinfo=zone, fold=0).timestamp()
    other = shown.replace(tzinfo=zone, fold=1).timestamp()
    return first if first <= other else _change(zone, other, first)


def _change(zone: tzinfo, before: float, after: float) -> float:
    """The second from which on clocks show what they show at `after`."""
    low, high = int(before), int(after)
    offset = _local(zone, low).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if _local(zone, middle).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return float(high)


def _local(zone: tzinfo, when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC).astimezone(zone)


def day_of(zone: tzinfo, when: float) -> date:
    """The day in which an instant lies."""
    day = _local(zone, when).date()
    while instant(zone, day) > when:
        day -= ONE_DAY
    while instant(zone, day + ONE_DAY) <= when:
        day += ONE_DAY
    return day


def week_of(day: date) -> date:
    """The Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def week_start(zone: tzinfo, when: float) -> float:
    """When the week of an instant began."""
    return instant(zone, week_of(day_of(zone, when)))


def pieces(zone: tzinfo, begin: float, end: float) -> Iterator[tuple[date, float, float]]:
    """The parts of an interval by the day in which they lie, in order; none for one that is empty."""
    if end <= begin:
        return
    day = day_of(zone, begin)
    while begin < end:
        until = min(end, instant(zone, day + ONE_DAY))
        if until > begin:
            yield day, begin, until
            begin = until
        day += ONE_DAY


def shown(zone: tzinfo, when: float) -> str:
    """An instant as people of the site say it: "Monday 08:00"."""
    local = _local(zone, when)
    return f"{WEEKDAYS[local.weekday()]} {local:%H:%M}"
