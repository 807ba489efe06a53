"""TLS below a link, for much at a time.

Twisted goes to the socket's side and to the protocol's after each record of 16 KiB.  Once the peer is proven this one
encrypts several records before it writes and decrypts all that was read before it tells the protocol.  Whatever is not
plain data (an alert, an end, a fault, a handshake that goes on) is Twisted's to handle, which meets it at the next
byte: that is why the last byte of what was read is always left to it.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

_log = Logger()

RECORD_BYTES = 16 * 1024
"""What TLS carries in one record."""

PIECE_BYTES = 64 * 1024
"""OpenSSL's buffers keep the size that they once had, on each link: so much goes in at a time."""

ROOM_BYTES = PIECE_BYTES + 4096
"""The records of a piece, with all that belongs to them."""


class _Ended:
    """In place of a session that is over."""

    def shutdown(self) -> bool:
        """There is nothing to shut down."""
        return True

    def bio_read(self, size: int) -> bytes:
        """Nothing is left to send."""
        raise SSL.WantReadError


_ENDED = _Ended()


class Records(TLSMemoryBIOProtocol):
    """Takes the place of Twisted's class; `prove` has it begin."""

    transport: Any  # of TCP, from the reactor
    _proven = False
    _over = False  # the session is gone, and its connection

    def prove(self) -> None:
        """The handshake is long done, and the peer is who it says."""
        self._proven = True

    def write(self, data: bytes | memoryview) -> None:
        """As Twisted's; may be a view."""
        if not self._proven or len(data) <= RECORD_BYTES or self.disconnecting or not self.connected:
            super().write(bytes(data))
            return
        rest = memoryview(data)
        while rest and self._proven:
            rest = rest[self._send(rest[:PIECE_BYTES]) :]
        if rest:
            super().write(bytes(rest))

    def _send(self, piece: memoryview) -> int:
        """Encrypt and write; how much of it.  What fails is tried again, and dealt with, by Twisted's code."""
        connection, sent = self.getHandle(), 0
        try:
            while sent < len(piece):
                sent += connection.send(piece[sent:])
        except SSL.Error:
            self._proven = False  # from now on it has a buffer of its own, and order to keep
        if sent:
            self.transport.write(connection.bio_read(ROOM_BYTES))
        return sent

    def dataReceived(self, data: bytes) -> None:
        """As Twisted's."""
        if self._over:
            return
        if self._proven and len(data) > RECORD_BYTES:
            self._receive(memoryview(data)[:-1])
            data = data[-1:]
        super().dataReceived(data)

    def _receive(self, data: memoryview) -> None:
        connection = self.getHandle()
        found: list[bytes] = []
        for begin in range(0, len(data), PIECE_BYTES):
            connection.bio_write(data[begin : begin + PIECE_BYTES])
            try:
                while True:
                    found.append(connection.recv(RECORD_BYTES))
            except SSL.WantReadError:
                continue
            except SSL.Error as error:  # met again, and dealt with, behind the rest of the data
                if not isinstance(error, SSL.ZeroReturnError):  # what was wrong OpenSSL says only once
                    _log.warn("TLS with {peer} broke: {error}", peer=self.transport.getPeer(), error=repr(error))
                for later in range(begin + PIECE_BYTES, len(data), PIECE_BYTES):
                    connection.bio_write(data[later : later + PIECE_BYTES])
                break
        if found:
            self.wrappedProtocol.dataReceived(found[0] if len(found) == 1 else b"".join(found))

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        # The frames in it hold the session, and each other: those of a flood, some 50 KiB each, would stay until
        # the collector comes round.
        if reason is not None:
            reason.cleanFailure()
        super()._tlsShutdownFinished(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """For Twisted.  The session goes now; who held on to the protocol finds it ended."""
        super().connectionLost(reason)
        ended: Any = _ENDED
        self._tlsConnection, self._over = ended, True
