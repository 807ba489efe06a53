"""The master's two doors: the UNIX socket for people on this machine, TCP for nodes and for people elsewhere."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import RefusedError
from asyncluster.interfaces import IReactor
from asyncluster.model.peer import Peer, Role
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.conversation import Admit, Guesses, MasterEnd, our_hello
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
    admit: Admit | None = None,
    guesses: Guesses | None = None,
) -> GateFactory:
    """Gate, TLS, proof, link, in this order.  admit: asked between the last two; guesses: counts wrong passwords."""
    tls = ServerTLS(identity, reactor)
    ours = our_hello(Role.MASTER, "master")

    def begin(broker: LinkBroker, role: Role, theirs: bytes, answer: bytes) -> MasterProof:
        transport = broker.transport
        binding = Binding(role, exporter(transport), own_certificate_hash(transport), theirs, answer)
        return MasterProof(doorkeeper, binding)

    def build(ticket: Ticket, address: IAddress) -> IProtocol:
        end = MasterEnd(
            reactor,
            ours,
            ticket.address,
            welcome=welcome,
            begin_proof=begin,
            proven=ticket.proven,
            admit=admit,
            guesses=guesses,
        )
        end.broker = LinkBroker(end, is_client=False)
        return tls.wrap(end.broker)

    return GateFactory(reactor, networks, build, limits)


class _LocalBroker(LinkBroker):
    """On the UNIX socket: the kernel is asked who is there before the first byte is read."""

    def __init__(self, end: MasterEnd, door: UnixFactory) -> None:
        super().__init__(end, is_client=False)
        self._end = end
        self._door = door
        self._place = ""  # the name under which a place is held
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Ask, or end the connection."""
        try:
            peer = identify(read_credentials(self.transport), os.geteuid(), self._door.admin_group)
            self._door.enter(peer)
        except RefusedError as error:
            _log.warn("a local user was refused: {error}", error=str(error))
            self.transport.abortConnection()
            return
        self._place = peer.name
        self._end.known, self._end.address = peer, peer.address
        self._timer = self._door.reactor.callLater(self._door.limits.deadline, self._too_late)
        super().connectionMade()

    def prove(self) -> None:
        """It has said hello."""
        self._stop_timer()
        super().prove()

    def dataReceived(self, chunk: bytes) -> None:
        """Nothing of somebody refused is read."""
        if self._place:
            super().dataReceived(chunk)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Those refused never were anybody."""
        self._stop_timer()
        if self._place:
            self._door.leave(self._place)
            super().connectionLost(reason)

    def _too_late(self) -> None:
        _log.warn("{name} connected and said nothing", name=self._place)
        self.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class UnixFactory(Factory[LinkBroker]):
    """For the UNIX socket.  `admin_group` names the group whose members are administrators; may be empty.

    One user holds at most `limits.per_address` connections, administrators as many as they like.
    """

    noisy = False

    def __init__(self, reactor: IReactor, admin_group: str, welcome: Welcome, limits: Limits) -> None:
        self.reactor = reactor
        self.admin_group = admin_group
        self.limits = limits
        self._welcome = welcome
        self._ours = our_hello(Role.MASTER, "master")
        self._places: Counter[str] = Counter()

    def enter(self, peer: Peer) -> None:
        """Take a place; raises RefusedError when the user holds too many."""
        if not peer.admin and self._places[peer.name] >= self.limits.per_address:
            raise RefusedError(f"{peer.name} holds {self.limits.per_address} connections already")
        self._places[peer.name] += 1

    def leave(self, name: str) -> None:
        """A connection of that user has ended."""
        self._places[name] -= 1
        if not self._places[name]:
            del self._places[name]

    def buildProtocol(self, addr: IAddress | None) -> LinkBroker:
        """A broker that asks the kernel first."""
        end = MasterEnd(self.reactor, self._ours, "unix", welcome=self._welcome)
        end.broker = _LocalBroker(end, self)
        return end.broker
