"""Days and weeks of a site, where clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.accounts.calendar import day_of, instant, pieces, shown, week_of, week_start

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # changed at one minute past midnight once
    "America/Sao_Paulo",  # changed at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left a day out in 2011
    "Asia/Kathmandu",
    "Africa/Casablanca",
]
instants = st.floats(datetime(1995, 1, 1, tzinfo=UTC).timestamp(), datetime(2035, 1, 1, tzinfo=UTC).timestamp())
zones = st.sampled_from(ZONES).map(ZoneInfo)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("day", "minute", "when"),
    [
        (date(2026, 1, 5), 480, "2026-01-05T07:00"),
        (date(2026, 7, 6), 480, "2026-07-06T06:00"),
        (date(2026, 7, 6), 1440, "2026-07-06T22:00"),
        (date(2026, 3, 29), 120, "2026-03-29T01:00"),  # 02:00 to 03:00 are left out: all of it is the change
        (date(2026, 3, 29), 150, "2026-03-29T01:00"),
        (date(2026, 3, 29), 180, "2026-03-29T01:00"),
        (date(2026, 10, 25), 150, "2026-10-25T00:30"),  # shown twice: the first
        (date(2026, 10, 25), 180, "2026-10-25T02:00"),
    ],
)
def test_a_time_of_the_day_is_an_instant(day: date, minute: int, when: str) -> None:
    """In winter, in summer, and in the nights in which the clocks are changed."""
    assert instant(BERLIN, day, minute) == utc(when)


def test_a_day_that_was_left_out_has_no_length() -> None:
    """Samoa went from the 29th of December 2011 to the 31st."""
    apia = ZoneInfo("Pacific/Apia")
    assert instant(apia, date(2011, 12, 30)) == instant(apia, date(2011, 12, 31))
    parts = list(pieces(apia, instant(apia, date(2011, 12, 29)), instant(apia, date(2012, 1, 1))))
    assert [day for day, _begin, _end in parts] == [date(2011, 12, 29), date(2011, 12, 31)]


@given(zones, st.dates(date(1995, 1, 1), date(2035, 1, 1)))
def test_times_of_a_day_never_run_backwards(zone: ZoneInfo, day: date) -> None:
    """From the begin of one day to that of the next."""
    times = [instant(zone, day, minute) for minute in range(0, 1441, 10)]
    assert times == sorted(times)
    assert times[-1] == instant(zone, day + timedelta(days=1))


@given(zones, instants)
def test_every_instant_has_one_day(zone: ZoneInfo, when: float) -> None:
    """It lies between the begins of its day and of the next; its week begins on a Monday, at most 169 hours before."""
    day = day_of(zone, when)
    assert instant(zone, day) <= when < instant(zone, day + timedelta(days=1))
    assert week_of(day).weekday() == 0
    assert 0 <= when - week_start(zone, when) <= 169 * 3600


@given(zones, instants, st.floats(0, 40 * 86400))
def test_pieces_are_the_whole(zone: ZoneInfo, begin: float, length: float) -> None:
    """They follow each other without gap, each in its day."""
    end = begin + length
    parts = list(pieces(zone, begin, end))
    edges = [begin, *(stop for _day, _start, stop in parts)]
    assert [start for _day, start, _stop in parts] == edges[:-1]
    assert not parts or edges[-1] == end
    assert all(day_of(zone, start) == day for day, start, _stop in parts)
    assert all(start < stop for _day, start, stop in parts)


def test_an_instant_is_told_as_people_say_it() -> None:
    """Weekday and time of the site."""
    assert shown(BERLIN, utc("2026-01-05T07:00")) == "Monday 08:00"


def test_a_day_begins_once() -> None:
    """Where clocks went from a minute past midnight back to the day before, it stays the new day."""
    john = ZoneInfo("America/St_Johns")
    midnight = instant(john, date(2010, 11, 7))
    assert shown(john, midnight + 120) == "Saturday 23:02"
    assert day_of(john, midnight + 120) == date(2010, 11, 7)
