"""Messages with large payloads, encoded and decoded without copying the payload.

What comes out is byte for byte what `messages.encode_batch` gives for that one message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any, Protocol, get_args

import attrs
import msgspec

from asyncluster.model.messages import Code, Message, Outcome, Result, Step, Task, Value, encode_batch

LARGE = 64 * 1024
"""Payloads above this are worth the trouble."""

TEXT_BYTES = 1024 * 1024
"""Payloads that are texts for people are cut here; only pickles may be larger."""

Buffer = bytes | memoryview


class Room(Protocol):
    """Where one payload is put together."""

    def put(self, data: Buffer) -> None:
        """The next piece.  Raises SpillError where the disk does not take it."""

    def done(self) -> memoryview:
        """All of it has come: what there is, to be read."""


FIRST_BYTES = 8 * 1024 * 1024
"""Memory is taken for so much of a payload at once: growing by little steps copies what is there many times."""


class InMemory:
    """Takes its memory when the first bytes come, no more than `FIRST_BYTES`; beyond, no more than twice what came."""

    def __init__(self, buffer: bytearray, size: int) -> None:
        self._buffer, self._size, self._end = buffer, size, 0

    def put(self, data: Buffer) -> None:
        """The next piece."""
        end, have = self._end + len(data), len(self._buffer)
        if end > have:
            wanted = max(end, min(self._size, max(FIRST_BYTES, 2 * have)))
            if have:
                self._buffer += bytes(wanted - have)
            else:
                bytearray.__init__(self._buffer, wanted)  # in place: `+=` would make the zeros twice
        with memoryview(self._buffer) as view:
            view[self._end : end] = data
        self._end = end

    def done(self) -> memoryview:
        """What has come."""
        return memoryview(self._buffer)[: self._end]


def in_memory(size: int) -> Room:
    """Room without a bound."""
    return InMemory(bytearray(), size)


_BULKY = (Task, Result, Value, Code, Step)

_encode = msgspec.msgpack.encode


@attrs.frozen
class Parts:
    """Bytes that lie in several places, in order."""

    parts: tuple[Buffer, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def cut(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop`, or to the end."""
        found: list[Buffer] = []
        for part in self.parts:
            if start < len(part) and stop > 0:
                found.append(memoryview(part)[max(0, start) : stop])
            start, stop = start - len(part), stop - len(part)
        return b"".join(found)


def is_large(message: object) -> bool:
    """Whether a message is better encoded by `in_parts`."""
    return len(getattr(message, "payload", b"")) > LARGE


def as_payload(message: Message, view: memoryview) -> Buffer:
    """What the payload of that message is to be: the view, or a text's bytes, which all the program may work with."""
    if isinstance(message, Result) and message.outcome > Outcome.EXCEPTION:
        return bytes(view[:TEXT_BYTES])
    return view if isinstance(message, _BULKY) else bytes(view[:TEXT_BYTES])


def batch_in_parts(messages: Sequence[Any]) -> Parts:
    """A batch of messages; the large payloads among theirs are not copied."""
    count = len(messages)
    parts: list[Buffer] = [bytes((0x90 | count,)) if count < 16 else b"\xdd" + count.to_bytes(4, "big")]
    for message in messages:
        if is_large(message):
            head, *rest = in_parts(message).parts
            parts += [head[1:], *rest]
        else:
            parts.append(_encode(message))
    return Parts(tuple(parts))


def in_parts(message: Message) -> Parts:
    """A batch of this one message, which has a payload."""
    payload: Buffer = getattr(message, "payload")  # noqa: B009 (only some messages have one)
    fields = message.__struct_fields__
    behind = b"".join(_encode(getattr(message, name)) for name in fields[fields.index("payload") + 1 :])
    bare = encode_batch([msgspec.structs.replace(message, payload=b"")])
    head = bare[: len(bare) - len(behind) - 2]  # an empty payload takes two bytes
    return Parts((head + b"\xc6" + len(payload).to_bytes(4, "big"), payload, behind))


def _viewing(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same message with its payload as a view of what is decoded."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        type_ = memoryview if field.name == "payload" else field.type
        fields.append((field.name, type_) if field.required else (field.name, type_, field.default))
    return msgspec.defstruct(f"{kind.__name__}View", fields, array_like=True, tag=kind.__struct_config__.tag)


_VIEWS = {_viewing(kind): kind for kind in _BULKY}
_others = tuple(kind for kind in get_args(Message) if kind not in _BULKY)


def _plain(message: Any) -> Any:
    kind = _VIEWS.get(type(message))
    if kind is None:
        return message
    values = msgspec.structs.astuple(message)
    place = kind.__struct_fields__.index("payload")
    plain: Any = kind(*values)
    view = values[place]
    plain.payload = bytes(view) if len(view) <= LARGE else as_payload(plain, view)
    return plain


def viewer(*more: type[msgspec.Struct]) -> Callable[[Buffer], list[Any]]:
    """A decoder of messages and these: large payloads are views of the data, which they keep alive."""
    kinds: Any = reduce(or_, (*_VIEWS, *_others, *more))
    decoder: Any = msgspec.msgpack.Decoder(list[kinds])

    def decode(data: Buffer) -> list[Any]:
        return [_plain(message) for message in decoder.decode(data)]

    return decode


decode_views: Callable[[Buffer], list[Message]] = viewer()
"""As `decode_batch`, but large payloads are views of the data, which they keep alive.  Raises the same."""
