"""When a site is open."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.accounts.hours import FAR
from asyncluster.accounts.openings import by_user, next_opening, open_for, openings_of, parse_clock, parse_days
from asyncluster.model.account import Opening

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0


def at(text: str) -> float:
    """A time of the site."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


WEEK = [Opening(weekday=day, start=480, end=1080) for day in range(5)]


def test_open_until_the_end_of_the_opening() -> None:
    """On the minute at which it begins, and not any more on that at which it ends."""
    assert open_for(BERLIN, WEEK, at("2026-11-23T08:00")) == 10 * HOUR
    assert open_for(BERLIN, WEEK, at("2026-11-23T17:30")) == HOUR / 2
    assert open_for(BERLIN, WEEK, at("2026-11-23T18:00")) == 0
    assert open_for(BERLIN, WEEK, at("2026-11-23T07:59")) == 0
    assert open_for(BERLIN, [], at("2026-11-23T08:00")) == 0


def test_openings_that_meet_are_one() -> None:
    """Across midnight, across the end of a week, and where they overlap."""
    night = [
        Opening(weekday=6, start=1320, end=1440),
        Opening(weekday=0, start=0, end=360),
        Opening(weekday=0, start=300, end=400),
    ]
    assert open_for(BERLIN, night, at("2026-11-22T23:00")) == HOUR * (1 + 400 / 60)


def test_nights_in_which_clocks_are_changed() -> None:
    """An opening from 00:00 to 06:00 is five hours long in spring and seven in autumn; one that is left out is none."""
    night = [Opening(weekday=6, start=0, end=360)]
    assert open_for(BERLIN, night, at("2026-03-29T00:00")) == 5 * HOUR
    assert open_for(BERLIN, night, at("2026-10-25T00:00")) == 7 * HOUR
    swallowed = [Opening(weekday=6, start=120, end=180)]
    assert open_for(BERLIN, swallowed, at("2026-03-29T03:00")) == 0
    assert next_opening(BERLIN, swallowed, at("2026-03-29T00:00")) == at("2026-04-05T02:00")


def test_open_day_and_night() -> None:
    """Nobody looks further than a year."""
    always = [Opening(weekday=day) for day in range(7)]
    assert open_for(BERLIN, always, at("2026-11-23T08:00")) >= FAR


def test_the_next_opening() -> None:
    """Later the same day, after a weekend, never."""
    assert next_opening(BERLIN, WEEK, at("2026-11-23T07:00")) == at("2026-11-23T08:00")
    assert next_opening(BERLIN, WEEK, at("2026-11-27T18:00")) == at("2026-11-30T08:00")
    assert next_opening(BERLIN, [], at("2026-11-27T18:00")) is None


openings = st.builds(
    lambda day, ends: Opening(weekday=day, start=min(ends), end=max(ends)),
    st.integers(0, 6),
    st.lists(st.integers(0, 1439), min_size=2, max_size=2, unique=True),
)


@given(st.lists(openings, max_size=12), st.integers(0, 400 * 24 * 4))
def test_open_is_what_the_clock_on_the_wall_says(some: list[Opening], quarters: int) -> None:
    """On days on which no clock is changed, an instant is open where its local time lies in an opening."""
    now = at("2026-01-01T00:00") + quarters * 900
    local = datetime.fromtimestamp(now, BERLIN)
    if local.utcoffset() != datetime(local.year, local.month, local.day, tzinfo=BERLIN).utcoffset():
        return
    minute = local.hour * 60 + local.minute
    inside = any(each.weekday == local.weekday() and each.start <= minute < each.end for each in some)
    seconds = open_for(BERLIN, some, now)
    assert (seconds > 0) == inside
    if inside and seconds < FAR:
        assert open_for(BERLIN, some, now + seconds) == 0
        assert open_for(BERLIN, some, now + seconds - 1) == 1
    following = next_opening(BERLIN, some, now)
    assert (following is None) == (not some)
    if following is not None:
        assert following > now
        assert open_for(BERLIN, some, following) > 0


def test_own_openings_take_the_place_of_everybodys() -> None:
    """Only for whom they are."""
    own = Opening("jane", 5, 0, 60)
    assert openings_of("jane", by_user([*WEEK, own])) == [own]
    assert openings_of("bob", by_user([*WEEK, own])) == WEEK


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon", [0]),
        ("mon-fri", [0, 1, 2, 3, 4]),
        ("Sat,Sunday", [5, 6]),
        ("Fri-Mon", [0, 4, 5, 6]),
        ("daily", [*range(7)]),
    ],
)
def test_days_as_people_write_them(text: str, days: list[int]) -> None:
    """Short, long, ranges that go round the week's end."""
    assert parse_days(text) == days


@pytest.mark.parametrize("text", ["", "Mo", "Mon-", "8", "Mon;Tue", "x" * 100_000])
def test_what_names_no_day_is_refused(text: str) -> None:
    """With the forms that are understood."""
    with pytest.raises(ValueError, match=r"write .*Mon-Fri"):
        parse_days(text)


def test_times_as_people_write_them() -> None:
    """24:00 is the end of a day."""
    assert [parse_clock(text) for text in ("00:00", "8:05", "24:00")] == [0, 485, 1440]


@pytest.mark.parametrize("text", ["24:01", "8", "8:60", "-1:00", "٨:00", "08:00:00", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With an example of what is one."""
    with pytest.raises(ValueError, match="write 08:00"):
        parse_clock(text)


@pytest.mark.parametrize(("start", "end"), [(600, 600), (600, 540), (-1, 60), (0, 1441), (1440, 1440)])
def test_an_opening_that_is_none_is_refused(start: int, end: int) -> None:
    """It says what to write for one across midnight."""
    with pytest.raises(ValueError, match="opening"):
        Opening(weekday=0, start=start, end=end)


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (480, 480, "an opening from 08:00 to 08:00 has no length; for the whole day write 00:00 24:00"),
        (0, 0, "an opening from 00:00 to 00:00 has no length; for the whole day write 00:00 24:00"),
        (1080, 0, "the end of the day is 24:00; 00:00 is its begin"),
        (1080, 480, "from 18:00 to 24:00, and from 00:00 on the next day"),
    ],
)
def test_what_may_have_been_meant_is_told(start: int, end: int, why: str) -> None:
    """The same time twice may mean all day, and midnight at the end has another name."""
    with pytest.raises(ValueError, match=why):
        Opening(weekday=0, start=start, end=end)
