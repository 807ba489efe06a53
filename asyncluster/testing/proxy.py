"""A proxy that misbehaves when told to: it stops forwarding, delays, resets.  For links of tests, TCP or UNIX.

    with Proxy.start({"a": ("10.77.0.1:9101", "10.77.0.1:9080")}) as proxy:
        proxy.tell("stall", "a")        # connections stay open, nothing comes through, until "go"
        proxy.tell("delay", "a", 0.2)   # each piece takes so many seconds longer, until "delay a 0"
        proxy.tell("reset", "a")        # both ends of each connection see a reset

It is a process of its own, so that it can stand in another network namespace.  Bytes are never lost, changed or
reordered: what breaks is time, and the connection as a whole.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

reactor: Any = _reactor

WINDOW = 1024 * 1024
"""Bytes that may wait in one direction; the sender is held up beyond it."""


@attrs.define(eq=False)
class Route:
    """One door: where connections are taken, where they go, and how they are treated now."""

    target: str
    delay: float = 0.0
    stalled: bool = False
    ends: set[End] = attrs.field(factory=set)

    def stall(self, stalled: bool) -> None:
        """Stop or go on."""
        self.stalled = stalled
        for end in list(self.ends):
            end.flush()

    def reset(self) -> None:
        """Break all connections."""
        for end in list(self.ends):
            end.transport.abortConnection()


class End(Protocol):
    """One end of a connection: what it reads goes to its `other`, when the route lets it."""

    transport: Any

    def __init__(self, route: Route, other: End | None = None) -> None:
        self.route, self.other = route, other
        self._waiting: deque[tuple[float, bytes]] = deque()  # when it may go, what
        self._size = 0
        self._ended = False

    def connectionMade(self) -> None:
        """The nearer end looks for the farther one; nothing is read before that is there."""
        self.route.ends.add(self)
        if self.other is not None:
            self.other.other = self
            self.other.flush()
            return
        far = Factory.forProtocol(lambda: End(self.route, self))
        far.noisy = False
        connected = clientFromString(reactor, endpoint(self.route.target)).connect(far)
        connected.addErrback(lambda _: self.transport.abortConnection())

    def dataReceived(self, data: bytes) -> None:
        """Keep it until it may go."""
        self._waiting.append((reactor.seconds() + self.route.delay, data))
        self._size += len(data)
        if self._size > WINDOW:
            self.transport.pauseProducing()
        self.flush()

    def flush(self) -> None:
        """Send on what may go now."""
        if self.route.stalled or self.other is None or self.other.transport is None:
            return
        now = reactor.seconds()
        full = self._size > WINDOW
        while self._waiting and self._waiting[0][0] <= now:
            data = self._waiting.popleft()[1]
            self._size -= len(data)
            self.other.transport.write(data)
        if full and self._size <= WINDOW and not self._ended:
            self.transport.resumeProducing()
        if self._waiting:
            reactor.callLater(max(self._waiting[0][0] - now, 0.001), self.flush)
        elif self._ended:
            self.other.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The other end hears of it after the last byte; the route may keep that from it for a while."""
        del reason
        self._ended = True
        self.route.ends.discard(self)
        if self.other is not None:
            self.route.ends.add(self)  # still something to say
            self.flush()
            if self.other._ended or not (self._waiting or self.route.stalled):
                self.route.ends.discard(self)


def endpoint(place: str) -> str:
    """A path or "address:port" as Twisted writes it."""
    if place.startswith("/"):
        return f"unix:{place}"
    host, _, port = place.rpartition(":")
    return f"tcp:{host}:{port}"


def door(place: str) -> str:
    """Likewise for listening."""
    if place.startswith("/"):
        return f"unix:{place}"
    host, _, port = place.rpartition(":")
    return f"tcp:{port}:interface={host}"


class Control(LineReceiver):
    """Orders on standard input, one a line; each is answered by a line once it is in force."""

    delimiter = b"\n"

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes

    def lineReceived(self, line: bytes) -> None:
        """One order."""
        order, name, *rest = line.decode().split()
        route = self.routes[name]
        if order == "delay":
            route.delay = float(rest[0])
        elif order == "reset":
            route.reset()
        else:
            route.stall(order == "stall")
        self.sendLine(b"done")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever started us is gone."""
        del reason
        if reactor.running:
            reactor.stop()


@attrs.define(eq=False)
class Proxy:
    """The process, as a test has it."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, routes: Mapping[str, tuple[str, str]], prefix: Sequence[str] = ()) -> Proxy:
        """Returns when it listens.  routes: name -> (where it listens, where to); prefix: to run it in a namespace."""
        words = [f"{name}={here}={there}" for name, (here, there) in routes.items()]
        command = [*prefix, sys.executable, "-m", "asyncluster.testing.proxy", *words]
        proxy = cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1))
        proxy._hear()
        return proxy

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)

    def tell(self, order: str, name: str, *words: object) -> None:
        """ "stall", "go", "delay" (with seconds) or "reset"; returns when it is in force."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, (order, name, *words))) + "\n")
        self._hear()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line != "done\n":
            raise RuntimeError(f"the proxy said {line!r} and ended")


def main(arguments: Sequence[str]) -> None:
    """Each argument is name=here=there."""
    routes = {}
    for argument in arguments:
        name, here, there = argument.split("=")
        route = routes[name] = Route(there)
        serverFromString(reactor, door(here)).listen(_Doors(route)).addErrback(_cannot, here)
    control = Control(routes)
    StandardIO(control)
    reactor.callWhenRunning(control.sendLine, b"done")
    reactor.run()


class _Doors(Factory[End]):
    noisy = False

    def __init__(self, route: Route) -> None:
        self.route = route

    def buildProtocol(self, addr: IAddress | None) -> End:
        del addr
        return End(self.route)


def _cannot(failure: Failure, here: str) -> None:
    sys.exit(f"cannot listen at {here}: {failure.getErrorMessage()}")


if __name__ == "__main__":
    main(sys.argv[1:])
