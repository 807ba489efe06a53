"""Puts streamed messages together again: pure."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from asyncluster.errors import SpillError, WireError
from asyncluster.model.bulk import Buffer, Room, as_payload, in_memory
from asyncluster.model.messages import MAX_PAYLOAD, Code, Message, Step, decode_batch
from asyncluster.wire.outbox import INLINE_BYTES

MAX_STREAMS = 1024
"""Streams that one peer may have open at a time; each lane has one, and a lane is a job."""


@attrs.define
class _Incoming:
    head: Message
    size: int
    room: Room | None
    received: int = 0
    fault: str = ""

    def miss(self, error: SpillError, data: Buffer = b"") -> None:
        """There is no room for `data`.  What all tasks of a job need is taken into memory all the same."""
        before, self.room, self.fault = self.room, None, str(error)
        if isinstance(self.head, Code | Step):
            self.room = in_memory(self.size)
            self.room.put(before.done() if before is not None else b"")
            self.room.put(data)


@attrs.frozen
class Spoiled:
    """A message whose payload has come and could not be kept, and why; its payload is empty."""

    message: Message
    why: str


@attrs.define
class Inbox:
    """The streams that one peer has begun and not finished.  `room` gives room for a payload of that size."""

    room: Callable[[int], Room] = in_memory
    _incoming: dict[int, _Incoming] = attrs.field(factory=dict)

    def begin(self, stream: int, size: int, head: bytes) -> None:
        """A stream of `size` bytes begins; `head` is the message without its payload.

        Raises WireError for what no honest peer sends.
        """
        messages = decode_batch(head)
        if len(messages) != 1 or not hasattr(messages[0], "payload"):
            raise WireError("a stream begins with one message that has a payload")
        if not INLINE_BYTES < size <= MAX_PAYLOAD:
            raise WireError(f"a stream of {size} bytes is not between {INLINE_BYTES} and {MAX_PAYLOAD}")
        if stream in self._incoming or len(self._incoming) >= MAX_STREAMS:
            raise WireError("that stream is open already, or too many are")
        incoming = self._incoming[stream] = _Incoming(messages[0], size, None)
        try:
            incoming.room = self.room(size)
        except SpillError as error:
            incoming.miss(error)

    def chunk(self, stream: int, data: Buffer) -> Message | Spoiled | None:
        """A piece has come; the whole message when it was the last.  Raises WireError."""
        incoming = self._incoming.get(stream)
        if incoming is None:
            raise WireError("a chunk of a stream that was not begun")
        incoming.received += len(data)
        if incoming.received > incoming.size:
            raise WireError("a stream brought more than it announced")
        if incoming.room is not None:
            try:
                incoming.room.put(data)
            except SpillError as error:
                incoming.miss(error, data)
        if incoming.received < incoming.size:
            return None
        del self._incoming[stream]
        if incoming.room is None:
            return Spoiled(incoming.head, incoming.fault)
        setattr(incoming.head, "payload", as_payload(incoming.head, incoming.room.done()))  # noqa: B010 (it has one)
        return incoming.head
