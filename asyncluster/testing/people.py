"""A database of accounts for tests: answers at once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from asyncluster.errors import RefusedError, StoreError
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import EVERYBODY, Account, Audit, Opening, Session, Used
from asyncluster.store.people import FoundPeople, LoginRow
from asyncluster.wire.verifiers import VerifierFile

BERLIN = ZoneInfo("Europe/Berlin")


@attrs.define(eq=False)
class FakePeople:
    """As `store.people.People`."""

    accounts: dict[str, Account] = attrs.field(factory=dict)
    sessions: dict[int, Session] = attrs.field(factory=dict)
    openings: list[Opening] = attrs.field(factory=list)
    written: list[Audit] = attrs.field(factory=list)
    sums: list[Any] = attrs.field(factory=list)
    used: dict[int, list[Used]] = attrs.field(factory=dict)  # by batch
    away: bool = False
    held: list[Deferred[None]] | None = None  # answers wait here
    loses: int = 0  # answers that are lost from now on: what was asked for is done

    def _answer(self, work: Callable[[], Any]) -> Deferred[Any]:
        if self.away:
            return fail(StoreError("it is away"))
        if self.loses:
            self.loses -= 1
            work()
            return fail(StoreError("the answer was lost"))
        if self.held is not None:
            waiting: Deferred[Any] = Deferred()
            self.held.append(waiting)
            return waiting.addCallback(lambda _: work())
        try:
            return succeed(work())
        except RefusedError as error:
            return fail(error)

    def let_go(self) -> None:
        """Answer what waits, and from now on at once."""
        held, self.held = self.held or [], None
        for each in held:
            each.callback(None)

    def open(self) -> Deferred[FoundPeople]:
        running = [each for each in self.sessions.values() if not each.reason]
        return succeed(FoundPeople(list(self.accounts.values()), self.openings, running, len(self.sessions), 0))

    def close(self) -> Deferred[None]:
        return succeed(None)

    def login(self, name: str, since: float) -> Deferred[LoginRow]:
        return self._answer(lambda: self._row(name, since))

    def touch(self) -> Deferred[None]:
        return self._answer(lambda: None)

    def find_user(self, name: str) -> Deferred[Account | None]:
        return self._answer(lambda: self.accounts.get(name))

    def begin_session(
        self, session: Session, since: float = 0.0, allow: Callable[[LoginRow], bool] = lambda _: True
    ) -> Deferred[bool]:
        def work() -> bool:
            allowed = allow(self._row(session.user, since))
            if allowed:
                self.sessions.setdefault(session.number, session)
            return allowed

        return self._answer(work)

    def _row(self, name: str, since: float) -> LoginRow:
        theirs = [each for each in self.sessions.values() if each.user == name and each.ended > since]
        return LoginRow(self.accounts.get(name), [(each.begun, each.ended) for each in theirs])

    def save(self, running: list[Session], ended: list[Any], grown: list[Any]) -> Deferred[None]:
        def work() -> None:
            for each in running:
                if not self.sessions[each.number].reason:
                    self.sessions[each.number] = each
            for each, sums in ended:
                known = self.sessions.get(each.number)
                if (known is None and each.seconds) or (known is not None and not known.reason):
                    self.sums += sums
                    self.sessions[each.number] = each
            for each, sums in grown:
                if self.sessions[each.number].ended < each.ended:
                    self.sums += sums
                    self.sessions[each.number] = attrs.evolve(self.sessions[each.number], ended=each.ended)

        return self._answer(work)

    def users(self, after: str = "", most: int | None = None) -> Deferred[list[Account]]:
        return self._answer(lambda: [self.accounts[name] for name in sorted(self.accounts) if name > after][:most])

    def put_users(self, accounts: list[Account], act: Audit) -> Deferred[None]:
        return self._act(act, lambda: self.accounts.update((each.name, each) for each in accounts))

    def change_user(self, name: str, change: Callable[[Account], Account], act: Audit) -> Deferred[Account]:
        def work() -> Account:
            if name not in self.accounts:
                raise RefusedError(f"there is no account {name}")
            try:
                self.accounts[name] = change(self.accounts[name])
            except ValueError as error:
                raise RefusedError(str(error)) from None
            return self.accounts[name]

        return self._act(act, work)

    def change_users(self, names: list[str], change: Callable[[Any], Any], act: Audit) -> Deferred[list[Account]]:
        def work() -> list[Account]:
            try:
                accounts, detail = change({name: self.accounts[name] for name in names if name in self.accounts})
            except ValueError as error:
                raise RefusedError(str(error)) from None
            self.accounts.update((each.name, each) for each in accounts)
            self.written.append(attrs.evolve(act, detail=detail))
            return list(accounts)

        return self._answer(work)

    def renew_hash(self, name: str, old: str, new: str) -> Deferred[None]:
        def work() -> None:
            if name in self.accounts and self.accounts[name].argon2 == old:
                self.accounts[name] = attrs.evolve(self.accounts[name], argon2=new)

        return self._answer(work)

    def drop_user(self, name: str, act: Audit) -> Deferred[bool]:
        def work() -> bool:
            self.openings = [each for each in self.openings if each.user != name]
            return self.accounts.pop(name, None) is not None

        return self._act(act, work)

    def put_openings(self, some: list[Opening], act: Audit) -> Deferred[list[Opening]]:
        def work() -> list[Opening]:
            for name in {each.user for each in some} - {EVERYBODY, *self.accounts}:
                raise RefusedError(f"there is no account {name}")
            self.openings = [*self.openings, *some]
            return self.openings

        return self._act(act, work)

    def drop_openings(self, some: list[Opening], act: Audit) -> Deferred[tuple[int, list[Opening]]]:
        def work() -> tuple[int, list[Opening]]:
            before = len(self.openings)
            self.openings = [each for each in self.openings if each not in some]
            return before - len(self.openings), self.openings

        return self._act(act, work)

    def add_used(self, batch: int, used: list[Used], sums: list[Any]) -> Deferred[None]:
        return self._answer(lambda: self.used.setdefault(batch, list(used)) and None)

    def tasks_since(self, since: float) -> Deferred[list[tuple[str, float, float]]]:
        found = [each for batch in self.used.values() for each in batch if each.hour >= since]
        return self._answer(lambda: [(each.owner, each.hour, each.core_seconds) for each in found])

    def note_act(self, act: Audit) -> Deferred[None]:
        return self._act(act, lambda: None)

    def acts(self, most: int) -> Deferred[list[Audit]]:
        return self._answer(lambda: self.written[::-1][:most])

    def _act(self, act: Audit, work: Callable[[], Any]) -> Deferred[Any]:
        def both() -> Any:
            value = work()
            self.written.append(act)
            return value

        return self._answer(both)


class Stage:
    """Sessions with a clock of the test's, and all that seats are told."""

    def __init__(self, folder: Path, now: float, people: FakePeople | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.shift = now - self.clock.seconds()
        self.people = people or FakePeople()
        self.registry = Registry(
            self.people,  # type: ignore[arg-type]
            VerifierFile(folder / "accounts"),
            BERLIN,
            now=lambda: self.clock.seconds() + self.shift,
        )
        self.told: list[Any] = []
        self.sessions = Sessions(self.clock, self.registry, lambda work: succeed(work()), self.told.append)
        found: list[FoundPeople] = []
        self.registry.open().addCallback(found.append)
        self.sessions.begin_with(found[0].running, found[0].last_session)
        self.sessions.startService()

    def login(self, user: str, password: str, node: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.sessions.login(user, password, node))

    def pass_by(self, seconds: float) -> None:
        """In small steps, with a heartbeat of every seat each."""
        for _ in range(round(seconds / 5)):
            self.clock.advance(5.0)
            for visit in self.sessions.seats:
                self.sessions.seats.beat(visit.node, self.clock.seconds())
