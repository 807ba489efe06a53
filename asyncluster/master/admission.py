"""Whether a person who has proven a password across the network is let in: what the database says of him now.

Verifiers are at hand, so a password can be proven while the database is away.  Somebody who is here already may come
in then, by another connection or again after his link broke; nobody else may.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from asyncluster.errors import StoreError
from asyncluster.master.registry import Registry
from asyncluster.master.service import Master
from asyncluster.model.account import Account
from asyncluster.model.peer import Peer, Role

ANSWER_SHARE = 0.5
"""Of the time that a proof may take: what the database has to answer in, so that who waits hears why."""

NO_MORE = "this account may not be used any more"
AWAY = "the master's database is away, so nobody new is let in; try again in a minute"


@attrs.frozen
class Admission:
    """Asks for accounts that the database has.  limit: seconds in which it has to answer."""

    registry: Registry
    master: Master
    clock: IReactorTime
    limit: float

    def admit(self, peer: Peer) -> Deferred[str] | None:
        """None for whoever needs not be asked for; else why he is kept out, "" where he is not."""
        if peer.role is Role.NODE and not self.master.is_person(peer.name):
            return None
        if not self.registry.lasts:
            return None
        if refusal := _of_account(self.registry.accounts.get(peer.name)):
            return succeed(refusal)
        if self._is_here(peer.name):
            return None
        return self._ask(peer.name).addTimeout(self.limit, self.clock).addCallbacks(_of_account, _of_fault)

    def _ask(self, name: str) -> Deferred[Account | None]:
        people = self.registry.people
        if not people.away:
            return people.find_user(name)
        return people.touch().addCallback(lambda _: people.find_user(name))  # it may be away only for who writes

    def _is_here(self, name: str) -> bool:
        master = self.master
        return master.has_client(name) or master.attendance.has_account(name) or master.reception.desks.count(name) > 0


def _of_account(account: Account | None) -> str:
    if account is None or not account.enabled:  # it was taken away between the proof and now
        return NO_MORE
    return ""


def _of_fault(failure: Failure) -> str:
    failure.trap(StoreError, DeferredTimeoutError)
    return AWAY
