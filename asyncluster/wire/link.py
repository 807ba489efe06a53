"""One proven peer, as the rest of the program sees it: send messages, call verbs, close.

Batching without delay: messages wait in the outbox until the reactor comes round, then all that waits goes
out together; no timer is involved, and what is a turn's worth already is written at once.  While the transport is full
nothing is encoded, so what waits stays small and a slow peer slows only its own link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.model.bulk import Room
from asyncluster.model.messages import Message, decode_batch
from asyncluster.model.peer import Hello, Peer
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.inbox import Inbox, Spoiled
from asyncluster.wire.outbox import Outbox

_log = Logger()

_TURN_BYTES = 1024 * 1024
"""Write no more than this in one turn, so that a big stream leaves the reactor time for others."""


class LinkHandler(Protocol):
    """What the owner of a link implements."""

    def messages(self, messages: list[Message]) -> None:
        """A batch has come, in order."""

    def lost(self, reason: str) -> None:
        """The link has ended; called once."""

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """Answer a call of the other side; raise RefusedError to refuse.  A Deferred will do."""


class Link:
    """A proven peer.  Made by `connect_unix`, `connect_tcp` and the listening factories."""

    def __init__(self, reactor: IReactorTime, broker: LinkBroker, peer: Peer, hello: Hello) -> None:
        self.peer = peer
        self.hello = hello
        self.received = 0  # batches and chunks so far; a heartbeat watches it grow
        self.handler: LinkHandler | None = None
        self._reactor = reactor
        self._broker = broker
        self._outbox = Outbox()
        self._inbox = Inbox()
        self._spoiled: Callable[[Message, str], object] = _drop
        self.reading_held = False
        self._scheduled = False
        self._paused = False
        self._closing = False
        self._for_room: list[Callable[[], object]] = []
        self.connected = True
        broker.transport.registerProducer(broker, True)

    # -- ours to use

    def send(self, *messages: Message) -> None:
        """Queue messages; see `send_all`."""
        self.send_all(messages)

    def send_all(self, messages: Sequence[Message]) -> None:
        """Queue messages; order holds within a job, and among those that belong to none.

        On a link that has ended this does nothing: `lost` has told.  Payloads are at most `MAX_PAYLOAD`: who
        makes them sees to it.
        """
        if self.connected and not self._closing:
            self._outbox.put(messages)
            self._schedule()

    def send_now(self, messages: Sequence[Message]) -> None:
        """As `send_all`, written before it returns: for a caller whose messages are a turn's worth already."""
        if not messages or not self.connected or self._closing:
            return
        batch = None if self._paused else self._outbox.pass_by(messages)
        if batch is not None:
            self._broker.send_batch(batch)
            return
        self._outbox.put(messages)
        if not self._paused:
            self._write()

    def when_room(self, callback: Callable[[], object]) -> None:
        """Call that once, in a later turn, when nothing waits here any more; never where the link ends before.

        For a caller that has much to send: what it puts into the queue at once is held here until the peer takes it.
        """
        if self.connected and not self._closing:
            self._for_room.append(callback)
            self._schedule()

    def call(self, name: str, *args: object) -> Deferred[Any]:
        """Call a verb of the other side with basic values; fails with RefusedError or LinkLostError."""
        return self._broker.call("verb", name, args)

    def close(self, reason: str = "") -> None:
        """Send what waits, then disconnect."""
        if not self.connected or self._closing:
            return
        self._closing = True
        if reason:
            _log.info("closing the link to {name}: {reason}", name=self.peer.name, reason=reason)
        self._schedule()

    def abort(self) -> None:
        """Disconnect at once."""
        self._broker.abort()

    def keep_payloads(self, room: Callable[[int], Room], spoiled: Callable[[Message, str], object]) -> None:
        """Put large payloads there; `spoiled` gets messages whose payload found no room, and the sentence."""
        self._inbox.room, self._spoiled = room, spoiled

    def hold_reading(self) -> None:
        """Take nothing more from the peer, until `go_on_reading`; it counts as alive meanwhile."""
        if self.connected and not self.reading_held:
            self.reading_held = True
            self._broker.transport.pauseProducing()

    def go_on_reading(self) -> None:
        """What held us up is over."""
        if self.reading_held:
            self.reading_held = False
            self.received += 1
            if self.connected:
                self._broker.transport.resumeProducing()

    # -- the way out

    def _schedule(self) -> None:
        if not self._scheduled and not self._paused:
            self._scheduled = True
            self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._write()
        if self._for_room and self.connected and not (self._paused or self._outbox or self._closing):
            due, self._for_room = self._for_room, []
            for callback in due:
                callback()

    def _write(self) -> None:
        self._broker.hold()
        try:
            self._fill(_TURN_BYTES)
        finally:
            self._broker.push()
        if not self.connected or self._paused:
            return
        if self._outbox:
            self._schedule()
        elif self._closing:
            self._broker.transport.unregisterProducer()
            self._broker.transport.loseConnection()

    def _fill(self, room: int) -> None:
        while self.connected and not self._paused and room > 0:
            batch = self._outbox.take_batch()
            if batch is not None:
                self._broker.send_batch(batch)
                room -= len(batch)
                continue
            chunk = self._outbox.take_chunk()
            if chunk is None:
                return
            self._broker.send_chunk(chunk)
            room -= len(chunk.data)

    def pause(self) -> None:
        """The transport is full."""
        self._paused = True

    def resume(self) -> None:
        """The transport can take more."""
        self._paused = False
        if self._outbox or self._closing or self._for_room:
            self._schedule()

    # -- the way in

    def batch(self, data: bytes) -> None:
        """A batch has come."""
        self.received += 1
        if self.handler is not None:
            self.handler.messages(decode_batch(data))

    def stream(self, stream: int, size: int, head: bytes) -> None:
        """A large message begins."""
        self.received += 1
        self._inbox.begin(stream, size, head)

    def chunk(self, stream: int, data: bytes | memoryview) -> None:
        """A piece of a large message."""
        self.received += 1
        message = self._inbox.chunk(stream, data)
        if message is None:
            return
        if isinstance(message, Spoiled):
            self._spoiled(message.message, message.why)
        elif self.handler is not None:
            self.handler.messages([message])

    def verb(self, args: tuple[Any, ...]) -> object:
        """The other side's `call`."""
        if self.handler is None or len(args) != 2 or not isinstance(args[0], str) or not isinstance(args[1], tuple):
            raise RefusedError("not a verb")
        return self.handler.verb(args[0], args[1])

    def lost(self, reason: str) -> None:
        """The connection has ended."""
        self.connected = False
        self._outbox = Outbox()
        self._for_room.clear()
        self._inbox = Inbox(self._inbox.room)
        if self.handler is not None:
            self.handler.lost(reason)


def _drop(_message: Message, _why: str) -> None:
    """In memory there is always room."""
