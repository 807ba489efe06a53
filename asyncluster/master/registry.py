"""Accounts as the master has them at hand: who may prove a password across the network, and what is known of openings.

The database has all of it and is changed here only, so what is at hand is what is there.  A master without a database
makes one in memory when somebody first asks for accounts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.accounts.openings import by_user, openings_of
from asyncluster.errors import RefusedError
from asyncluster.model.account import Account, Audit, Opening
from asyncluster.model.peer import OWN_ACCOUNT, Peer, Role
from asyncluster.wire.accounts import Verifier, verifier_of
from asyncluster.wire.verifiers import VerifierFile

if TYPE_CHECKING:
    from asyncluster.store.people import FoundPeople, People

_log = Logger()

IMPORTED = ".imported"
"""Behind the name of the file of accounts that an earlier release kept, once they are in the database."""

FEW = 10
"""Accounts that are changed at once; of more than these everybody is told, which is done in turns."""

Change = Callable[[Account], Account]
ChangeSome = Callable[[Mapping[str, Account]], tuple[list[Account], str]]
"""Told the accounts that there are, gives those that are to be, and more for the audit; in the database's thread."""


@attrs.define(eq=False)
class Registry:
    """Accounts and openings.

    file: where masters without a database keep verifiers, and an earlier release's did; lasts: whether what is kept
    here outlives the master; now: the instant; watchers: called with the name of the user for whom something else holds
    now, None: for everybody; accounts: all, by name; nodes_account: its name, which no person's can have.
    """

    people: People
    file: VerifierFile
    zone: tzinfo
    lasts: bool = True
    now: Callable[[], float] = time.time
    watchers: list[Callable[[str | None], object]] = attrs.field(factory=list)
    accounts: dict[str, Account] = attrs.field(factory=dict)
    openings: list[Opening] = attrs.field(factory=list)
    nodes_account: str = ""
    _by_user: tuple[list[Opening], dict[str, list[Opening]]] = ([], {})  # the same by user, made when it is asked for
    _verifiers: dict[str, Verifier] = attrs.field(factory=dict)
    last_batch: int = 0  # of usage
    _is_ready: bool = False
    _waiting: list[Deferred[None]] = attrs.field(factory=list)

    def open(self) -> Deferred[FoundPeople]:
        """Read what the database has, and take over what a file of an earlier release has."""
        return self.people.open().addCallback(self._opened)

    @property
    def is_ready(self) -> bool:
        """Whether there is a place for what was used."""
        return self._is_ready

    def ready(self) -> Deferred[None]:
        """Fires when accounts can be asked for; in memory they are made now."""
        if self._is_ready:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            _log.warn(
                "[server] database keeps nothing: accounts, openings and sessions are forgotten when the master stops"
            )
            self.open().addBoth(self._told)
        return waiting

    def _told(self, outcome: object) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(outcome if isinstance(outcome, Failure) else None)

    def _opened(self, found: FoundPeople) -> Deferred[FoundPeople]:
        self._is_ready = True
        self.last_batch = found.batch
        self.openings = found.openings
        for account in found.accounts:
            self._note(account)
        if self.nodes_account in self.accounts:
            _log.warn(
                "{name} is a person's account, and [client] user, the nodes': that person cannot have nodes of his own",
                name=self.nodes_account,
            )
        return self._take_over(found)

    def _take_over(self, found: FoundPeople) -> Deferred[FoundPeople]:
        known = {account.name for account in found.accounts}
        theirs = [self.file.find(name, role) for name, role in self.file.names() if role == Role.CLIENT.value]
        accounts = [
            account
            for verifier in theirs
            if verifier is not None and verifier.name not in known and (account := self._of_file(verifier)) is not None
        ]
        if not theirs or not self.lasts:
            return succeed(found)
        act = Audit(self.now(), "", "import", str(self.file.path), f"{len(accounts)} accounts of an earlier release")
        return self.people.put_users(accounts, act).addCallback(self._taken_over, accounts, found)

    def _of_file(self, verifier: Verifier) -> Account | None:
        """They could connect, so they can."""
        try:
            return Account(verifier.name, enabled=True, restricted=False, scram=verifier.to_line(), made=self.now())
        except ValueError as error:
            _log.error("an account of {file} is left out: {error}", file=str(self.file.path), error=str(error))
            return None

    def _taken_over(self, _done: None, accounts: Sequence[Account], found: FoundPeople) -> FoundPeople:
        for account in accounts:
            self._note(account)
        nodes = [self.file.find(name, role) for name, role in self.file.names() if role != Role.CLIENT.value]
        self.file.path.rename(f"{self.file.path}{IMPORTED}")
        self.file.load()
        for verifier in nodes:
            if verifier is not None:
                self.file.put(verifier)
        _log.info(
            "{count} accounts of {file} are in the database now; the file is kept as {file}{tail}",
            count=len(accounts),
            file=str(self.file.path),
            tail=IMPORTED,
        )
        return attrs.evolve(found, accounts=[*found.accounts, *accounts])

    # -- asking

    def find(self, name: str, role: str) -> Verifier | None:
        """What is kept of a password, for the proof across the network; None also for who is disabled.

        A person's password is good for nodes of that person's own, too.
        """
        if role == Role.CLIENT.value:
            verifier = self._verifiers.get(name)
            if verifier is not None or self.lasts:
                return verifier
        return self.file.find(name, role) or self._of_person(name, role)

    def openings_of(self, user: str) -> list[Opening]:
        """Those that hold for a user.  In any thread."""
        known, found = self._by_user
        if known is not self.openings:
            known, found = self.openings, by_user(self.openings)
            self._by_user = known, found
        return openings_of(user, found)

    def is_person(self, name: str) -> bool:
        """Whether a node of that name's account is a person's own: not one that the site has named."""
        return self.file.find(name, Role.NODE.value) is None

    def _of_person(self, name: str, role: str) -> Verifier | None:
        verifier = self._verifiers.get(name) if role == Role.NODE.value else None
        return None if verifier is None else attrs.evolve(verifier, role=role)

    # -- changing; all give a Deferred, and are written down with who did it

    def check_new(self, name: str) -> None:
        """Raises ValueError for a name that no person's account can have, since it is one of nodes."""
        if name == self.nodes_account:
            raise ValueError(f"{name} is the account of the nodes, [client] user: call the person's something else")
        if name.startswith(OWN_ACCOUNT):
            raise ValueError(
                f"{name} begins with {OWN_ACCOUNT}, as accounts of single nodes do; begin it with a letter"
            )

    def add(self, peer: Peer, accounts: Sequence[Account], what: str, detail: str = "") -> Deferred[None]:
        """Keep accounts, new ones or whole ones in the place of others; what: the audit is to call it."""
        if not accounts:
            return succeed(None)
        whom = accounts[0].name if len(accounts) == 1 else f"{len(accounts)} accounts"
        done = self.people.put_users(accounts, self._act(peer, what, whom, detail))
        return done.addCallback(lambda _: self._all_noted(accounts))

    def change_some(self, peer: Peer, names: Sequence[str], what: str, change: ChangeSome) -> Deferred[int]:
        """Make and change accounts of these names in one go; how many.

        Nobody else's change comes between what `change` is told and what it gives.  Fails with RefusedError where it
        raises ValueError; then nothing is done.
        """

        def noted(accounts: list[Account]) -> int:
            self._all_noted(accounts)
            return len(accounts)

        if not names:
            return succeed(0)
        whom = names[0] if len(names) == 1 else f"{len(names)} accounts"
        return self.people.change_users(names, change, self._act(peer, what, whom)).addCallback(noted)

    def _all_noted(self, accounts: Sequence[Account]) -> None:
        for account in accounts:
            self._note(account)
        for name in [account.name for account in accounts] if len(accounts) <= FEW else [None]:
            self.changed(name)

    def change(self, peer: Peer, name: str, what: str, change: Change, detail: str = "") -> Deferred[Account]:
        """Change an account; fails with RefusedError where there is none, or it would make no sense."""

        def noted(account: Account) -> Account:
            self._note(account)
            self.changed(account.name)
            return account

        return self.people.change_user(name, change, self._act(peer, what, name, detail)).addCallback(noted)

    def remove(self, peer: Peer, name: str) -> Deferred[None]:
        """Forget an account; fails with RefusedError where there is none."""

        def noted(there: bool) -> None:
            if not there:
                raise RefusedError(f"there is no account {name[:64]}; `asyncluster user list` shows them")
            self._verifiers.pop(name, None)
            self.accounts.pop(name, None)
            self.openings = [each for each in self.openings if each.user != name]
            self.changed(name)

        return self.people.drop_user(name, self._act(peer, "remove", name)).addCallback(noted)

    def add_openings(self, peer: Peer, some: Sequence[Opening]) -> Deferred[None]:
        """Keep openings; fails with RefusedError where one is of an account that is not there."""
        done = self.people.put_openings(
            some, self._act(peer, "opening add", some[0].user or "everybody", _listed(some))
        )
        return done.addCallback(self._openings_noted)

    def drop_openings(self, peer: Peer, some: Sequence[Opening]) -> Deferred[int]:
        """Take openings away; how many were there."""

        def noted(told: tuple[int, list[Opening]]) -> int:
            self._openings_noted(told[1])
            return told[0]

        act = self._act(peer, "opening remove", some[0].user or "everybody", _listed(some))
        return self.people.drop_openings(some, act).addCallback(noted)

    def note(self, peer: Peer, what: str, whom: str, detail: str = "") -> Deferred[None]:
        """Write down an act that changes no account."""
        return self.people.note_act(self._act(peer, what, whom, detail))

    def _openings_noted(self, openings: list[Opening]) -> None:
        self.openings = openings
        self.changed(None)

    def _act(self, peer: Peer, what: str, whom: str, detail: str = "") -> Audit:
        _log.info("{who}: {what} {whom} {detail}", who=peer.name, what=what, whom=whom[:64], detail=detail[:200])
        return Audit(self.now(), peer.name, what, whom[:64], detail[:500])

    def changed(self, name: str | None) -> None:
        """Something else holds for a user, or for everybody."""
        for watcher in self.watchers:
            watcher(name)

    def _note(self, account: Account) -> None:
        """Keep at hand what it says, and what the proof of a password needs."""
        self.accounts[account.name] = account
        self._verifiers.pop(account.name, None)
        if account.enabled and account.scram:
            try:
                self._verifiers[account.name] = verifier_of(account.name, account.scram)
            except ValueError as error:
                _log.error("account {name} cannot connect: {error}", name=account.name, error=str(error))


def _listed(some: Sequence[Opening]) -> str:
    return ", ".join(map(str, some))
