"""Verbs about accounts, openings and usage: for administrators only, each change written down.

What comes in is checked here; hashes are made where the password was typed, so none crosses the wire.
"""

from __future__ import annotations

from collections.abc import Awaitable, Container, Iterable, Mapping
from datetime import date, datetime
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from asyncluster.accounts.calendar import day_of
from asyncluster.accounts.passwords import check_hash
from asyncluster.accounts.report import AXES, span
from asyncluster.errors import RefusedError, StoreError
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import MOST_HOURS, Account, Audit, Opening, check_hours, check_name
from asyncluster.model.pages import to_pages
from asyncluster.model.peer import Peer
from asyncluster.wire.accounts import verifier_of

MOST_AT_ONCE = 1000
"""Accounts of one request; who has more asks again."""

PAGE = 250
"""Accounts of one list; who wants more asks again."""

LONGEST_TEXT = 2000
"""Characters of a message to a user."""

_SET = ("enabled", "restricted", "daily", "weekly", "slots", "queued")
_GIVEN = ("name", *_SET, "argon2", "scram")


def account_verb(sessions: Sessions | None, peer: Peer, args: tuple[Any, ...]) -> object:
    """The answer to one question, `args` = ("list",), ("add", [{"name": …}, …]) and so on, see `_answer`.

    Raises RefusedError for who is no administrator; the Deferred fails with it for what makes no sense, and with
    StoreError where the database is away.
    """
    if not peer.admin:
        raise RefusedError("only administrators look after accounts")
    if sessions is None:
        raise RefusedError("this master keeps no accounts")
    desk = AccountDesk(sessions, peer)
    return sessions.registry.ready().addCallback(lambda _: desk.answer(args)).addErrback(_away)


def _away(failure: Failure) -> Failure:
    if failure.check(StoreError) is None:
        return failure
    raise RefusedError(f"nothing was done: {failure.getErrorMessage()}")


