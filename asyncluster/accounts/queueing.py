"""May the tasks of an owner be given out now, and what has their work used of the owner's hours?

The rules are those of sessions (`grant`), the hours are the same: an hour of one core is an hour.  What has ended is
charged by what it took.  What still runs is judged by looking now and then how many cores are at work, so that hours
are not overdrawn by whatever was begun while some were left; that judgement ends with the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo

import attrs

from asyncluster.accounts.calendar import ONE_DAY, day_of, instant, shown, week_of
from asyncluster.accounts.grant import Refusal, decide
from asyncluster.accounts.hours import FAR
from asyncluster.model.account import Account, Opening

LOOK_AHEAD = 15
"""Days in which the next moment is sought at which somebody may go on."""


@attrs.frozen
class Verdict:
    """reason: why nothing is given out, "" where it may be; ends: what runs is to stop, too; lasts: seconds for which
    that is so, if no more than one core is at work meanwhile.
    """

    reason: str = ""
    ends: bool = False
    lasts: float = FAR


def may_run(
    account: Account | None, openings: Sequence[Opening], used: Mapping[date, float], zone: tzinfo, now: float
) -> Verdict:
    """For the owner with that account, None for one who has none: then there is no limit.

    openings: those that hold for that account; used: seconds by day, at least of this week; now: an instant.
    """
    if account is None:
        return Verdict()
    answer = decide(account, openings, used, zone, now)
    if not isinstance(answer, Refusal):
        return Verdict(lasts=FAR if answer.seconds is None else answer.seconds)
    if answer.rule == "disabled":
        name = account.name
        return Verdict(f"the account {name} is disabled; an administrator can `asyncluster user enable {name}`", True)
    when = _again(answer.rule, account, openings, used, zone, now)
    reason = _reason(answer.rule, account, None if when is None else shown(zone, when))
    return Verdict(reason, lasts=FAR if when is None else when - now)


def _again(
    rule: str, account: Account, theirs: Sequence[Opening], used: Mapping[date, float], zone: tzinfo, now: float
) -> float | None:
    """When the rules say yes again, if nothing more is used; None where they will not within LOOK_AHEAD days.

    rule: the one that says no now; theirs: openings of that account only.
    """
    day = day_of(zone, now)
    last = day + LOOK_AHEAD * ONE_DAY
    if rule in ("daily", "weekly"):  # no other day of the week needs a look
        day = day + ONE_DAY if rule == "daily" else week_of(day) + 7 * ONE_DAY
    while day < last:
        minutes = sorted({0, *(each.start for each in theirs if each.weekday == day.weekday())})
        for when in (instant(zone, day, minute) for minute in minutes):
            if when > now and not isinstance(decide(account, theirs, used, zone, when), Refusal):
                return when
        day += ONE_DAY
    return None


def _reason(rule: str, account: Account, when: str | None) -> str:
    name = account.name
    if rule == "opening":
        following = f"`asyncluster opening add` makes some, --for {name}" if when is None else f"next opening {when}"
        return f"outside opening hours of {name}; {following}"
    if not (account.daily if rule == "daily" else account.weekly):
        period = "day" if rule == "daily" else "week"
        return f"{name} has no hours a {period}; `asyncluster user limit {name} --{rule} HOURS` gives some"
    period = "today" if rule == "daily" else "this week"
    again = f"`asyncluster user limit {name} --{rule} HOURS` gives more" if when is None else f"again on {when}"
    return f"{name}'s hours for {period} are used up; {again}"


@attrs.define
class AtWork:
    """What tasks that have not ended have used so far, about.  Seconds of one core."""

    seconds: float = 0.0
    _cores: int = 0
    _looked: float = 0.0

    def look(self, now: float, cores: int, ended: float, before: float = 0.0) -> float:
        """So many cores are at work now, and tasks ended since the last look that took so much in all.

        now: steady seconds; before: what was heard of since then that tasks had used already.
        Exact where looks are as often as tasks begin and end; never below 0, and 0 when nothing is at work, so that
        what was misjudged does not stay.
        """
        grown = self.seconds + self._cores * max(0.0, now - self._looked) + before - ended
        self.seconds = max(0.0, grown) if cores else 0.0
        self._cores, self._looked = cores, now
        return self.seconds


@attrs.define
class TaskHours:
    """What the tasks of each owner have used on which day, of those that have ended, from some Monday on."""

    _used: dict[str, dict[date, float]] = attrs.field(factory=dict)
    _monday: date = date.min

    def charge(self, owner: str, day: date, seconds: float) -> None:
        """So much more."""
        monday = week_of(day)
        if monday > self._monday:
            self._forget_before(monday)
        days = self._used.setdefault(owner, {})
        days[day] = days.get(day, 0.0) + seconds

    def of(self, owner: str) -> dict[date, float]:
        """Seconds by day."""
        return dict(self._used.get(owner, ()))

    def _forget_before(self, monday: date) -> None:
        self._monday = monday
        for owner in list(self._used):
            days = {day: seconds for day, seconds in self._used[owner].items() if day >= monday}
            if days:
                self._used[owner] = days
            else:
                del self._used[owner]


def together(*parts: Mapping[date, float]) -> dict[date, float]:
    """Their sums by day."""
    sums: dict[date, float] = {}
    for part in parts:
        for day, seconds in part.items():
            sums[day] = sums.get(day, 0.0) + seconds
    return sums
