"""Sessions at workstations: logs people in, ticks every half minute, writes down what was used.

Decides nothing about hours (accounts does).  Seats are told by `tell`, which the part that speaks to nodes sets.
Whatever the database does, sessions that are on go on; `session_book` keeps their ends until they are written.
What concerns many sessions is done a few in each turn of the reactor.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, cast

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from asyncluster.accounts.attempts import Attempts
from asyncluster.accounts.calendar import week_start
from asyncluster.accounts.grant import Grant, Refusal, decide
from asyncluster.accounts.hours import by_day
from asyncluster.accounts.queueing import together
from asyncluster.accounts.seats import Seats
from asyncluster.accounts.visit import KICKED, LEFT, VANISHED, Action, End, Tell, Visit
from asyncluster.errors import RefusedError, StoreError
from asyncluster.master.piecemeal import Piecemeal
from asyncluster.master.registry import Registry
from asyncluster.master.session_book import SessionBook
from asyncluster.master.ticking import Ticking
from asyncluster.model.account import Account, Session, check_name
from asyncluster.store.people import LoginRow
from asyncluster.units import format_duration

_log = Logger()

TICK = 30.0
"""Seconds between two words to a seat about the time left."""

WRONG = Refusal("password", "the user or the password is wrong")
"""The same for both: nobody learns which names there are."""

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a thread, and gives what it gives."""


def _forgotten(_session: Session) -> None:
    """Nobody wants to know."""


def _unheard(action: Action) -> None:
    if not isinstance(action, Tell):
        _log.debug("no seat is there for {action}", action=action)


def _none(_user: str) -> Mapping[date, float]:
    """Tasks use no hours here."""
    return {}


def _one_a_core() -> DeferredSemaphore:
    """More hashes at once would only drive each other's memory out of the caches."""
    return DeferredSemaphore(len(os.sched_getaffinity(0)))


