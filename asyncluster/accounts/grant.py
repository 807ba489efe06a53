"""May this user begin a session now, and for how long?  The answer to no is a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta, tzinfo

import attrs

from asyncluster.accounts.calendar import ONE_DAY, day_of, instant, shown, week_of
from asyncluster.accounts.hours import lasts_by_day, lasts_by_week
from asyncluster.accounts.openings import next_opening, open_for
from asyncluster.model.account import Account, Opening
from asyncluster.units import format_duration

LEAST = 1.0
"""Seconds; for less nobody is let in."""


@attrs.frozen
class Grant:
    """Yes.  seconds: None for no limit; rule: what sets it, "opening", "daily" or "weekly", "" for nothing."""

    seconds: float | None = None
    rule: str = ""


@attrs.frozen
class Refusal:
    """No.  rule: "password", "attempts", "disabled", "opening", "daily", "weekly", "session", "seat", "database"."""

    rule: str
    reason: str


def decide(
    account: Account, openings: Sequence[Opening], used: Mapping[date, float], zone: tzinfo, now: float
) -> Grant | Refusal:
    """What the rules say; the password was right.

    openings: those that hold for that account; used: seconds by day, at least of this week; now: an instant.
    """
    if not account.enabled:
        return Refusal("disabled", f"the account {account.name} is disabled; an administrator can enable it")
    if not account.restricted:
        return Grant()
    limits = [("opening", open_for(zone, openings, now))]
    if account.daily is not None:
        limits.append(("daily", lasts_by_day(zone, now, account.daily, used)))
    if account.weekly is not None:
        limits.append(("weekly", lasts_by_week(zone, now, account.weekly, used)))
    rule, seconds = min(limits, key=lambda each: each[1])
    if seconds >= LEAST:
        return Grant(seconds, rule)
    first = next(rule for rule, left in limits if left < LEAST)
    return Refusal(first, _reason(first, account, openings, zone, now))


def _reason(rule: str, account: Account, openings: Sequence[Opening], zone: tzinfo, now: float) -> str:
    day = day_of(zone, now)
    if rule in ("daily", "weekly") and not (account.daily if rule == "daily" else account.weekly):
        period = "day" if rule == "daily" else "week"
        return f"the account {account.name} has no hours a {period}; an administrator can give it some"
    if rule == "daily":
        return f"{_hours(account.daily)} a day are used up; more from {shown(zone, instant(zone, day + ONE_DAY))}"
    if rule == "weekly":
        monday = week_of(day) + timedelta(days=7)
        return f"{_hours(account.weekly)} a week are used up; more from {shown(zone, instant(zone, monday))}"
    following = next_opening(zone, openings, now)
    when = "no opening is set for you" if following is None else f"next opening {shown(zone, following)}"
    return f"outside opening hours; {when}"


def _hours(seconds: int | None) -> str:
    return format_duration(seconds or 0)
