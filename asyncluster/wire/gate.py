"""The gate before the TCP port: who may talk to us at all, and how much before being proven.

Decides by address, number, time and bytes; refuses to know TLS, passwords and Perspective Broker.

    reactor.listenTCP(port, GateFactory(reactor, networks, build))

    def build(ticket: Ticket, address: IAddress) -> IProtocol:      # once for each connection let in
        return server_tls.wrap(LinkProtocol(ticket, ...))           # LinkProtocol calls ticket.proven()

An address outside the subnets, or one too many, gets no protocol: Twisted closes the socket before a byte is
read, `build` is not called and no TLS begins.  (The three-way handshake of TCP is the kernel's and comes
first; for silence below that use a packet filter.)  A connection let in holds a place until
`ticket.proven()` or its end, whichever comes first; nobody has to report the end.  Until then it may
last `deadline` seconds and send `unproven_bytes` raw bytes, counted below TLS, and is aborted beyond.  After
`proven()` reads go straight to the inner protocol: the gate's one remaining part is `connectionLost`.

At a cap the newcomer is refused, never one who is being proven: a flood can delay newcomers by the deadline, but
cannot push anybody out.  One address (one /64 of IPv6) holds only part of all places, so a flood from there leaves the
rest for others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.wire.subnets import Network, allows, neighbourhood, plain

_log = Logger()


@attrs.frozen
class Limits:
    """What an unproven peer may use.  128 places of some 100 KiB (TLS and buffers) are 13 MiB at the worst."""

    total: int = 128
    per_address: int = 48
    deadline: float = 20.0  # seconds from accept to proof
    unproven_bytes: int = 256 * 1024  # raw, below TLS; an honest proof needs about 8 KiB


Build = Callable[["Ticket", IAddress], IProtocol | None]


class Ticket:
    """A place at the gate, handed to `build` for the protocol that will find out who is there."""

    def __init__(self, gate: GateFactory, address: str, place: str) -> None:
        self.address = address
        self._gate: GateFactory | None = gate
        self._place = place
        self._shell: _Shell | None = None
        # from here on, not from connectionMade, which never comes when the socket dies in between
        self._timer: IDelayedCall | None = gate.clock.callLater(gate.limits.deadline, self._late)

    def proven(self) -> None:
        """The peer is proven: its place is free for the next one, its limits end.  Harmless when called again."""
        shell = self._shell
        self.gone()
        if shell is not None:
            shell.open_up()

    def gone(self) -> None:
        """The connection ended.  The gate calls this itself; harmless when called again."""
        gate, self._gate, self._shell = self._gate, None, None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        if gate is not None:
            gate.leave(self._place)

    def attach(self, shell: _Shell) -> None:
        """The connection is there.  The gate calls this."""
        if self._gate is not None:
            self._shell = shell

    def _late(self) -> None:
        if self._shell is None:
            self.gone()
        else:
            self._shell.give_up("not proven in time")


class _Shell(Protocol):
    """Counts the raw bytes of an unproven peer; out of the way afterwards.

    The inner protocol gets the real transport, so writing never passes through here; what of
    the reactor's reads remains is one attribute look-up.
    """

    def __init__(self, gate: GateFactory, ticket: Ticket, inner: IProtocol) -> None:
        self._gate = gate
        self._ticket = ticket
        self._inner = inner
        self._left = gate.limits.unproven_bytes
        self._given_up = False

    def logPrefix(self) -> str:
        """For Twisted."""
        return type(self._inner).__name__

    def connectionMade(self) -> None:
        """The inner protocol starts; a producer it registers belongs to the real transport."""
        assert self.transport is not None
        self._ticket.attach(self)
        self._inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Only while unproven: `open_up` puts the inner protocol's own in this place."""
        self._left -= len(data)
        if self._left < 0:
            self.give_up("too much said before the proof")
        elif not self._given_up:
            self._inner.dataReceived(data)

    def open_up(self) -> None:
        """The peer is proven."""
        # on the instance, so that the reactor's `self.protocol.dataReceived` is the inner one at once
        self.dataReceived = self._inner.dataReceived  # type: ignore[method-assign]  # that is the point

    def give_up(self, reason: str) -> None:
        """Drop the connection without a word; what was queued is forgotten."""
        self._given_up = True
        self._gate.refused(reason, self._ticket.address)
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free the place, tell the inner protocol."""
        self._ticket.gone()
        self.__dict__.pop("dataReceived", None)  # the cycle through the bound method
        self._inner.connectionLost(reason)


class GateFactory(Factory):
    """Lets connections in; see the module's docstring."""

    noisy = False

    def __init__(
        self, clock: IReactorTime, networks: Sequence[Network], build: Build, limits: Limits | None = None
    ) -> None:
        self.clock = clock
        self.limits = Limits() if limits is None else limits
        self._networks = networks
        self._build = build
        self._places: Counter[str] = Counter()
        self._silenced = 0  # refusals since the last line
        self._last = ""
        self._quiet: IDelayedCall | None = None

    @property
    def unproven(self) -> int:
        """How many places are taken."""
        return self._places.total()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """None for an address that may not, or not now; raises what `build` raises."""
        host = plain(getattr(addr, "host", ""))
        if addr is None or not allows(self._networks, host):
            self.refused("outside the subnets", host)
            return None
        place = neighbourhood(host)
        if self.unproven >= self.limits.total:
            self.refused("too many unproven connections", host)
            return None
        if self._places[place] >= self.limits.per_address:
            self.refused("too many unproven connections from one address", host)
            return None
        ticket = Ticket(self, host, place)
        self._places[place] += 1
        try:
            inner = self._build(ticket, addr)
        except BaseException:
            ticket.gone()
            raise
        if inner is None:
            ticket.gone()
            return None
        return _Shell(self, ticket, inner)

    def leave(self, place: str) -> None:
        """A place is free again.  For tickets."""
        self._places[place] -= 1
        if self._places[place] <= 0:
            del self._places[place]  # else every address ever seen would stay

    def refused(self, reason: str, host: str) -> None:
        """Log a refusal: at once when none was logged in the last second, else counted for the next line."""
        self._last = f"{reason}: {host}"
        self._silenced += 1
        if self._quiet is None:
            self._say()

    def _say(self) -> None:
        self._quiet = None
        if not self._silenced:
            return
        _log.warn("gate refused {count} connection(s), last {last}", count=self._silenced, last=self._last)
        self._silenced = 0
        self._quiet = self.clock.callLater(1.0, self._say)

    def stopFactory(self) -> None:
        """The port is closed: say what was not said."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._say()
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None
