"""The gate before the TCP port: who may talk to us at all, and how much before being proven.

Decides by address, number, time and bytes; refuses to know TLS, passwords and Perspective Broker.

    reactor.listenTCP(port, GateFactory(reactor, networks, build, limits))

    def build(ticket: Ticket, address: IAddress) -> IProtocol:      # once for each connection let in
        return server_tls.wrap(LinkProtocol(ticket, ...))           # LinkProtocol calls ticket.proven()

An address outside the subnets gets no protocol: Twisted closes the socket before a byte is
read, `build` is not called and no TLS begins.  (The three-way handshake of TCP is the kernel's and comes
first; for silence below that use a packet filter.)  A connection let in holds a place until
`ticket.proven()` or its end, whichever comes first; nobody has to report the end.  Until then it may
last `deadline` seconds and send `unproven_bytes` raw bytes, counted below TLS, and is aborted beyond.  After
`proven()` reads go straight to the inner protocol: the gate's one remaining part is `connectionLost`.

When all places are taken, or all that one address may have, the newcomer waits: its socket is not read, nothing is
built for it, and it takes its turn (wire/places.py says whose is next).  So a thousand nodes that come at once
come in one after the other, without trying again.  Who has waited for PATIENCE seconds is let go, and so is who
finds no room to wait in.  Nobody who is being proven is pushed out.  A flood from fewer addresses than there are
places delays an honest newcomer by `deadline` at the most: by then each place was freed once, and one was its turn.
So `deadline` must be below PATIENCE, or who floods could lock others out for ever; the configuration sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.wire.places import Places, Verdict
from asyncluster.wire.subnets import Network, allows, neighbourhood, plain

_log = Logger()

PATIENCE = 20.0
"""Seconds that a newcomer waits for its turn.  A joiner gives it 30 in all: it must have time to use its place."""

CROWDED = "too many unproven connections"


@attrs.frozen
class Limits:
    """What unproven peers may use; the configuration says all but the bytes.

    With its defaults, 64 places of some 100 KiB (TLS and buffers) and 1024 who wait for 4 KiB each, beside the
    kernel's, that is 11 MiB at the worst.
    """

    total: int
    per_address: int
    deadline: float  # seconds from being let in to proof; below PATIENCE
    waiting: int  # for a place
    unproven_bytes: int = 256 * 1024  # raw, below TLS; an honest proof needs about 8 KiB


Build = Callable[["Ticket", IAddress], IProtocol | None]


class Ticket:
    """A turn or place at the gate, handed to `build` for the protocol that will find out who is there."""

    def __init__(self, gate: GateFactory, peer: IAddress, host: str) -> None:
        self.peer = peer
        self.address = host
        self.place = neighbourhood(host)
        self.inside = False
        self.shell: _Shell | None = _Shell(gate, self)
        self._gate: GateFactory | None = gate
        self._timer: IDelayedCall | None = None

    def proven(self) -> None:
        """The peer is proven: its place is free for the next one, its limits end.  Harmless when called again."""
        shell = self.shell
        self.gone()
        if shell is not None:
            shell.open_up()

    def gone(self) -> None:
        """The connection ended.  The gate calls this itself; harmless when called again."""
        gate, self._gate, self.shell = self._gate, None, None
        self._stop_timer()
        if gate is not None:
            gate.leave(self)

    def wait(self) -> None:
        """Its turn will come.  The gate calls this."""
        self._limit(PATIENCE, "its turn did not come in time")

    def enter(self) -> None:
        """It has a place.  The gate calls this."""
        self.inside = True
        assert self._gate is not None
        self._limit(self._gate.limits.deadline, "not proven in time")

    def let_go(self, reason: str) -> None:
        """It cannot stay.  The gate calls this."""
        shell = self.shell
        if shell is not None:
            shell.give_up(reason)
        if not self.inside or shell is None or not shell.connected:
            self.gone()  # else the place is free when the socket is

    def _limit(self, seconds: float, reason: str) -> None:
        # set here, not in connectionMade, which never comes when the socket dies before
        self._stop_timer()
        assert self._gate is not None
        self._timer = self._gate.clock.callLater(seconds, self.let_go, reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Shell(Protocol):
    """Reads nothing before its turn, counts the raw bytes of an unproven peer; out of the way afterwards.

    The inner protocol gets the real transport, so writing never passes through here; what of
    the reactor's reads remains is one attribute look-up.
    """

    def __init__(self, gate: GateFactory, ticket: Ticket) -> None:
        self._gate = gate
        self._ticket = ticket
        self._inner: IProtocol | None = None
        self._left = gate.limits.unproven_bytes
        self._given_up = False

    def logPrefix(self) -> str:
        """For Twisted."""
        return type(self).__name__ if self._inner is None else type(self._inner).__name__

    def connectionMade(self) -> None:
        """The inner protocol starts, if it is there; a producer it registers belongs to the real transport."""
        transport: Any = self.transport
        if self._inner is None:
            transport.pauseProducing()
        else:
            self._inner.makeConnection(transport)

    def enter(self, inner: IProtocol) -> None:
        """Its turn has come, at once or after waiting."""
        self._inner = inner
        if self.connected:
            transport: Any = self.transport
            inner.makeConnection(transport)
            transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        """Only while unproven: `open_up` puts the inner protocol's own in this place."""
        self._left -= len(data)
        if self._left < 0:
            self.give_up("too much said before the proof")
        elif not self._given_up and self._inner is not None:
            self._inner.dataReceived(data)

    def open_up(self) -> None:
        """The peer is proven."""
        assert self._inner is not None
        # on the instance, so that the reactor's `self.protocol.dataReceived` is the inner one at once
        self.dataReceived = self._inner.dataReceived  # type: ignore[method-assign]  # that is the point

    def give_up(self, reason: str) -> None:
        """Drop the connection without a word; what was queued is forgotten."""
        self._given_up = True
        self._gate.refused(reason, self._ticket.address)
        if self.connected:
            transport: Any = self.transport
            transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free the place, tell the inner protocol."""
        self._ticket.gone()
        self.__dict__.pop("dataReceived", None)  # the cycle through the bound method
        if self._inner is not None:
            self._inner.connectionLost(reason)


class GateFactory(Factory):
    """Lets connections in; see the module's docstring."""

    noisy = False

    def __init__(self, clock: IReactorTime, networks: Sequence[Network], build: Build, limits: Limits) -> None:
        self.clock = clock
        self.limits = limits
        self._networks = networks
        self._build = build
        self._places: Places[Ticket] = Places(self.limits.total, self.limits.per_address, self.limits.waiting)
        self._filling = False
        self._silenced = 0  # refusals since the last line
        self._last = ""
        self._quiet: IDelayedCall | None = None

    @property
    def unproven(self) -> int:
        """How many places are taken."""
        return self._places.inside

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return self._places.waiting

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """None for an address that may not, or finds no room; raises what `build` raises."""
        host = plain(getattr(addr, "host", ""))
        if addr is None or not allows(self._networks, host):
            self.refused("outside the subnets", host)
            return None
        ticket = Ticket(self, addr, host)
        verdict, displaced = self._places.knock(ticket.place, ticket)
        if displaced is not None:
            displaced.let_go(CROWDED)
        if verdict is Verdict.REFUSE:
            self.refused(CROWDED, host)
            return None
        shell = ticket.shell
        if verdict is Verdict.WAIT:
            ticket.wait()
            return shell
        return shell if self._admit(ticket) else None

    def _admit(self, ticket: Ticket) -> bool:
        """It has a place: build what belongs behind the gate.  False when there is no such thing."""
        ticket.enter()
        try:
            inner = self._build(ticket, ticket.peer)
        except BaseException:
            ticket.gone()
            raise
        if inner is None or ticket.shell is None:
            ticket.gone()
            return False
        ticket.shell.enter(inner)
        return True

    def leave(self, ticket: Ticket) -> None:
        """A connection is proven or gone: its place, if it had one, is for the next.  For tickets."""
        if ticket.inside:
            self._places.leave(ticket.place)
            self._fill()
        else:
            self._places.forget(ticket.place, ticket)

    def _fill(self) -> None:
        """Let in whose turn it is, until all places are taken."""
        if self._filling:  # what is let in may end at once
            return
        self._filling = True
        try:
            while (whose := self._places.next()) is not None:
                shell = whose.shell
                try:
                    admitted = self._admit(whose)
                except Exception:
                    _log.failure("a connection could not be let in")
                    admitted = False
                if not admitted and shell is not None:
                    shell.give_up("it could not be let in")
        finally:
            self._filling = False

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
