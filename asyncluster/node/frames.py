"""Frames between daemon and worker: eight bytes of length, big-endian, and one encoded batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from asyncluster.errors import SpillError
from asyncluster.model.bulk import Buffer, Room, batch_in_parts, in_memory, is_large
from asyncluster.model.messages import MAX_PAYLOAD, encode_batch
from asyncluster.node.devices import Told

HEAD = 8

LARGE_FRAME = 256 * 1024
"""A batch above this is put together where large payloads lie; it should have one message only."""

LONGEST = MAX_PAYLOAD + 64 * 1024 * 1024
"""No frame is longer: a payload, or many small ones."""


FEW = 16


@attrs.frozen
class Lost:
    """A batch came, and there was no room for it; why."""

    why: str


Batch = bytes | memoryview | Lost


def frame(batch: bytes) -> bytes:
    """Put the length before a batch."""
    return len(batch).to_bytes(HEAD, "big") + batch


def frames(messages: Sequence[Told]) -> tuple[Buffer, ...]:
    """The frame of these messages, in pieces where a payload is large: it is not copied."""
    # Of many only the last can be very large (`staff.FRAME_BYTES`), and to look at each would cost small tasks.
    if not any(map(is_large, messages if len(messages) <= FEW else messages[-1:])):
        return (frame(encode_batch(messages)),)
    parts = batch_in_parts(messages)
    return (len(parts).to_bytes(HEAD, "big"), *parts.parts)


class Unframer:
    """Bytes in, whole batches out; `room` takes large ones.  A view that comes out is of one, and nobody else's."""

    def __init__(self, room: Callable[[int], Room] = in_memory) -> None:
        self._parts = bytearray()
        self._room = room
        self._large: Room | Lost | None = None  # where the frame now arriving goes
        self._missing = 0  # bytes of it

    @property
    def lacking(self) -> int:
        """Bytes that the frame now arriving still wants, 0 when that is not known."""
        if self._missing:
            return self._missing
        if len(self._parts) < HEAD:
            return 0
        return max(0, HEAD + int.from_bytes(self._parts[:HEAD], "big") - len(self._parts))

    def feed(self, data: bytes) -> Iterator[Batch]:
        """Give each batch that `data` completes.  Raises ValueError for a length that cannot be."""
        parts = self._parts
        if not parts and not self._missing and int.from_bytes(data[:HEAD], "big") == len(data) - HEAD:
            yield data[HEAD:]  # the common case, in one copy
            return
        if self._missing:
            taken = min(self._missing, len(data))
            yield from self._more(memoryview(data)[:taken])
            data = data[taken:]
        parts += data
        start = 0
        while len(parts) - start >= HEAD:
            length = int.from_bytes(parts[start : start + HEAD], "big")
            end = start + HEAD + length
            if len(parts) < end:
                if length > LARGE_FRAME:
                    rest = bytes(parts[start + HEAD :])
                    start = len(parts)
                    self._begin(length)
                    yield from self._more(rest)
                break
            batch = bytes(memoryview(parts)[start + HEAD : end])
            start = end
            yield batch
        if start:
            del parts[:start]

    def _begin(self, length: int) -> None:
        if length > LONGEST:
            raise ValueError(f"a frame of {length:,} bytes")
        self._missing = length
        try:
            self._large = self._room(length)
        except SpillError as error:
            self._large = Lost(str(error))

    def _more(self, data: Buffer) -> Iterator[Batch]:
        self._missing -= len(data)
        if not isinstance(self._large, Lost | None):
            try:
                self._large.put(data)
            except SpillError as error:
                self._large = Lost(str(error))
        if not self._missing and self._large is not None:
            large, self._large = self._large, None
            yield large if isinstance(large, Lost) else large.done()
