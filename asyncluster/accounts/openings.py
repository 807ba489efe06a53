"""When a site is open: until when it stays so, when it is next; and how people write openings down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, tzinfo

from asyncluster.accounts.calendar import ONE_DAY, day_of, instant
from asyncluster.accounts.hours import FAR
from asyncluster.model.account import EVERYBODY, WEEKDAYS, Opening
from asyncluster.units import clip

_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})", re.ASCII)
_SHORT = {name[:3].lower(): number for number, name in enumerate(WEEKDAYS)}
_LONG = {name.lower(): number for number, name in enumerate(WEEKDAYS)}
DAY_FORMS = '"Mon", "monday", "Mon-Fri", "Sat,Sun" or "daily"'


def by_user(openings: Iterable[Opening]) -> dict[str, list[Opening]]:
    """All of them, found by user; those of EVERYBODY under that name."""
    found: dict[str, list[Opening]] = {}
    for each in openings:
        found.setdefault(each.user, []).append(each)
    return found


def openings_of(user: str, openings: Mapping[str, list[Opening]]) -> list[Opening]:
    """Those that hold for a user: his own where he has some, else everybody's.  openings: as `by_user` gives them."""
    return openings.get(user) or openings.get(EVERYBODY, [])


def open_for(zone: tzinfo, openings: Sequence[Opening], now: float) -> float:
    """For how many seconds from now on it stays open; 0 where it is not.  Openings that meet are one."""
    until = now
    for start, end in _from(zone, openings, day_of(zone, now)):
        if start > until or until - now >= FAR:
            break
        until = max(until, end)
    return until - now


def next_opening(zone: tzinfo, openings: Sequence[Opening], now: float) -> float | None:
    """The instant from which it is open again; None where it never is."""
    last = now + 15 * 86400  # a change of the clocks may swallow one week's
    for start, end in _from(zone, openings, day_of(zone, now)):
        if start >= last:
            break
        if start > now and end > start:
            return start
    return None


def _from(zone: tzinfo, openings: Sequence[Opening], day: date) -> Iterator[tuple[float, float]]:
    """All openings from a day on as instants, in order; endless unless there are none."""
    by_weekday: dict[int, list[Opening]] = {}
    for each in sorted(openings, key=lambda each: (each.start, each.end)):
        by_weekday.setdefault(each.weekday, []).append(each)
    while by_weekday:
        for each in by_weekday.get(day.weekday(), ()):
            yield instant(zone, day, each.start), instant(zone, day, each.end)
        day += ONE_DAY


def parse_clock(text: str) -> int:
    """Minutes of the day in "08:00" to "24:00".  Raises ValueError, which says what would have been right."""
    match = _CLOCK.fullmatch(text.strip())
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or minutes > 24 * 60:
        raise ValueError(
            f"{clip(text)} is not a time of the day; write 08:00, 17:30 or, for midnight at its end, 24:00"
        )
    return minutes


def parse_days(text: str) -> list[int]:
    """Weekdays, 0 for Monday, in "Mon-Fri" and the like, each once.  Raises ValueError."""
    if text.strip().lower() == "daily":
        return list(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin, end = _weekday(first, text), _weekday(last, text) if dash else None
        found.add(begin)
        while end is not None and begin != end:
            begin = (begin + 1) % 7
            found.add(begin)
    return sorted(found)


def _weekday(word: str, text: str) -> int:
    clean = word.strip().lower()
    number = _LONG.get(clean, _SHORT.get(clean))
    if number is None:
        raise ValueError(f"{clip(text)} names no weekdays; write {DAY_FORMS}")
    return number
