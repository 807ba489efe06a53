"""Puts streamed messages together again: pure."""

from __future__ import annotations

import attrs

from asyncluster.errors import WireError
from asyncluster.model.messages import MAX_PAYLOAD, Message, decode_batch
from asyncluster.wire.outbox import INLINE_BYTES

MAX_STREAMS = 1024
"""Streams that one peer may have open at a time; each lane has one, and a lane is a job."""


@attrs.define
class _Incoming:
    head: Message
    size: int
    parts: list[bytes]
    received: int = 0


@attrs.define
class Inbox:
    """The streams that one peer has begun and not finished."""

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
        self._incoming[stream] = _Incoming(messages[0], size, [])

    def chunk(self, stream: int, data: bytes) -> Message | None:
        """A piece has come; the whole message when it was the last.  Raises WireError."""
        incoming = self._incoming.get(stream)
        if incoming is None:
            raise WireError("a chunk of a stream that was not begun")
        incoming.parts.append(data)
        incoming.received += len(data)
        if incoming.received < incoming.size:
            return None
        if incoming.received > incoming.size:
            raise WireError("a stream brought more than it announced")
        del self._incoming[stream]
        setattr(incoming.head, "payload", b"".join(incoming.parts))  # noqa: B010 (begin() saw the field)
        return incoming.head
