"""Writes to a socket at once, where Twisted would wait for the reactor to say that the socket has room.

A transport of Twisted's gathers what is written and asks the reactor for a turn: two system calls and a turn of
the loop for each batch, on sockets that nearly always have room.  A pen tries the socket first.  What does not
fit goes to the transport's own buffer and, with it, everything after, until that is empty again; so
order, back pressure, errors and the end of the connection stay Twisted's.
"""

from __future__ import annotations

from typing import Any

GATHER_BYTES = 128 * 1024
"""Between `hold` and `push`, this much is written in one piece."""


SOME_BYTES = 256 * 1024
"""What is read or written at a time once the peer is proven; Twisted's 64 and 128 KiB cost many turns."""


class Pen:
    """Takes the place of `write` of one connected transport, TCP or UNIX, below TLS where there is any.

    To be made before the first write; `end` lets go of it.  Uses what `twisted.internet.abstract.FileDescriptor`
    documents for who extends it: `writeSomeData`, `stopWriting`, `connected`, `disconnecting`, `bufferSize` and
    `SEND_LIMIT`; and `abortConnection`.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._later = transport.write
        self._stop = transport.stopWriting
        self._abort = transport.abortConnection
        self._waiting = False  # something is in the transport's buffer
        self._held: list[bytes | memoryview] | None = None
        self._held_bytes = 0
        transport.write = self.write
        transport.stopWriting = self._emptied
        transport.abortConnection = self._aborted

    def end(self) -> None:
        """The connection is over: without this the transport and what it had not sent would wait for the collector."""
        for name in ("write", "stopWriting", "abortConnection"):
            vars(self._transport).pop(name, None)

    def much(self) -> None:
        """From now on read, and write, more at a time."""
        self._transport.bufferSize = self._transport.SEND_LIMIT = SOME_BYTES

    def hold(self) -> None:
        """Gather what is written, until `push`."""
        self._held = []

    def push(self) -> None:
        """Write what was gathered."""
        held, self._held, self._held_bytes = self._held, None, 0
        if held:
            self._put(held[0] if len(held) == 1 else b"".join(held))

    def write(self, data: bytes | memoryview) -> None:
        """For whoever writes to the transport."""
        if self._held is None:
            self._put(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= GATHER_BYTES:
            self.push()
            self.hold()

    def _put(self, data: bytes | memoryview) -> None:
        transport = self._transport
        if not self._waiting and transport.connected and not transport.disconnecting:
            sent = transport.writeSomeData(data)
            if sent == len(data):
                return
            if isinstance(sent, int) and sent > 0:
                data = data[sent:]  # an error instead of a number: the reactor will meet it again
        self._waiting = True
        self._later(bytes(data))  # no view: Twisted's buffer takes bytes only

    def _emptied(self) -> None:
        self._waiting = False
        self._stop()

    def _aborted(self) -> None:
        self._abort()  # which stops the writing of what is in the buffer, without emptying it
        self._waiting = True
