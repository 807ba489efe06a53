"""What tasks write while whoever is to have it is away: kept in the order of each task, and handed over later; pure.

A node withholds it from a master that is away, a master from a client.  Where it finds no room, all that the task
writes from then on is dropped, and its stderr ends with a line that says how much that was, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from asyncluster.errors import SpillError
from asyncluster.model.messages import Output
from asyncluster.model.notices import dropped_by, missed

PIECE = 65_536
"""Bytes of one `Output` at most."""

CHUNK = 256 * 1024
"""So much lies in memory as it came; beyond that it is packed, and kept where `keep` says."""

_OVERHEAD = 64  # bytes that a piece takes besides its payload, about

Keep = Callable[[bytes], "bytes | memoryview"]
"""Takes bytes over and says where they are to be read; raises SpillError where there is no room."""

_pack = msgspec.msgpack.encode
_unpack: Any = msgspec.msgpack.Decoder(list[tuple[int, int, int, str, memoryview]]).decode


def _as_it_is(data: bytes) -> bytes:
    return data


class Withheld:
    """Output of some tasks.  limit: bytes of all of them, None for as much as `keep` takes; why: says it in a sentence,
    given what the disk said, or "" when it is the limit.
    """

    def __init__(
        self,
        keep: Keep = _as_it_is,
        why: Callable[[str], str] = "there was no room {}".format,
        limit: int | None = None,
    ) -> None:
        self._keep, self._why, self._limit = keep, why, limit
        self._chunks: list[bytes | memoryview] = []
        self._open: dict[tuple[int, int], list[Output]] = {}  # by job and seq
        self._open_bytes = self._bytes = 0
        self._dropped: dict[tuple[int, int], tuple[int, str, str]] = {}  # bytes, the place, and why

    def __bool__(self) -> bool:
        return bool(self._open or self._chunks or self._dropped)

    def add(self, message: Output) -> None:
        """A task wrote that."""
        key, size = (message.job, message.seq), len(message.payload)
        if key in self._dropped:
            self._drop(message, "")
            return
        if self._limit is not None and self._bytes + size > self._limit:
            self._drop(message, self._why(""))
            return
        self._bytes += size
        line = self._open.setdefault(key, [])
        if line and _fit(line[-1], message):
            joined = b"".join((line[-1].payload, message.payload))
            line[-1] = msgspec.structs.replace(line[-1], payload=joined)
            self._open_bytes += size
        else:
            line.append(message)
            self._open_bytes += size + _OVERHEAD
        if self._open_bytes > CHUNK:
            self._close()

    def take(self) -> list[Output]:
        """All of it, to be handed over: it is not here any more."""
        taken = list(self._all())
        self.forget()
        return taken

    def forget(self) -> None:
        """Nobody wants it."""
        self._chunks, self._open, self._dropped = [], {}, {}
        self._open_bytes = self._bytes = 0

    def _all(self) -> Iterator[Output]:
        for chunk in self._chunks:
            for fields in _unpack(chunk):
                yield Output(
                    *fields
                )  # the payload is a view of the chunk, so that it takes no memory where that is a file
        for line in self._open.values():
            yield from line
        for (job, seq), (count, place, why) in self._dropped.items():
            yield Output(job, seq, 2, place, missed(count, why))

    def _close(self) -> None:
        """Pack what is open."""
        pieces = [piece for line in self._open.values() for piece in line]
        self._open, self._open_bytes = {}, 0
        try:
            self._chunks.append(self._keep(_pack([msgspec.structs.astuple(piece) for piece in pieces])))
        except SpillError as error:
            why = self._why(str(error))
            for piece in pieces:
                self._bytes -= len(piece.payload)
                self._drop(piece, why)

    def _drop(self, message: Output, why: str) -> None:
        count, place, before = self._dropped.get((message.job, message.seq), (0, message.place, why))
        count += dropped_by(message.payload) or len(message.payload)
        self._dropped[message.job, message.seq] = count, place, before


def _fit(last: Output, message: Output) -> bool:
    """Whether they can be one piece; what somebody is told of output that is missing is a piece of its own."""
    return (
        (last.stream, last.place) == (message.stream, message.place)
        and len(last.payload) + len(message.payload) <= PIECE
        and not dropped_by(last.payload)
        and not dropped_by(message.payload)
    )
