"""When tasks of restricted owners may run, why not, and what is charged for them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.accounts.calendar import day_of
from asyncluster.accounts.grant import Refusal, decide
from asyncluster.accounts.hours import FAR
from asyncluster.accounts.queueing import AtWork, TaskHours, Verdict, may_run, together
from asyncluster.model.account import Account, Opening

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600.0
JANE = Account("jane", enabled=True, daily=4 * 3600, weekly=10 * 3600)
WEEK = [Opening(weekday=day, start=480, end=1080) for day in range(5)]
ALWAYS = [Opening(weekday=day) for day in range(7)]
MONDAY = date(2026, 11, 23)
SATURDAY = date(2026, 11, 28)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_who_has_no_account_or_no_restriction_may_always() -> None:
    """Whatever was used."""
    assert may_run(None, [], {}, BERLIN, at("2026-11-23T03:00")) == Verdict()
    free = attrs.evolve(JANE, restricted=False)
    assert may_run(free, [], {MONDAY: 90 * HOUR}, BERLIN, at("2026-11-23T03:00")) == Verdict()


@pytest.mark.parametrize(
    ("openings", "used", "now", "reason", "lasts"),
    [
        (WEEK, {}, "2026-11-23T08:00", "", 4 * HOUR),
        (WEEK, {}, "2026-11-23T17:30", "", HOUR / 2),
        (WEEK, {}, "2026-11-28T12:00", "outside opening hours of jane; next opening Monday 08:00", 44 * HOUR),
        (
            ALWAYS,
            {SATURDAY: 4 * HOUR},
            "2026-11-28T12:00",
            "jane's hours for today are used up; again on Sunday 00:00",
            12 * HOUR,
        ),
        (
            WEEK,
            {MONDAY: 4 * HOUR},
            "2026-11-23T12:00",
            "jane's hours for today are used up; again on Tuesday 08:00",  # when it is open, too
            20 * HOUR,
        ),
        (
            ALWAYS,
            {MONDAY: 10 * HOUR},
            "2026-11-24T12:00",
            "jane's hours for this week are used up; again on Monday 00:00",
            5.5 * 24 * HOUR,
        ),
        (
            [],
            {},
            "2026-11-23T12:00",
            "outside opening hours of jane; `asyncluster opening add` makes some, --for jane",
            FAR,
        ),
    ],
)
def test_the_one_reason(openings: list[Opening], used: dict[date, float], now: str, reason: str, lasts: float) -> None:
    """It names the owner, the rule, and when it is over."""
    assert may_run(JANE, openings, used, BERLIN, at(now)) == Verdict(reason, lasts=lasts)


def test_hours_that_never_come_back() -> None:
    """Of who has none at all: what would give some."""
    for rule, period in (("daily", "day"), ("weekly", "week")):
        none = attrs.evolve(JANE, **{rule: 0})  # type: ignore[arg-type]
        told = may_run(none, ALWAYS, {}, BERLIN, at("2026-11-23T12:00"))
        assert told.reason == f"jane has no hours a {period}; `asyncluster user limit jane --{rule} HOURS` gives some"


def test_of_who_is_disabled_what_runs_ends() -> None:
    """At once, other than at the end of an opening."""
    told = may_run(attrs.evolve(JANE, enabled=False), WEEK, {}, BERLIN, at("2026-11-23T12:00"))
    assert told.ends
    assert told.reason == "the account jane is disabled; an administrator can `asyncluster user enable jane`"


@settings(deadline=None)
@given(
    openings=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 1438)).flatmap(
            lambda each: st.integers(each[1] + 1, 1440).map(
                lambda end: Opening(weekday=each[0], start=each[1], end=end)
            )
        ),
        max_size=4,
    ),
    hours=st.lists(st.floats(0, 6 * HOUR), min_size=7, max_size=7),
    minutes=st.integers(0, 21 * 1440),
    start=st.sampled_from(["2026-03-23T00:00", "2026-10-19T00:00", "2026-11-23T00:00"]),
)
def test_when_it_says_again_it_is_so_and_not_before(
    openings: list[Opening], hours: list[float], minutes: int, start: str
) -> None:
    """Across weeks and changes of clocks: at that moment the rules say yes, and no quarter of an hour before it."""
    now = at(start) + minutes * 60
    today = day_of(BERLIN, now)
    monday = today - timedelta(days=today.weekday())
    used = {monday + timedelta(days=number): each for number, each in enumerate(hours)}
    told = may_run(JANE, openings, used, BERLIN, now)
    refused = isinstance(decide(JANE, openings, used, BERLIN, now), Refusal)
    assert bool(told.reason) == refused
    assert "\n" not in told.reason
    if refused and told.lasts < FAR:
        assert may_run(JANE, openings, used, BERLIN, now + told.lasts).reason == ""
        for step in range(int(told.lasts // 900)):
            assert may_run_not(openings, used, now + step * 900)


def may_run_not(openings: list[Opening], used: dict[date, float], when: float) -> bool:
    return isinstance(decide(JANE, openings, used, BERLIN, when), Refusal)


@settings(deadline=None)
@given(
    tasks=st.lists(
        st.tuples(st.sampled_from(["jane", "bob"]), st.integers(0, 400), st.integers(1, 300), st.integers(1, 4)),
        max_size=30,
    )
)
def test_hours_charged_are_hours_used(tasks: list[tuple[str, int, int, int]]) -> None:
    """Once all has ended exactly; while it runs what is judged is what was used, where each second is looked at."""
    book, running = TaskHours(), {"jane": AtWork(), "bob": AtWork()}
    day = MONDAY
    for second in range(701):
        for owner, judge in running.items():
            mine = [each for each in tasks if each[0] == owner]
            over = [(length, cores) for _, begin, length, cores in mine if begin + length == second]
            ended = float(sum(length * cores for length, cores in over))
            book.charge(owner, day, ended)
            on = [(begin, cores) for _, begin, length, cores in mine if begin <= second < begin + length]
            judged = judge.look(float(second), sum(cores for _, cores in on), ended)
            assert judged == pytest.approx(sum((second - begin) * cores for begin, cores in on))
    for owner, judge in running.items():
        used = float(sum(length * cores for name, _, length, cores in tasks if name == owner))
        assert sum(book.of(owner).values()) == pytest.approx(used)
        assert judge.seconds == 0.0


def test_what_was_misjudged_goes_with_the_tasks() -> None:
    """Tasks that are shorter than the time between two looks, and many of them."""
    judge = AtWork()
    assert judge.look(0.0, 8, 0.0) == 0.0
    assert judge.look(10.0, 8, 200.0) == 0.0
    assert judge.look(20.0, 8, 30.0) == 50.0
    assert judge.look(30.0, 0, 10.0) == 0.0


def test_what_was_used_before_anybody_looked_counts_until_it_ends() -> None:
    """As a master that was started anew hears it."""
    judge = AtWork()
    assert judge.look(5.0, 8, 0.0) == 0.0
    assert judge.look(6.0, 8, 0.0, 288_000.0) == 288_008.0
    assert judge.look(7.0, 4, 144_000.0) == 144_016.0
    assert judge.look(8.0, 0, 144_020.0) == 0.0


def test_weeks_that_are_over_are_forgotten() -> None:
    """What is charged in a new one leaves nothing of the last."""
    book = TaskHours()
    book.charge("jane", SATURDAY, 5.0)
    book.charge("jane", SATURDAY, 2.0)
    assert book.of("jane") == {SATURDAY: 7.0}
    book.charge("bob", MONDAY + timedelta(days=7), 1.0)
    assert book.of("jane") == {}
    assert together({MONDAY: 1.0}, {MONDAY: 2.0, SATURDAY: 3.0}, {}) == {MONDAY: 3.0, SATURDAY: 3.0}
