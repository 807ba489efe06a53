"""The daemon's end of the warm process: starts it, sends it orders, hears of deaths, starts it again.

What a worker is for, it does not know.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.node.becoming import plain_environment
from asyncluster.node.hands import AGAIN, Descriptor
from asyncluster.node.zygote import Answer, ForkOrder, Order, Warm, decode_answer, encode

_log = Logger()
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from asyncluster.node.zygote import main; main(3)"
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 30.0  # seconds between failing starts
LONG_LIFE = 10.0  # seconds after which a death is not a failing start


class Watcher(ProcessProtocol):
    """Hears of the warm process's own end and of what it complains about."""

    def __init__(self, warm: WarmProcess) -> None:
        self._warm = warm
        self.said = b""

    def errReceived(self, data: bytes) -> None:
        """Keep the end of it for the log."""
        self.said = (self.said + data)[-2048:]

    def processEnded(self, reason: Failure) -> None:
        """Reaped."""
        self._warm.ended(self, reason)


@implementer(IReadDescriptor)
class WarmProcess(Descriptor):
    """The warm process, for as long as `start` … `stop`.

    `answered(answer)` is called for each answer about a worker, `lost()` when it ended and took its
    workers along, or has to be killed because it does not stop.
    """

    name = "warm"

    def __init__(self, reactor: Any, answered: Callable[[Answer], None], lost: Callable[[], None]) -> None:
        self.pid = 0
        self.is_warm = False
        self._reactor, self._answered, self._lost = reactor, answered, lost
        self._socket: socket.socket | None = None
        self._watcher: Watcher | None = None
        self._waiting: list[tuple[Order, list[int], Callable[[], None]]] = []
        self._ready: list[Deferred[None]] = []
        self._gone: list[Deferred[None]] = []
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._again: Any = None
        self._limit: Any = None
        self._born = 0.0
        self._refused = ""  # why nobody can adopt here

    def start(self) -> Deferred[None]:
        """Start it; fires when it can fork."""
        ready: Deferred[None] = Deferred()
        self._ready.append(ready)
        self._launch()
        return ready

    def _launch(self) -> None:
        self._again = None
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        self._socket, self.fd = near, near.fileno()
        self._born = self._reactor.seconds()
        self._watcher = Watcher(self)
        path = [os.path.abspath(folder) for folder in sys.path if folder]
        arguments = [sys.executable, "-I", "-c", PROGRAM, *path]
        transport = self._reactor.spawnProcess(
            self._watcher,
            sys.executable,
            arguments,
            env=first_environment(os.environ, os.geteuid()),
            childFDs={0: "w", 1: "r", 2: "r", 3: far.fileno()},
        )
        far.close()
        self.pid = transport.pid
        self._reactor.addReader(self)

    def order(self, order: Order, descriptors: Sequence[int] = (), sent: Callable[[], None] = lambda: None) -> None:
        """Send an order now, or as soon as the process is warm; `sent()` when the descriptors are its own."""
        if not self.is_warm and isinstance(order, ForkOrder):
            self._waiting.append((order, list(descriptors), sent))
        elif self._socket is not None:
            try:
                socket.send_fds(self._socket, [encode(order)], list(descriptors))
            except OSError as error:
                if error.errno in AGAIN or error.errno == errno.ENOBUFS:  # it is busy: its queue is full
                    self._reactor.callLater(0.005, self.order, order, descriptors, sent)
                    return
            sent()

    def forget(self, life: int) -> None:
        """A waiting order is not wanted any more."""
        self._waiting = [
            entry for entry in self._waiting if not (isinstance(entry[0], ForkOrder) and entry[0].life == life)
        ]

    def doRead(self) -> None:
        """Answers have come."""
        for _ in range(64):
            if self._socket is None:
                return
            try:
                data = self._socket.recv(1 << 16)
            except OSError as error:
                if error.errno in AGAIN:
                    return
                data = b""
            if not data:
                self._close()
                return
            answer = decode_answer(data)
            if isinstance(answer, Warm):
                self._warmed(answer.refused)
            else:
                self._answered(answer)

    def _warmed(self, refused: str) -> None:
        self.is_warm = True
        if refused != self._refused:
            self._refused = refused
            _log.warn(
                "this system refuses prctl(PR_SET_CHILD_SUBREAPER): {error}. What tasks start in sessions of their own "
                "is not paused, measured or ended with them; allow that call where this daemon is confined",
                error=refused,
            )
        waiting, self._waiting = self._waiting, []
        for order, descriptors, sent in waiting:
            self.order(order, descriptors, sent)
        ready, self._ready = self._ready, []
        for deferred in ready:
            deferred.callback(None)

    def _close(self) -> None:
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket, self.fd = None, -1

    def ended(self, watcher: Watcher, reason: Failure) -> None:
        """It is gone: workers die with it; start another one unless we stop."""
        if watcher is not self._watcher:
            return
        self.doRead()  # deaths that it still told
        self._close()
        was_warm, self.is_warm, self.pid = self.is_warm, False, 0
        if self._stopping:
            self._tell_gone()
            return
        said = watcher.said.decode("utf-8", "replace").strip()
        _log.error("the process that forks workers ended: {reason} {said}", reason=reason.getErrorMessage(), said=said)
        lived = self._reactor.seconds() - self._born
        self._pause = FIRST_PAUSE if was_warm and lived > LONG_LIFE else min(self._pause * 2, LONGEST_PAUSE)
        self._again = self._reactor.callLater(self._pause, self._launch)
        self._lost()

    def stop(self, limit: float) -> Deferred[None]:
        """End it, and with it all workers; fires when it is reaped, or killed after `limit` seconds."""
        gone: Deferred[None] = Deferred()
        self._stopping = True
        self._waiting = []
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self.pid == 0:
            gone.callback(None)
            return gone
        self._gone.append(gone)
        if self._limit is None:
            self._limit = self._reactor.callLater(limit, self._give_up)
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        return gone

    def _give_up(self) -> None:
        _log.error("the process that forks workers does not end: it is killed")
        self._lost()  # before the kill: until then it has not reaped them, and their numbers are theirs
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._close()
        self._tell_gone()

    def _tell_gone(self) -> None:
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        gone, self._gone = self._gone, []
        for deferred in gone:
            deferred.callback(None)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 (a constant)
        """The reactor ends before us."""
        self._close()


def first_environment(environment: Mapping[str, str], uid: int) -> dict[str, str]:
    """With what the warm process of that user begins.

    What a process began with stays in its memory for good, and all that it forks has a copy, other users' workers too:
    so root's begins with nothing that is not everybody's, but for where the interpreter's libraries are.
    """
    if uid:
        return dict(environment)
    library = environment.get("LD_LIBRARY_PATH")
    return plain_environment(environment) | ({} if library is None else {"LD_LIBRARY_PATH": library})
