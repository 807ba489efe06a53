"""Who is let in, for how long, and what the others are told."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.accounts.calendar import day_of, pieces, week_of
from asyncluster.accounts.grant import Grant, Refusal, decide
from asyncluster.accounts.hours import FAR, by_day, by_week
from asyncluster.model.account import Account, Opening

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
JANE = Account("jane", enabled=True, daily=4 * 3600, weekly=10 * 3600)
WEEK = [Opening(weekday=day, start=480, end=1080) for day in range(5)]
MONDAY = date(2026, 11, 23)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("now", "used", "answer"),
    [
        ("2026-11-23T08:00", {}, Grant(4 * HOUR, "daily")),
        ("2026-11-23T17:00", {}, Grant(HOUR, "opening")),
        ("2026-11-24T09:00", {MONDAY: 9 * HOUR}, Grant(HOUR, "weekly")),
        ("2026-11-23T08:00", {MONDAY - timedelta(days=1): 9 * HOUR}, Grant(4 * HOUR, "daily")),  # of last week
        ("2026-11-23T19:00", {}, Refusal("opening", "outside opening hours; next opening Tuesday 08:00")),
        ("2026-11-28T12:00", {}, Refusal("opening", "outside opening hours; next opening Monday 08:00")),
        ("2026-11-23T12:00", {MONDAY: 4 * HOUR}, Refusal("daily", "4h a day are used up; more from Tuesday 00:00")),
        (
            "2026-11-24T12:00",
            {MONDAY: 10 * HOUR},
            Refusal("weekly", "10h a week are used up; more from Monday 00:00"),
        ),
    ],
)
def test_the_smallest_of_three_is_granted(now: str, used: dict[date, float], answer: Grant | Refusal) -> None:
    """Opening, hours of the day, hours of the week; each can be the one, and the one that refuses."""
    assert decide(JANE, WEEK, used, BERLIN, at(now)) == answer


@pytest.mark.parametrize(("rule", "period"), [("daily", "day"), ("weekly", "week")])
def test_nothing_at_all_is_not_used_up(rule: str, period: str) -> None:
    """Nor does it come again tomorrow."""
    none = attrs.evolve(JANE, **{rule: 0})  # type: ignore[arg-type]
    told = decide(none, WEEK, {}, BERLIN, at("2026-11-23T12:00"))
    assert told == Refusal(rule, f"the account jane has no hours a {period}; an administrator can give it some")


def test_who_is_not_restricted_has_no_limit() -> None:
    """At any time, whatever was used."""
    free = attrs.evolve(JANE, restricted=False)
    assert decide(free, [], {MONDAY: 24 * HOUR}, BERLIN, at("2026-11-23T03:00")) == Grant()


def test_a_new_account_is_let_in_by_nobody() -> None:
    """It is disabled; enabled it is restricted, and without an opening."""
    new = Account("new")
    assert decide(new, WEEK, {}, BERLIN, at("2026-11-23T12:00")).rule == "disabled"
    enabled = attrs.evolve(new, enabled=True)
    assert decide(enabled, [], {}, BERLIN, at("2026-11-23T12:00")) == Refusal(
        "opening", "outside opening hours; no opening is set for you"
    )
    disabled = attrs.evolve(JANE, enabled=False, restricted=False)
    assert isinstance(decide(disabled, WEEK, {}, BERLIN, at("2026-11-23T12:00")), Refusal)


def test_the_day_ends_at_midnight() -> None:
    """At 23:00 with two hours left today: one is of today, and four of tomorrow follow."""
    always = [Opening(weekday=day) for day in range(7)]
    answer = decide(JANE, always, {MONDAY: 2 * HOUR}, BERLIN, at("2026-11-23T23:00"))
    assert answer == Grant(5 * HOUR, "daily")


openings = st.builds(
    lambda day, ends: Opening(weekday=day, start=min(ends) * 30, end=max(ends) * 30),
    st.integers(0, 6),
    st.lists(st.integers(0, 47), min_size=2, max_size=2, unique=True),
) | st.builds(lambda day: Opening(weekday=day), st.integers(0, 6))
limits = st.none() | st.integers(0, 30 * 3600)


@given(
    st.lists(openings, min_size=1, max_size=10),
    limits,
    limits,
    st.integers(0, 2 * 366 * 86400),
    st.lists(st.tuples(st.integers(1, 8 * 86400), st.integers(0, 20 * 3600)), max_size=6),
)
def test_what_is_granted_breaks_no_rule_and_a_second_more_would(
    some: list[Opening], daily: int | None, weekly: int | None, since: int, history: list[tuple[int, int]]
) -> None:
    """Whatever was used before, across midnight, weeks and both changes of the clocks."""
    now = at("2026-01-01T00:00") + since
    account = Account("jane", enabled=True, daily=daily, weekly=weekly)
    past = [(now - ago, min(now - ago + length, now)) for ago, length in history]
    answer = decide(account, some, by_day(BERLIN, past), BERLIN, now)

    def rules_hold(seconds: float) -> bool:
        days = by_day(BERLIN, [*past, (now, now + seconds)])
        touched = {day for day, _begin, _end in pieces(BERLIN, now, now + seconds)}
        weeks = by_week(days)
        return (
            is_open(some, now, now + seconds)
            and (daily is None or all(days[day] <= daily + 1e-3 for day in touched))
            and (weekly is None or all(weeks[week_of(day)] <= weekly + 1e-3 for day in touched))
        )

    if isinstance(answer, Refusal):
        assert not rules_hold(1.1)
    else:
        assert answer.seconds is not None
        assert rules_hold(answer.seconds)
        assert answer.seconds >= FAR or not rules_hold(answer.seconds + 1.1)


def is_open(some: list[Opening], begin: float, end: float) -> bool:
    """By trying: every half hour, and the last moment."""
    moments = [*(begin + step * 1800 for step in range(int((end - begin - 0.01) / 1800) + 1)), end - 0.01]
    for moment in moments[:2000]:
        local = datetime.fromtimestamp(moment, BERLIN)
        minute = local.hour * 60 + local.minute
        weekday = day_of(BERLIN, moment).weekday()
        if local.fold or local.utcoffset() != datetime(local.year, local.month, local.day, tzinfo=BERLIN).utcoffset():
            continue  # the calendar's own tests look at those nights
        if not any(each.weekday == weekday and each.start <= minute < each.end for each in some):
            return False
    return True
