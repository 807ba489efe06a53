"""What waits to be sent on one link, and in which order it goes: pure.

Small messages go out in batches.  A message with a large payload is streamed in chunks between the
batches; only its own lane (its job) waits behind it, so that order holds within a lane and a big
result of one job holds up nobody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs
import msgspec

from asyncluster.model.messages import Cancel, Job, Message, Result, Task, encode_batch

INLINE_BYTES = 64 * 1024
"""Payloads above this are streamed."""

CHUNK_BYTES = 256 * 1024
"""PB refuses strings above 640 KiB; 256 KiB pages measured best (docs/wire.md)."""

BATCH_MESSAGES = 512
BATCH_BYTES = 256 * 1024
CANCEL_SEQS = 10_000

EASY_BYTES = 32 * 1024
"""What is smaller needs neither to be streamed nor to be cut."""

FEW_MESSAGES = 8
FEW_BYTES = 16 * 1024
"""So few messages, none with a larger payload, need no queue when nothing waits."""


@attrs.frozen
class Chunk:
    """One piece of a stream: `head` (the message without payload) and `size` come with the first."""

    stream: int
    data: bytes | memoryview
    head: bytes = b""
    size: int = 0


@attrs.define
class _Stream:
    number: int
    lane: int
    head: bytes
    payload: bytes | memoryview
    sent: int = 0


def payload_size(message: Message) -> int:
    """Bytes of the payload of a message, 0 for those that have none."""
    return len(getattr(message, "payload", b""))


def _lane(message: Message) -> int:
    """The job that a message belongs to; 0 for what belongs to none."""
    return getattr(message, "job", 0)


def _size(message: Message) -> int:
    """Bytes of a message, about; never less than a tenth of what it takes."""
    kind = type(message)
    if kind is Task or kind is Result:
        return 64 + len(message.payload)  # type: ignore[union-attr]  # by its type, which mypy cannot follow here
    if isinstance(message, Cancel):
        return 32 + 5 * len(message.seqs)
    if isinstance(message, Job):
        return 64 + 4 * sum(map(len, message.path))
    return 64 + payload_size(message)


@attrs.define
class Outbox:
    """A queue of messages in lanes."""

    _small: deque[tuple[Message, int]] = attrs.field(factory=deque)  # with about its size
    _blocked: dict[int, deque[Message]] = attrs.field(factory=dict)
    _streams: deque[_Stream] = attrs.field(factory=deque)
    _next_stream: int = 0

    def put(self, messages: Iterable[Message]) -> None:
        """Queue messages, in order."""
        for message in messages:
            size = _size(message)
            if size < EASY_BYTES and not self._blocked:  # nearly all
                self._small.append((message, size))
            elif self._blocked and _lane(message) in self._blocked:
                self._blocked[_lane(message)].append(message)
            elif payload_size(message) > INLINE_BYTES:
                self._start(message)
            elif isinstance(message, Cancel) and len(message.seqs) > CANCEL_SEQS:
                seqs = message.seqs
                for first in range(0, len(seqs), CANCEL_SEQS):
                    piece = msgspec.structs.replace(message, seqs=seqs[first : first + CANCEL_SEQS])
                    self._small.append((piece, _size(piece)))
            else:
                self._small.append((message, size))

    def pass_by(self, messages: Sequence[Message]) -> bytes | None:
        """A few small messages, encoded; None where they have to be `put`, because others wait or they are more."""
        if self._small or self._streams or len(messages) > FEW_MESSAGES:
            return None
        for message in messages:
            if payload_size(message) > FEW_BYTES or type(message) is Cancel:
                return None
        return encode_batch(messages)

    def __bool__(self) -> bool:
        return bool(self._small or self._streams)

    def take_batch(self) -> bytes | None:
        """The next batch, encoded; None when no small message waits."""
        small = self._small
        if not small:
            return None
        batch: list[Message] = []
        room = BATCH_BYTES
        while small and room > 0 and len(batch) < BATCH_MESSAGES:
            message, size = small.popleft()
            room -= size
            batch.append(message)
        return encode_batch(batch)

    def take_chunk(self) -> Chunk | None:
        """The next chunk, each stream in turn; None when nothing is streaming."""
        if not self._streams:
            return None
        stream = self._streams.popleft()
        piece = memoryview(stream.payload)[stream.sent : stream.sent + CHUNK_BYTES]
        first = stream.sent == 0
        stream.sent += len(piece)
        if stream.sent < len(stream.payload):
            self._streams.append(stream)
        else:
            self._finish(stream.lane)
        if first:
            return Chunk(stream.number, piece, stream.head, len(stream.payload))
        return Chunk(stream.number, piece)

    def _start(self, message: Message) -> None:
        payload: bytes | memoryview = getattr(message, "payload")  # noqa: B009 (only messages with one come here)
        head = encode_batch([msgspec.structs.replace(message, payload=b"")])
        lane = _lane(message)
        self._blocked[lane] = deque()
        self._streams.append(_Stream(self._next_stream, lane, head, payload))
        self._next_stream += 1

    def _finish(self, lane: int) -> None:
        """The lane's large message is through: what waited behind it may go."""
        self.put(self._blocked.pop(lane))
