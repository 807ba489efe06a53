"""The node daemon's local socket: programs at the seat ask, one JSON object a line, and are told.

The kernel says who is there.  A connection without a session is limited in bytes and time, and in number; not so root's
programs (a display manager waits all night for somebody to come).  With a session or without, little is done of what
came at once, and nothing more is read of who does not read.  Decides nothing about sessions.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from pathlib import Path
from socket import socket
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.errors import ConfigError, RefusedError
from asyncluster.model.seat import LONGEST_LINE, Fault, Notice, Over, Request, request_of, to_line
from asyncluster.wire.doors import unix_socket
from asyncluster.wire.peercred import read_credentials

_log = Logger()

KEY = "[client] seat socket"

AT_ONCE = 16
"""Requests of a connection that are answered in one turn of the reactor: each may ask this machine's book of users."""

LINGER = 10.0
"""Seconds that a program has to read the last word."""


@attrs.frozen
class Limits:
    """Of connections that have no session.  seconds: from the connection on, or from the last refusal."""

    total: int = 64
    per_user: int = 8
    seconds: float = 60.0
    size: int = 4 * LONGEST_LINE  # bytes


class Desk(Protocol):
    """Who answers."""

    def asked(self, who: SeatConnection, request: Request) -> None:
        """A program at the seat wants something."""

    def gone(self, who: SeatConnection) -> None:
        """Its connection has ended."""


@implementer(IPushProducer)
class SeatConnection(Connection):
    """One program.  uid: whose it is, by the kernel."""

    uid = -1

    def __init__(self, door: SeatFactory) -> None:
        self._door = door
        self._rest = b""
        self._left = door.limits.size
        self._timer: IDelayedCall | None = None
        self._counted = False
        self._lines: deque[bytes] = deque()  # not answered yet; nothing is read while there are any
        self._next: IDelayedCall | None = None
        self._full = False  # it does not read
        self._closing = False
        self.proven = False

    def connectionMade(self) -> None:
        """Ask the kernel, or end the connection."""
        transport: Any = self.transport
        try:
            self.uid = read_credentials(transport).uid
            self._door.enter(self)
        except RefusedError as error:
            _log.warn("a program at the seat was refused: {error}", error=str(error))
            transport.abortConnection()
            return
        self._counted = True
        transport.registerProducer(self, True)
        self.be_patient()

    def dataReceived(self, data: bytes) -> None:
        """Lines; nothing is read beyond the limits."""
        if not self._counted or self._closing:
            return
        self._left -= 0 if self.proven or self.uid == 0 else len(data)
        if self._left < 0:
            self._end("too much was said without a session")
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
        self._go_on()
        if len(self._rest) > LONGEST_LINE:
            self._end(f"a line has at most {LONGEST_LINE} bytes")

    def _go_on(self) -> None:
        """Answer some of what was asked; the rest in the next turn, when it reads what it is told."""
        for _ in range(min(AT_ONCE, len(self._lines))):
            if self._full or not self._lines:
                break
            self._line(self._lines.popleft())
        transport: Any = self.transport
        if self._closing or not self._counted:
            return
        if not self._full and not self._lines:
            transport.resumeProducing()
            return
        transport.pauseProducing()
        if not self._full and self._next is None:
            self._next = self._door.clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._next = None
        self._go_on()

    def pauseProducing(self) -> None:
        """It does not read what it is told: nothing more is read of it."""
        self._full = True

    def resumeProducing(self) -> None:
        """It has read."""
        self._full = False
        self._go_on()

    def stopProducing(self) -> None:
        """The connection ends."""

    def _line(self, line: bytes) -> None:
        if not self._counted or not line.strip():
            return
        try:
            request = request_of(line)
        except ValueError as error:
            self._end(str(error))
            return
        self._door.desk.asked(self, request)

    def tell(self, notice: Notice) -> None:
        """Say something; after `Over` the connection is closed."""
        if self.connected and self._counted and not self._closing:
            transport: Any = self.transport
            transport.write(to_line(notice))
            if isinstance(notice, Over):
                self._close()

    def admit(self) -> None:
        """It has a session: its limits end."""
        self.proven = True
        self._stop_timer()
        self._door.leave(self)

    def be_patient(self) -> None:
        """It may ask, for a while."""
        self._stop_timer()
        if self.uid != 0 and not self.proven and not self._closing:
            self._timer = self._door.clock.callLater(self._door.limits.seconds, self._end, "too long without a session")

    def wait(self) -> None:
        """It waits for us now."""
        self._stop_timer()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Those refused never were anybody."""
        self._stop_timer()
        self._forget()
        if self._counted:
            self._counted = False
            if not self.proven:
                self._door.leave(self)
            self._door.desk.gone(self)

    def _end(self, text: str) -> None:
        self.tell(Fault(text))
        self._close()

    def _close(self) -> None:
        """Nothing more is heard; it may read what was said, and not for ever."""
        if self._closing:
            return
        self._closing = True
        self._forget()
        self._stop_timer()
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()
        self._timer = self._door.clock.callLater(LINGER, transport.abortConnection)

    def _forget(self) -> None:
        self._rest = b""
        self._lines.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class SeatFactory(Factory[SeatConnection]):
    """Counts those without a session."""

    noisy = False

    def __init__(self, clock: IReactorTime, desk: Desk, limits: Limits | None = None) -> None:
        self.clock, self.desk = clock, desk
        self.limits = Limits() if limits is None else limits
        self._places: Counter[int] = Counter()

    def enter(self, who: SeatConnection) -> None:
        """Take a place; root always finds one.  Raises RefusedError."""
        taken = sum(self._places.values()) - self._places[0]
        if who.uid != 0 and (self._places[who.uid] >= self.limits.per_user or taken >= self.limits.total):
            raise RefusedError(f"user {who.uid} finds no place: too many connections have no session")
        self._places[who.uid] += 1

    def leave(self, who: SeatConnection) -> None:
        """It has a session, or is gone."""
        self._places[who.uid] -= 1
        if not self._places[who.uid]:
            del self._places[who.uid]

    def buildProtocol(self, addr: IAddress | None) -> SeatConnection:
        """One for each connection."""
        return SeatConnection(self)


def seat_listener(path: str, uid: int) -> socket:
    """Bound and listening, for everybody where root's daemon serves everybody, else for its person.  ConfigError."""
    folder = os.path.dirname(path)
    try:
        Path(folder).mkdir(mode=0o755 if uid == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{KEY} = {path}: cannot make its folder: {error.strerror}") from error
    check_folder(folder, uid)
    listener = unix_socket(path, KEY)
    set_rights(path, uid)
    return listener


def set_rights(path: str, uid: int) -> None:
    """Root's daemon serves everybody.  To be said again when the reactor listens: it gives everybody all rights."""
    os.chmod(path, 0o666 if uid == 0 else 0o600)


def check_folder(folder: str, uid: int) -> None:
    """Passwords are typed into what is there, so nobody else may put something else there.  Raises ConfigError."""
    seen = os.stat(folder)
    if seen.st_uid not in (0, uid) or stat.S_IMODE(seen.st_mode) & 0o022:
        raise ConfigError(
            f"{KEY}: others than its owner can change the folder {folder}, and put a false socket there; name one like "
            f"/run/asyncluster-node, or: chmod go-w {folder}"
        )