@attrs.define(eq=False)
class Sessions(Service):
    """All sessions; clock: steady.

    used_by_tasks: seconds by day that a user's tasks have used of the same hours; over: told of each that is over;
    hours_for_tasks: these are given out within the same hours.
    """

    clock: IReactorTime
    registry: Registry
    in_thread: InThread
    tell: Callable[[Action], object] = _unheard
    patience: float = 120.0  # seconds after a restart in which nodes may claim sessions
    seats: Seats = attrs.field(factory=Seats)
    attempts: Attempts = attrs.field(factory=Attempts)
    next_number: int = 1
    used_by_tasks: Callable[[str], Mapping[date, float]] = _none
    over: Callable[[Session], object] = _forgotten
    hours_for_tasks: bool = False
    _hashing: DeferredSemaphore = attrs.field(factory=_one_a_core)
    book: SessionBook = attrs.field(init=False)
    _ticking: Ticking = attrs.field(init=False)
    _soon: IDelayedCall | None = None  # when somebody is to be warned or sent away
    _watching: IDelayedCall | None = None  # in the next turn it is found out when that is
    _looks: Piecemeal[int] = attrs.field(init=False)
    _reviews: Piecemeal[str] = attrs.field(init=False)
    _unsure: set[str] = attrs.field(factory=set)  # what holds for these could not be asked

    def __attrs_post_init__(self) -> None:
        self.book = SessionBook(self.registry.people, self.registry.zone)
        self._ticking = Ticking(self.clock, TICK, self.tick, "a look at sessions")
        self._looks = Piecemeal(self.clock, self._look_at)
        self._reviews = Piecemeal(self.clock, self._review_some)

    # -- life

    def begin_with(self, running: Sequence[Session], last_number: int) -> None:
        """Before the start: sessions that a former master had."""
        self.next_number = last_number + 1
        self._obey(self.seats.restore(running, self.clock.seconds()))
        self.review(None)
        if running:
            self.clock.callLater(self.patience, self._give_up)

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()
        self.registry.watchers.append(self.review)
        self._ticking.start()

    def stopService(self) -> Deferred[None]:
        """Write down how far sessions have come; they go on, and the next master knows them."""
        super().stopService()
        self._ticking.stop()
        for call in (self._soon, self._watching):
            if call is not None:
                call.cancel()
        self._soon = self._watching = None
        self._looks.stop()
        self._reviews.stop()
        if not len(self.seats) and not self.book.owes:
            return succeed(None)
        return Deferred.fromCoroutine(self.save()).addErrback(_log_failure, "sessions")

    # -- logins

    async def login(self, user: str, password: str, node: str) -> Visit | Refusal:
        """Begin a session at a seat, or say why not.  Never raises for what a person typed."""
        wait = self.attempts.begin(user, node, self.clock.seconds())
        if wait:
            return Refusal("attempts", f"too many wrong passwords; try again in {format_duration(math.ceil(wait))}")
        try:
            await self.registry.ready()
            account = await self._known(user, password)
        except StoreError as error:
            self.attempts.take_back(user, node)
            return self._away(error)
        if account is None:
            return WRONG
        self.attempts.right(account.name, node)
        return await self.resume(account.name, node)

    async def resume(self, user: str, node: str) -> Visit | Refusal:
        """Begin a session for somebody whose password need not be asked for (any more), as far as the rules allow."""
        refusal = self.seats.reserve(user, node)
        if refusal is not None:
            return refusal
        try:
            return await self._begin(user, node)
        except StoreError as error:
            return self._away(error)
        finally:
            self.seats.release(user, node)

    async def _known(self, user: str, password: str) -> Account | None:
        """The account, where the password is right; the same work for every answer."""
        from asyncluster.accounts.passwords import is_password, outdated  # most masters log nobody in

        try:
            name = check_name(user)
        except ValueError:
            name = ""
        account = await self.registry.people.find_user(name)
        kept = None if account is None else account.argon2
        right = await self._hashing.run(self.in_thread, lambda: is_password(kept, password))
        if account is None or not right:
            return None
        if outdated(account.argon2):
            Deferred.fromCoroutine(self._renew(account, password)).addErrback(_log_failure, "a password's new hash")
        return account

    async def _renew(self, account: Account, password: str) -> None:
        """Keep a hash of today's costs in the place of an old one; behind those who wait to be let in."""
        from asyncluster.accounts.passwords import renewed

        fresh = await self._hashing.run(self.in_thread, lambda: renewed(password))
        await self.registry.people.renew_hash(account.name, account.argon2, cast(str, fresh))

    async def _begin(self, user: str, node: str) -> Visit | Refusal:
        if self.book.owes_hours:
            await self.save()  # else hours would be forgotten
        now = self.registry.now()
        session = Session(self.next_number, user, node, now, now)
        self.next_number += 1
        answers: list[Grant | Refusal] = []

        def allow(row: LoginRow) -> bool:
            answers.append(self._decide(user, row, now))
            return isinstance(answers[-1], Grant)

        try:
            await self.registry.people.begin_session(session, week_start(self.registry.zone, now), allow)
        except StoreError:
            self.book.end(attrs.evolve(session, reason=VANISHED))  # it may be in the book, and the answer was lost
            raise
        answer = answers[-1]
        if isinstance(answer, Refusal):
            return answer
        visit = self.seats.begin(session.number, user, node, session.begun, answer, self.clock.seconds())
        _log.info("{user} begins a session at {node}", user=user, node=node)
        self._watch()
        return visit

    async def answer_for(self, user: str) -> Grant | Refusal:
        """What the rules say of a user now, with what the session that is on has used so far."""
        now = self.registry.now()
        row = await self.registry.people.login(user, week_start(self.registry.zone, now))
        return self._decide(user, row, now)

    def _decide(self, user: str, row: LoginRow, now: float) -> Grant | Refusal:
        if row.account is None:
            return Refusal("disabled", f"there is no account {user} any more")
        used = together(self.used(user, row.recent), self.used_by_tasks(user))
        return decide(row.account, self.registry.openings_of(user), used, self.registry.zone, now)

    def used(self, user: str, booked: list[tuple[float, float]]) -> dict[date, float]:
        """Seconds by day of the sessions that are booked, of those that are to be, and of the one that is on.

        The book may be half a minute behind.
        """
        known = dict(booked) | self.unwritten(user)
        visit = self.seats.of_user(user)
        if visit is not None:
            known[visit.begun] = visit.begun + visit.used(self.clock.seconds())
        return by_day(self.registry.zone, known.items())

    def unwritten(self, user: str) -> dict[float, float]:
        """A user's sessions that are over and may not be in the book so yet: begins with ends."""
        return self.book.unwritten(user)

    def _away(self, error: StoreError) -> Refusal:
        del error  # it is in the log, and its words are none of a visitor's business
        return Refusal("database", "the master's database is away, so nobody can be let in; try again in a minute")

    # -- while they last

    def leave(self, node: str) -> None:
        """The user at that seat goes."""
        visit = self.seats.at(node)
        if visit is not None:
            self._obey(self.seats.end(visit.number, LEFT, "", self.clock.seconds()))

    def end(self, number: int, reason: str) -> None:
        """That session is over, as its seat says."""
        self._obey(self.seats.end(number, reason, "", self.clock.seconds()))

    def vanished(self, node: str) -> None:
        """That node is gone for good."""
        self._obey(self.seats.vanished(node, self.clock.seconds()))

    def kick(self, user: str, text: str) -> None:
        """End a user's session.  Raises RefusedError where he has none."""
        visit = self._of(user)
        self._obey(self.seats.end(visit.number, KICKED, text, self.clock.seconds()))

    def say(self, user: str, text: str, who: str) -> None:
        """Show a message at a user's seat.  Raises RefusedError where he has none."""
        self._of(user)
        self._obey(self.seats.say(user, text, who))

    def _of(self, user: str) -> Visit:
        visit = self.seats.of_user(user)
        if visit is None:
            raise RefusedError(f"{user[:64]} has no session")
        return visit

    def review(self, user: str | None) -> None:
        """Something else holds for a user, or for everybody: sessions that are on go by it from now on."""
        if user is None:
            self._reviews.put(visit.user for visit in self.seats)
        elif self.seats.of_user(user) is not None:
            self._reviews.put([user])

    def _review_some(self, users: list[str]) -> Deferred[None]:
        reviews = [Deferred.fromCoroutine(self._review(user)) for user in users]
        for each in reviews:
            each.addErrback(_log_failure, "a session's time")
        return gatherResults(reviews).addCallback(lambda _: None)

    async def _review(self, user: str) -> None:
        try:
            answer = await self.answer_for(user)
        except StoreError:
            self._unsure.add(user)  # to be asked again at the next tick
            raise
        self._unsure.discard(user)
        self._obey(self.seats.review(user, answer, self.clock.seconds()))

    def tick(self) -> None:
        """Half a minute has passed."""
        self._looks.put(visit.number for visit in self.seats)
        unsure, self._unsure = self._unsure, set()
        self._reviews.put(user for user in unsure if self.seats.of_user(user) is not None)
        if len(self.seats) or self.book.owes:
            self._save_soon()

    def _look_at(self, numbers: list[int]) -> None:
        self._obey(self.seats.tick(self.clock.seconds(), numbers))

    def _give_up(self) -> None:
        self._obey(self.seats.give_up(self.clock.seconds()))

    def grow(self, session: Session, used: float) -> None:
        """A session that is over was used for so many seconds, as its node says: more than was booked.

        More than have passed since it began nobody can have used: a node's clock may be wrong, or its owner lie.
        """
        used = min(used, self.registry.now() - session.begun)
        if used > session.seconds:
            longer = attrs.evolve(session, ended=session.begun + used)
            self.book.grow(session, longer)
            self.over(longer)
            self._save_soon()

    def _obey(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, End):
                self.book.end(action.session)
                self.over(action.session)
                _log.info("the session of {user} at {node} has ended: {reason}", **attrs.asdict(action.session))
            self.tell(action)
        if any(isinstance(action, End) for action in actions):
            self._save_soon()
        self._watch()

    def _watch(self) -> None:
        """Be there to the second when somebody is to be warned or sent away: looked for once a turn."""
        if self._watching is None and self.running:
            self._watching = self.clock.callLater(0, self._look_ahead)

    def _look_ahead(self) -> None:
        self._watching = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        due = self.seats.due(self.clock.seconds())
        if due is not None and due < TICK:
            self._soon = self.clock.callLater(max(0.0, due), self._due)

    def _due(self) -> None:
        self._soon = None
        now = self.clock.seconds()
        self._looks.put(visit.number for visit in self.seats if visit.is_due(now))
        self._watch()

    def _save_soon(self) -> None:
        if not self.book.writing:
            Deferred.fromCoroutine(self.save()).addErrback(_log_failure, "sessions")

    async def save(self) -> None:
        """Write down what has ended, and how far the others have come.  Raises StoreError; then it is kept here."""
        now = self.clock.seconds()
        await self.book.write([visit.session() for visit in self.seats if visit.used(now)])


def _log_failure(failure: Any, what: str) -> None:
    if not failure.check(StoreError):  # the store has logged those
        _log.failure("{what} could not be written", failure=failure, what=what)
