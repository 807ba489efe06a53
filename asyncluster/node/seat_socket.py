"""The node daemon's local socket: programs at the seat ask, one JSON object a line, and are told.

The kernel says who is there.  A connection without a session is limited in bytes and time, and in number; root's
programs (a display manager waits all night for somebody to come) in bytes only.  Decides nothing about sessions.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from socket import socket
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as Connection
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import ConfigError, RefusedError
from asyncluster.model.seat import LONGEST_LINE, Fault, Notice, Over, Request, request_of, to_line
from asyncluster.wire.doors import unix_socket
from asyncluster.wire.peercred import read_credentials

_log = Logger()

KEY = "[client] seat socket"


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


class SeatConnection(Connection):
    """One program.  uid: whose it is, by the kernel."""

    uid = -1

    def __init__(self, door: SeatFactory) -> None:
        self._door = door
        self._rest = b""
        self._left = door.limits.size
        self._timer: IDelayedCall | None = None
        self._counted = False
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
        self.be_patient()

    def dataReceived(self, data: bytes) -> None:
        """Lines; nothing is read beyond the limits."""
        if not self._counted:
            return
        self._left -= 0 if self.proven else len(data)
        if self._left < 0:
            self._end("too much was said without a session")
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > LONGEST_LINE:
            self._end(f"a line has at most {LONGEST_LINE} bytes")

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
        if self.connected and self._counted:
            transport: Any = self.transport
            transport.write(to_line(notice))
            if isinstance(notice, Over):
                transport.loseConnection()

    def admit(self) -> None:
        """It has a session: its limits end."""
        self.proven = True
        self._stop_timer()
        self._door.leave(self)

    def be_patient(self) -> None:
        """It may ask, for a while."""
        self._stop_timer()
        if self.uid != 0 and not self.proven:
            self._timer = self._door.clock.callLater(self._door.limits.seconds, self._end, "too long without a session")

    def wait(self) -> None:
        """It waits for us now."""
        self._stop_timer()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Those refused never were anybody."""
        self._stop_timer()
        self._rest = b""
        if self._counted:
            self._counted = False
            if not self.proven:
                self._door.leave(self)
            self._door.desk.gone(self)

    def _end(self, text: str) -> None:
        self._rest = b""
        self.tell(Fault(text))
        transport: Any = self.transport
        transport.loseConnection()

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
