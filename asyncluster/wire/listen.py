"""The master's two doors: the UNIX socket for people on this machine, TCP for nodes and for people elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import RefusedError
from asyncluster.interfaces import IReactor
from asyncluster.model.peer import Role
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.conversation import MasterEnd, our_hello
from asyncluster.wire.gate import GateFactory, Limits, Ticket
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.peercred import identify, read_credentials
from asyncluster.wire.proof import Binding, Doorkeeper, MasterProof
from asyncluster.wire.subnets import Network
from asyncluster.wire.tls import Identity, ServerTLS, exporter, own_certificate_hash

_log = Logger()

Welcome = Callable[[Link], LinkHandler]
"""Makes the handler of a newly proven peer; may raise RefusedError."""


def tcp_factory(
    reactor: IReactor,
    identity: Identity,
    doorkeeper: Doorkeeper,
    networks: Sequence[Network],
    limits: Limits,
    welcome: Welcome,
) -> GateFactory:
    """Gate, TLS, proof, link, in this order."""
    tls = ServerTLS(identity, reactor)
    ours = our_hello(Role.MASTER, "master")

    def begin(broker: LinkBroker, role: Role, theirs: bytes, answer: bytes) -> MasterProof:
        transport = broker.transport
        binding = Binding(role, exporter(transport), own_certificate_hash(transport), theirs, answer)
        return MasterProof(doorkeeper, binding)

    def build(ticket: Ticket, address: IAddress) -> IProtocol:
        end = MasterEnd(reactor, ours, ticket.address, welcome=welcome, begin_proof=begin, proven=ticket.proven)
        end.broker = LinkBroker(end, is_client=False)
        return tls.wrap(end.broker)

    return GateFactory(reactor, networks, build, limits)


class _LocalBroker(LinkBroker):
    """On the UNIX socket: the kernel is asked who is there before the first byte is read."""

    def __init__(self, end: MasterEnd, admin_group: str) -> None:
        super().__init__(end, is_client=False)
        self._end = end
        self._admin_group = admin_group
        self._refused = False

    def connectionMade(self) -> None:
        """Ask, or end the connection."""
        try:
            self._end.known = identify(read_credentials(self.transport), os.geteuid(), self._admin_group)
        except RefusedError as error:
            _log.warn("a local user was refused: {error}", error=str(error))
            self._refused = True
            self.transport.abortConnection()
            return
        self._end.address = self._end.known.address
        super().connectionMade()

    def dataReceived(self, chunk: bytes) -> None:
        """Nothing of somebody refused is read."""
        if not self._refused:
            super().dataReceived(chunk)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Those refused never were anybody."""
        if not self._refused:
            super().connectionLost(reason)


class UnixFactory(Factory[LinkBroker]):
    """For the UNIX socket.  `admin_group` names the group whose members are administrators; may be empty."""

    noisy = False

    def __init__(self, reactor: IReactor, admin_group: str, welcome: Welcome) -> None:
        self._reactor = reactor
        self._admin_group = admin_group
        self._welcome = welcome
        self._ours = our_hello(Role.MASTER, "master")

    def buildProtocol(self, addr: IAddress | None) -> LinkBroker:
        """A broker that asks the kernel first."""
        end = MasterEnd(self._reactor, self._ours, "unix", welcome=self._welcome)
        end.broker = _LocalBroker(end, self._admin_group)
        return end.broker
