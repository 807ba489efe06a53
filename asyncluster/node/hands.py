"""The daemon's end of one worker: its socket, the pipes of its output, the shared words.

Moves bytes; what they mean is the crew's.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket
import termios
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IReadWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.model.bulk import Buffer, Room, in_memory
from asyncluster.node.frames import Batch, Unframer
from asyncluster.node.words import HEARD, SIZE, STARTED, STEPPING

_log = Logger()
RECEIVE, MUCH = 1 << 16, 1 << 20  # bytes asked for at a time; a socket holds no more than that
PIPE = 1 << 16  # what a pipe holds
Mark = tuple[int, int]
"""The words `started` and `stepping` when something was read."""

_count = bytearray(4)
AGAIN = (errno.EAGAIN, errno.EINTR)


class Descriptor:
    """What the reactor wants to know of a file descriptor."""

    name = "worker"
    fd = -1

    def fileno(self) -> int:
        """As the reactor asks."""
        return self.fd

    def logPrefix(self) -> str:
        """As the reactor asks."""
        return self.name

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives up on us; the warm process tells of the worker's end."""


@implementer(IReadDescriptor)
class Pipe(Descriptor):
    """The reading end of a worker's stdout (1) or stderr (2)."""

    def __init__(
        self, reactor: IReactorFDSet, fd: int, words: memoryview, wrote: Callable[[bytes, Mark], None]
    ) -> None:
        self.fd, self._reactor, self._words, self._wrote = fd, reactor, words, wrote
        os.set_blocking(fd, False)
        reactor.addReader(self)

    def _mark(self) -> Mark:
        """Who writes.  Looked at before reading: once the pipe is empty the worker may go on to the next task."""
        return self._words[STARTED], self._words[STEPPING]

    def doRead(self) -> None:
        """Take what is there, a pipe's worth at a time, so that a flood does not hold up the reactor."""
        if self.fd < 0:
            return
        mark = self._mark()
        try:
            data = os.read(self.fd, PIPE)
        except OSError as error:
            if error.errno in AGAIN:
                return
            data = b""
        if data:
            self._wrote(data, mark)
        else:
            self.close()

    def drain(self) -> None:
        """Take all that was written before now: no more than a pipe holds."""
        left = PIPE
        while left > 0 and self.fd >= 0 and self._unread():
            mark = self._mark()
            try:
                data = os.read(self.fd, left)
            except OSError:
                return
            if not data:
                self.close()
                return
            left -= len(data)
            self._wrote(data, mark)

    def _unread(self) -> bool:
        fcntl.ioctl(self.fd, termios.FIONREAD, _count)
        return any(_count)

    def close(self) -> None:
        """Stop reading."""
        if self.fd >= 0:
            self._reactor.removeReader(self)
            os.close(self.fd)
            self.fd = -1


@implementer(IReadWriteDescriptor)
class Hand(Descriptor):
    """One worker process as the daemon has it in hand.

    `wrote(hand, stream, data, mark)` and `batch(hand, batch)` are called with what comes; `far` holds
    the descriptors that the worker is to have, until `sent_off`.
    """

    def __init__(
        self,
        reactor: Any,  # IReactorFDSet, which mypy-zope cannot join with the descriptor interfaces
        life: int,
        number: int,
        wrote: Callable[[Hand, int, bytes, Mark], None],
        batch: Callable[[Hand, Batch], None],
        room: Callable[[int], Room] = in_memory,
    ) -> None:
        self.life, self.number = life, number
        self.pid = 0
        self.doomed = False
        self._reactor, self._batch = reactor, batch
        self._unframer = Unframer(room)
        self._waiting: deque[memoryview] = deque()
        near, far = socket.socketpair()
        for end in (near, far):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        near.setblocking(False)
        self._socket: socket.socket | None = near
        self.fd = near.fileno()
        out, out_far = os.pipe()
        err, err_far = os.pipe()
        memory = os.memfd_create("asyncluster-worker")
        os.ftruncate(memory, SIZE)
        self._memory = mmap.mmap(memory, SIZE)
        self.words = memoryview(self._memory).cast("Q")
        self.far = [far.detach(), out_far, err_far, memory]
        self._pipes = (
            Pipe(reactor, out, self.words, lambda data, mark: wrote(self, 1, data, mark)),
            Pipe(reactor, err, self.words, lambda data, mark: wrote(self, 2, data, mark)),
        )
        reactor.addReader(self)

    def sent_off(self) -> None:
        """The worker has its descriptors (or never will): close ours."""
        for descriptor in self.far:
            os.close(descriptor)
        self.far = []

    def send(self, *pieces: Buffer) -> None:
        """Send a frame, at once as far as the socket takes it."""
        for piece in pieces:
            self._send(piece)

    def _send(self, data: Buffer) -> None:
        if self._socket is None:
            return
        view = memoryview(data)
        if not self._waiting:
            view = view[self._push(view) :]
            if not view:
                return
            self._reactor.addWriter(self)
        self._waiting.append(view)

    def _push(self, view: memoryview) -> int:
        assert self._socket is not None
        try:
            return self._socket.send(view)
        except OSError:  # full; or the worker is dead, which the warm process tells us
            return 0

    def doWrite(self) -> None:
        """The socket takes more."""
        while self._waiting and self._socket is not None:
            view = self._waiting[0]
            count = self._push(view)
            if count < len(view):
                self._waiting[0] = view[count:]
                return
            self._waiting.popleft()
        self._reactor.removeWriter(self)

    def doRead(self) -> None:
        """Results have come."""
        self._receive()

    def _receive(self) -> bool:
        """Take one piece; False: there is none."""
        if self._socket is None:
            return False
        try:
            data = self._socket.recv(max(RECEIVE, min(self._unframer.lacking, MUCH)))
        except OSError as error:
            if error.errno in AGAIN:
                return False
            data = b""
        if not data:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            return False
        try:
            for batch in self._unframer.feed(data):
                self.drain()
                self._batch(self, batch)
                self.words[HEARD] += 1
        except ValueError as error:  # no length of ours: bytes of somebody else's
            _log.error("worker {number} sent {error}", number=self.number, error=str(error))
            self._reactor.removeReader(self)
            self._batch(self, b"")  # is no batch, and the worker is killed for it
            return False
        return True

    def drain(self) -> None:
        """Take what the worker wrote before what it answered."""
        for pipe in self._pipes:
            pipe.drain()

    def finish(self) -> None:
        """The worker is dead: take the last it said and close everything."""
        try:
            while self._receive():
                pass
            self.drain()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of all descriptors; the words stay readable."""
        self.sent_off()
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._socket.close()
            self._socket, self.fd = None, -1
        for pipe in self._pipes:
            pipe.close()
        self._waiting.clear()
