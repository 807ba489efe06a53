"""The limits of accounts, as the board is told of them: slots and queued tasks always; hours where the site says so.

    [server] quota applies to = sessions, tasks

Then the tasks of who is restricted are given out within openings and hours only.  What has begun goes on to its end and
is charged; of who is disabled it ends at once, and is queued again.  Who has no account has no limits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.accounts.calendar import day_of, week_start
from asyncluster.accounts.queueing import AtWork, TaskHours, Verdict, may_run, together
from asyncluster.errors import StoreError
from asyncluster.jobs.actions import Action
from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.owners import Owners
from asyncluster.master.piecemeal import Piecemeal
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import TICK, Sessions
from asyncluster.master.ticking import Ticking
from asyncluster.master.turns import in_turns
from asyncluster.model.account import Account, Session

_log = Logger()

LOOK_EVERY = 1.0
"""Seconds between two looks at who has something at work; others are looked at when their time comes."""

MOST = 10
"""Owners who are looked at in one turn of the reactor; each may take a millisecond."""

AT_LEAST_EVERY = 60.0
"""Seconds: who has nothing at work is looked at so often, since somebody may set the time of day."""

AGAIN = 5.0
"""Seconds until a database that was away is asked once more."""


@attrs.define(eq=False)
class Watched:
    """An owner whose tasks go by hours.

    sat: when the owner had sessions this week, begins with ends; None where that is not known yet.
    """

    allowance: Allowance
    sat: dict[float, float] | None = None
    at_work: AtWork = attrs.field(factory=AtWork)
    asking: bool = False
    ends: bool = False  # what runs is to end
    ending: bool = False  # and nodes are being told so
    look_at: float = 0.0
    ended: float = 0.0  # core-seconds of tasks that have ended since the last look
    looked: float = 0.0
    reviewed: float = 0.0


@attrs.define(eq=False)
class Quota(Service):
    """applies: to tasks, too; clock: steady; act: obeys the board."""

    clock: IReactorTime
    sessions: Sessions
    owners: Owners
    act: Callable[[Iterable[Action]], object]
    applies: bool = False
    hours: TaskHours = attrs.field(factory=TaskHours)
    _watched: dict[str, Watched] = attrs.field(factory=dict)
    _ticking: Ticking = attrs.field(init=False)
    _looks: Piecemeal[Watched] = attrs.field(init=False)
    _cores: Mapping[str, int] | None = None  # for these looks

    def __attrs_post_init__(self) -> None:
        self._ticking = Ticking(self.clock, LOOK_EVERY, self.tick, "a look at hours of tasks")
        self._looks = Piecemeal(self.clock, self._look_at_some, MOST)

    @property
    def registry(self) -> Registry:
        """Where accounts are."""
        return self.sessions.registry

    # -- life

    def begin_with(self, used: Iterable[tuple[str, float, float]]) -> None:
        """Before the start: what tasks used this week, (owner, hour, core-seconds)."""
        for owner, hour, seconds in used:
            self.hours.charge(owner, day_of(self.registry.zone, hour), seconds)

    def startService(self) -> None:
        """Set the limits of all who have jobs, and of all who come."""
        super().startService()
        self.owners.fresh = self._set
        self.registry.watchers.append(self.review)
        if self.applies:
            self.sessions.used_by_tasks, self.sessions.hours_for_tasks = self.used_by, True
            self.sessions.over = self._sat
            self._ticking.start()
        self.review(None)

    def stopService(self) -> Deferred[None] | None:
        """No more looks."""
        super().stopService()
        self._ticking.stop()
        self._looks.stop()
        return None

    # -- what holds for whom

    def review(self, user: str | None) -> None:
        """Something else holds for a user, or for everybody."""
        theirs = list(self.owners.all() if user is None else self.owners.known(user))
        self._look_at([watched for each in theirs if (watched := self._limit(each)) is not None])

    def _set(self, allowance: Allowance) -> None:
        """See what account a new owner has, and act by it at once."""
        watched = self._limit(allowance)
        if watched is not None:
            self._look(watched)

    def _limit(self, allowance: Allowance) -> Watched | None:
        """Set the limits that the owner's account has; hours, which are to be looked at, are given back."""
        account = self.registry.accounts.get(allowance.owner)
        slots, queued = (None, None) if account is None else (account.slots, account.queued)
        if (slots, queued) != (allowance.slots, allowance.queued):
            self.act(self.owners.limit(allowance, slots, queued))
        watched = self._watched.get(allowance.owner)
        if not self.applies or account is None or (account.enabled and not account.restricted):
            if watched is not None:
                del self._watched[allowance.owner]
                self.act(self.owners.bar(allowance, ""))
            return None
        if watched is None:
            watched = self._watched[allowance.owner] = Watched(allowance)
        return watched

    def used_by(self, owner: str) -> dict[date, float]:
        """What the tasks of an owner have used this week, seconds of one core by day; what runs is in today's."""
        watched = self._watched.get(owner)
        used = self.hours.of(owner)
        if watched is not None and watched.at_work.seconds:
            today = day_of(self.registry.zone, self.registry.now())
            used[today] = used.get(today, 0.0) + watched.at_work.seconds
        return used

    # -- time

    def tick(self) -> None:
        """Charge what has ended, and look at whose time has come."""
        today = day_of(self.registry.zone, self.registry.now())
        for allowance in self.owners.all():
            if allowance.spent:
                self._charge(allowance, today)
            if allowance.before and allowance.owner not in self._watched:
                allowance.before = 0
        now = self.clock.seconds()
        due = [each for each in self._watched.values() if each.look_at <= now or each.allowance.used or each.ended]
        self._look_at(sorted(due, key=lambda each: each.looked))

    def _look_at(self, some: Sequence[Watched]) -> None:
        """At these first, then at whoever waits for it, some in each turn of the reactor."""
        if not self.running:
            return
        # one look at each node is enough for everybody
        self._cores = self.owners.cores_by_owner() if len(some) + len(self._looks) > 1 else None
        self._looks.put(some, first=True)

    def _look_at_some(self, some: Iterable[Watched]) -> None:
        for watched in some:
            if self._watched.get(watched.allowance.owner) is watched:
                self._look(watched, self._cores)

    def _charge(self, allowance: Allowance, today: date) -> None:
        seconds, allowance.spent = allowance.spent / 1e6, 0
        self.hours.charge(allowance.owner, today, seconds)
        watched = self._watched.get(allowance.owner)
        if watched is not None:
            watched.ended += seconds

    def _look(self, watched: Watched, cores: Mapping[str, int] | None = None) -> None:
        """May tasks of that owner run now?  cores: at work now, by owner, where that is known."""
        allowance, now = watched.allowance, self.clock.seconds()
        account = self.registry.accounts.get(allowance.owner)
        ended, watched.ended, watched.looked = watched.ended, 0.0, now
        busy = self.owners.cores_at_work(allowance) if cores is None else cores.get(allowance.owner, 0)
        before, allowance.before = allowance.before / 1e6, 0
        watched.at_work.look(now, busy, ended, before)
        if watched.sat is None and account is not None and account.enabled:
            self._ask(watched)
            return
        verdict = self._verdict(account, watched)
        watched.look_at = now + min(max(LOOK_EVERY, verdict.lasts), AT_LEAST_EVERY)
        if verdict.reason != allowance.bar:
            _log.info("tasks of {owner}: {what}", owner=allowance.owner, what=verdict.reason or "they may run")
            self.act(self.owners.bar(allowance, verdict.reason))
        watched.ends = verdict.ends
        if verdict.ends and not watched.ending:
            watched.ending = True
            ended_there = in_turns(self.clock, self._end(watched))
            ended_there.addErrback(lambda failure: _log.failure("what runs could not be ended", failure=failure))
        if ended and now - watched.reviewed >= TICK:  # a session of the owner has less left
            watched.reviewed = now
            self.sessions.review(allowance.owner)

    def _end(self, watched: Watched) -> Generator[None, None, None]:
        """What nodes work at of that owner, some nodes in each turn of the reactor."""
        try:
            slices = self.owners.end(watched.allowance)
            while watched.ends and self._watched.get(watched.allowance.owner) is watched:  # else he may go on after all
                actions = next(slices, None)
                if actions is None:
                    break
                self.act(actions)
                yield
        finally:
            watched.ending = False

    def _verdict(self, account: Account | None, watched: Watched) -> Verdict:
        owner = watched.allowance.owner
        sat = self.sessions.used(owner, list((watched.sat or {}).items()))
        openings, zone = self.registry.openings_of(owner), self.registry.zone
        return may_run(account, openings, together(sat, self.used_by(owner)), zone, self.registry.now())

    # -- sessions, which use the same hours

    def _sat(self, session: Session) -> None:
        watched = self._watched.get(session.user)
        if watched is not None and watched.sat is not None:
            watched.sat[session.begun] = session.ended

    def _ask(self, watched: Watched) -> None:
        """Which sessions the owner had; nothing is given out before that is known."""
        owner = watched.allowance.owner
        if watched.asking:
            return
        watched.asking = True
        if not watched.allowance.bar:
            self.act(self.owners.bar(watched.allowance, f"what {owner} has used of the hours is being looked up"))
        since = week_start(self.registry.zone, self.registry.now())
        asked = self.registry.ready().addCallback(lambda _: self.registry.people.login(owner, since))
        asked.addCallbacks(self._told, self._not_told, callbackArgs=(watched,), errbackArgs=(watched,))
        asked.addErrback(lambda failure: _log.failure("hours could not be looked at", failure=failure))

    def _told(self, row: Any, watched: Watched) -> None:
        watched.asking = False
        # one that ended meanwhile may be in the book as it was half a minute ago, and is told to nobody again
        watched.sat = dict(row.recent) | self.sessions.unwritten(watched.allowance.owner)
        if self._watched.get(watched.allowance.owner) is watched:
            self._look(watched)

    def _not_told(self, failure: Any, watched: Watched) -> None:
        watched.asking = False
        failure.trap(StoreError)
        watched.look_at = self.clock.seconds() + AGAIN
        owner = watched.allowance.owner
        if self._watched.get(owner) is watched:
            why = f"the master's database is away: what {owner} has used of the hours is not known"
            self.act(self.owners.bar(watched.allowance, why))
