"""Sums of usage, and which of them a report needs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.accounts.calendar import instant
from asyncluster.accounts.report import hour_of, month_of, span, totals_of_session, totals_of_used
from asyncluster.model.account import Session, Used

BERLIN = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 1, 1, tzinfo=BERLIN).timestamp()


@given(st.floats(0, 700 * 86400), st.floats(0.001, 100 * 86400))
def test_a_session_adds_its_seconds_once_to_each_axis(since: float, length: float) -> None:
    """Wherever midnights and months lie; itself it adds once."""
    session = Session(1, "jane", "desk-1", BEGIN + since, BEGIN + since + length, "left")
    for axis in ("user", "day", "node"):
        sums = [each for each in totals_of_session(BERLIN, session) if each.axis == axis]
        assert sum(each.seat_seconds for each in sums) == pytest.approx(session.seconds, abs=1e-3)
        assert sum(each.sessions for each in sums) == 1
        assert len({(each.month, each.key) for each in sums}) == len(sums)


def test_tasks_add_to_four_axes() -> None:
    """The most memory of any is kept, everything else is added."""
    used = [
        Used(BEGIN, "jane", "a", "p", 7, 10, 20.0, 5.0, 100),
        Used(BEGIN + 3600, "jane", "b", "p", 7, 1, 2.0, 1.0, 300),
    ]
    sums = {(each.axis, each.key): each for each in totals_of_used(BERLIN, used)}
    assert set(sums) == {("user", "jane"), ("day", "2026-01-01"), ("node", "a"), ("node", "b"), ("job", "7")}
    job = sums["job", "7"]
    assert (job.tasks, job.core_seconds, job.wall, job.memory) == (11, 22.0, 6.0, 300)


@given(st.integers(0, 800), st.integers(0, 800), st.none() | st.integers(-40, 840))
def test_a_span_is_its_days_exactly(first: int, days: int, until: int | None) -> None:
    """Whole months and what lies beside them cover each day once and nothing else but what is to come."""
    begin = date(2025, 12, 1) + timedelta(days=first)
    end = begin + timedelta(days=days)
    today = date.max if until is None else begin + timedelta(days=until)
    found = span(BERLIN, begin, end, today)
    covered = []
    day = begin - timedelta(days=40)
    while day <= end + timedelta(days=40):
        times = int(found.first_month <= month_of(day) <= found.last_month)
        times += sum(start <= instant(BERLIN, day) < stop for start, stop in found.edges)
        assert times <= 1
        if times and (day <= end or day <= today):
            covered.append(day)
        day += timedelta(days=1)
    assert covered == [begin + timedelta(days=number) for number in range(days + 1)]


def test_of_a_month_that_lasts_its_sum_is_enough() -> None:
    """Days that are to come have nothing: single sessions of this month need not be looked through."""
    today = date(2026, 11, 20)
    found = span(BERLIN, date(2026, 1, 1), today, today)
    assert (found.edges, found.last_month, found.last_day) == ((), month_of(today), "2026-11-20")
    assert span(BERLIN, date(2026, 1, 1), date(2026, 11, 19), today).edges != ()


def test_a_report_that_ends_before_it_begins() -> None:
    """Both days are named."""
    with pytest.raises(ValueError, match=r"cannot end .2026-01-01. before"):
        span(BERLIN, date(2026, 1, 2), date(2026, 1, 1))


def test_hours_are_those_of_the_clock_on_the_wall() -> None:
    """Where the zone lies a quarter beside the hour, too: so midnight is always the edge of one."""
    kathmandu = ZoneInfo("Asia/Kathmandu")
    midnight = instant(kathmandu, date(2026, 3, 1))
    assert hour_of(kathmandu, midnight + 3599.5) == midnight
    assert hour_of(kathmandu, midnight - 0.5) == midnight - 3600