@attrs.frozen
class AccountDesk:
    """One administrator."""

    sessions: Sessions
    peer: Peer

    @property
    def registry(self) -> Registry:
        """Where accounts are."""
        return self.sessions.registry

    def answer(self, args: tuple[Any, ...]) -> object:
        """What was asked for; each line says with what."""
        try:
            return self._answer(args)
        except (ValueError, TypeError, OverflowError) as error:  # of what was sent; the store's own are StoreErrors
            raise RefusedError(str(error)) from error

    def _answer(self, args: tuple[Any, ...]) -> object:
        match args:
            case ("list", str() as after):
                return self.registry.people.users(after, PAGE).addCallback(
                    lambda found: self._pages([self._plain(each) for each in found])
                )
            case ("show", str() as name):
                return self._one(name).addCallback(self._shown)
            case ("hashes", str() as name):
                return self.registry.note(self.peer, "export hashes", name).addCallback(
                    lambda _: self._one(name).addCallback(lambda one: {"argon2": one.argon2, "scram": one.scram})
                )
            case ("add", list() as rows) if len(rows) <= MOST_AT_ONCE:
                return self._add(rows)
            case ("import", list() as rows) if len(rows) <= MOST_AT_ONCE:
                return self._import(rows)
            case ("set", str() as name, str() as what, dict() as changes):
                return self._set(name, what, changes)
            case ("password", str() as name, str() as argon2, str() as scram):
                return self._password(name, argon2, scram)
            case ("remove", str() as name):
                return self.registry.remove(self.peer, name)
            case ("message", str() as name, str() as text):
                self.sessions.say(name, _text(text), self.peer.name)
                return self._done("message", name, text)
            case ("kick", str() as name, str() as text):
                self.sessions.kick(name, _text(text) or f"{self.peer.name} has ended your session")
                return self._done("kick", name, text)
            case ("openings",):
                return self._pages([attrs.asdict(each) for each in self.registry.openings])
            case ("opening add", list() as some) if some:
                return self.registry.add_openings(self.peer, _openings(some))
            case ("opening remove", list() as some) if some:
                return self.registry.drop_openings(self.peer, _openings(some))
            case ("usage", str() as axis, str() as first, str() as last) if axis in AXES:
                days = span(self.registry.zone, date.fromisoformat(first), date.fromisoformat(last), self._today())
                return self.registry.people.report(axis, days).addCallback(self._pages)
            case ("today",):
                return self._today().isoformat()
            case ("audit", int() as most) if most > 0:
                return self.registry.people.acts(most).addCallback(
                    lambda acts: self.sessions.in_thread(lambda: to_pages([self._told(act) for act in acts]))
                )
        raise RefusedError(f"accounts are not asked for {' '.join(map(str, args))[:60]}")

    # -- looking

    def _pages(self, found: object) -> Awaitable[Any]:
        """As it is sent: thousands of lines take longer to write than the reactor may stand still."""
        return self.sessions.in_thread(lambda: to_pages(found))

    def _today(self) -> date:
        return day_of(self.registry.zone, self.registry.now())

    def _one(self, name: str) -> Deferred[Account]:
        def found(account: Account | None) -> Account:
            if account is None:
                raise RefusedError(f"there is no account {name[:64]}; `asyncluster user list` shows them")
            return account

        return self.registry.people.find_user(name).addCallback(found)

    def _shown(self, account: Account) -> object:
        """With what the rules say now, and the openings that count."""
        theirs = self.registry.openings_of(account.name)
        told = self._plain(account) | {"openings": [attrs.asdict(each) for each in theirs]}

        def with_answer(answer: Any) -> dict[str, Any]:
            refused = getattr(answer, "reason", None)
            return told | {
                "refused": refused,
                "granted": None if refused else answer.seconds,
                "tasks_wait": (refused or "") if self.sessions.hours_for_tasks else "",
            }

        return Deferred.fromCoroutine(self.sessions.answer_for(account.name)).addCallback(with_answer)

    def _plain(self, account: Account) -> dict[str, Any]:
        """An account as basic types, without its hashes."""
        plain = attrs.asdict(account, filter=attrs.filters.exclude("argon2", "scram"))
        visit = self.sessions.seats.of_user(account.name)
        now = self.sessions.clock.seconds()
        session = visit and {"node": visit.node, "begun": visit.begun, "used": visit.used(now), "left": visit.left(now)}
        return plain | {"password": bool(account.argon2 or account.scram), "session": session}

    def _told(self, act: Audit) -> dict[str, Any]:
        when = datetime.fromtimestamp(act.at, self.registry.zone).isoformat(" ", "seconds")
        return attrs.asdict(act) | {"when": when}

    # -- changing

    def _done(self, what: str, name: str, text: str) -> Deferred[None]:
        """It was done already, and stays so where it can only be written into the log."""
        return self.registry.note(self.peer, what, name, text).addErrback(
            lambda failure: failure.trap(StoreError) and None
        )

    def _add(self, rows: list[Any]) -> Deferred[None]:
        by_name = _by_name(rows)
        accounts = [_account(self._new(name), row) for name, row in by_name.items()]

        def change(known: Mapping[str, Account]) -> tuple[list[Account], str]:
            for name in known:
                raise ValueError(f"there is an account {name} already; `asyncluster user show` shows it")
            return accounts, ""

        return self.registry.change_some(self.peer, list(by_name), "add", change).addCallback(lambda _: None)

    def _import(self, rows: list[Any]) -> Deferred[int]:
        """New accounts, and changes of those that are there; what a row does not say stays as it is."""
        by_name = _by_name(rows)

        def change(known: Mapping[str, Account]) -> tuple[list[Account], str]:
            accounts = []
            for name, row in by_name.items():
                try:
                    accounts.append(_account(known.get(name) or self._new(name), row, kept=True))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"the line of {name}: {error}") from error
            return accounts, _told_apart(by_name, known)

        return self.registry.change_some(self.peer, list(by_name), "import", change)

    def _new(self, name: str) -> Account:
        self.registry.check_new(name)
        return Account(name, made=self.registry.now())

    def _set(self, name: str, what: str, changes: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        unknown = set(changes) - set(_SET)
        if unknown or not changes:
            raise RefusedError(f"an account has no {' '.join(sorted(map(str, unknown)))[:60] or 'such change'}")
        detail = ", ".join(f"{key}={value}" for key, value in sorted(changes.items()))
        done = self.registry.change(self.peer, name, what[:40], lambda account: _account(account, changes), detail)
        return done.addCallback(self._plain)

    def _password(self, name: str, argon2: str, scram: str) -> Deferred[None]:
        def change(account: Account) -> Account:
            return _account(account, {"argon2": argon2, "scram": scram})

        return self.registry.change(self.peer, name, "password", change).addCallback(lambda _: None)


def _by_name(rows: list[Any]) -> dict[str, dict[str, Any]]:
    """What is said of whom.  Raises ValueError, TypeError."""
    if not all(isinstance(row, dict) for row in rows):
        raise TypeError("an account is told by its name and what else is said of it")
    by_name: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = check_name(row.get("name"))
        if name in by_name:
            raise ValueError(f"{name} is there twice: which one counts cannot be told")
        by_name[name] = row
    return by_name


def _account(account: Account, given: Mapping[str, Any], kept: bool = False) -> Account:
    """With what is given, which comes from outside.  Raises ValueError.

    kept: it was an account's before, perhaps of an earlier release: limits that limit nothing are taken.
    """
    if unknown := set(given) - set(_GIVEN):
        raise ValueError(f"an account has no {' '.join(sorted(map(str, unknown)))[:60]}")
    for key, value in given.items():
        wanted: tuple[type, ...] = (str,)
        if key in ("enabled", "restricted"):
            wanted = (bool,)
        elif key in _SET:
            wanted = (int, type(None))
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted != (bool,)):
            raise ValueError(f"{key} of {account.name} is {str(value)[:40]}, which it cannot be")
        if key in MOST_HOURS and not kept:
            check_hours(key, cast("int | None", value))
    changed = attrs.evolve(account, **{key: value for key, value in given.items() if key != "name"})
    if given.get("argon2"):
        check_hash(changed.argon2)
    if given.get("scram"):
        verifier_of(changed.name, changed.scram)
    return changed


def _told_apart(accounts: Iterable[str], known: Container[str]) -> str:
    """Which of these are new, and which are changed, for the audit."""
    new = [name for name in accounts if name not in known]
    changed = [name for name in accounts if name in known]
    parts = [f"{what}: {' '.join(some)}" for what, some in (("new", new), ("changed", changed)) if some]
    return "; ".join(parts)


def _openings(some: list[Any]) -> list[Opening]:
    kinds = (str, int, int, int)
    for each in some:
        if not isinstance(each, list | tuple) or [type(value) for value in each] != [*kinds]:
            raise TypeError("an opening is a user, a weekday, and two times in minutes")
    return [Opening(*each) for each in some]


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise RefusedError(f"a message has at most {LONGEST_TEXT} characters")
    return text
