"""Accounts of single nodes: a secret that serves once, and what takes its place.

User data can be read by every process of an instance, for as long as it lives.  So what stands there is worth nothing
once the node has registered: it is a random secret of this one node, good until the engine no longer waits for it,
with which the node proves itself once, to hand over the verifier of another secret, which it has drawn itself and which
never leaves it.  The book keeps verifiers only, with the node's record, so they go when it goes.

Either is an account called ~NAME, and a link of that account registers a node of that name and no other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from asyncluster.elastic.engine import Engine
from asyncluster.elastic.records import STARTING, NodeRecord
from asyncluster.errors import CloudError, RefusedError
from asyncluster.model.peer import OWN_ACCOUNT, Role
from asyncluster.model.supply import Order
from asyncluster.wire.accounts import MIN_ITERATIONS, Verifier, make_verifier

_log = Logger()

SECRET_BYTES = 32


@attrs.define(eq=False)
class Enlisting:
    """Of one master.

    engine: whose book has the nodes; in_thread: for some milliseconds of work, which many nodes would add up.
    """

    engine: Engine
    in_thread: Callable[..., Deferred[Verifier]] = deferToThread
    _issued: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False, repr=False)  # by token

    def find(self, name: str, role: str) -> Verifier | None:
        """The verifier of an account of one node: of its own secret once it has one, else of the one that serves once.

        None where there is no such node, or where the engine waits for it no longer.
        """
        record = self._record(name) if role == Role.NODE.value else None
        if record is None or not record.verifier or not (record.enlisted or record.life in STARTING):
            return None
        try:
            return Verifier.from_line(record.verifier)
        except ValueError:
            _log.error("the book's verifier of node {node} makes no sense: it cannot come back", node=record.name)
            return None

    def issue(self, order: Order) -> Deferred[tuple[str, str]]:
        """The account and the secret for an order, the same again for the same; its verifier is durable by then."""
        return Deferred.fromCoroutine(self._issue(order))

    async def _issue(self, order: Order) -> tuple[str, str]:
        wanted = {record.token for record in self.engine.nodes.values() if record.life in STARTING}
        self._issued = {token: issued for token, issued in self._issued.items() if token in wanted}
        issued = self._issued.setdefault(order.token, (OWN_ACCOUNT + order.name, secrets.token_urlsafe(SECRET_BYTES)))
        # so many random bits need no slow hash
        verifier = await self.in_thread(make_verifier, issued[0], Role.NODE.value, issued[1], None, MIN_ITERATIONS)
        record = self.engine.nodes.get(order.name)
        if record is None or record.token != order.token or record.enlisted:
            raise CloudError(f"node {order.name} is not wanted any more")
        await self.engine.keep_verifier(order.name, verifier.to_line(), enlisted=False)
        return issued

    def is_enlisted(self, account: str) -> bool:
        """Whether that account's secret is already the node's own."""
        record = self._record(account)
        return record is not None and record.enlisted

    def enlist(self, account: str, line: str, address: str) -> Deferred[None]:
        """The node hands over the verifier of its own secret; durable when the Deferred fires.

        Raises RefusedError for one that is none, and where another has been quicker with the same secret.
        """
        record = self._record(account)
        try:
            verifier = Verifier.from_line(line)
        except ValueError as error:
            raise RefusedError(f"that is no verifier: {error}") from None
        if (verifier.name, verifier.role) != (account, Role.NODE.value):
            raise RefusedError("that is the verifier of another account")
        if record is None:
            raise RefusedError(f"node {account.removeprefix(OWN_ACCOUNT)} is not wanted any more")
        if record.enlisted:
            _log.error(
                "the secret of node {node} was used a second time, from {address}: somebody has read its user data; "
                "`asyncluster cluster delete {node}` ends it",
                node=record.name,
                address=address,
            )
            raise RefusedError(f"the secret of node {record.name} has served already")
        self._issued.pop(record.token, None)
        _log.info("node {node} at {address} has a secret of its own", node=record.name, address=address)
        return self.engine.keep_verifier(record.name, verifier.to_line(), enlisted=True)

    def _record(self, account: str) -> NodeRecord | None:
        return self.engine.nodes.get(account.removeprefix(OWN_ACCOUNT)) if account.startswith(OWN_ACCOUNT) else None
