"""Where large payloads lie: in memory up to a bound, beyond it in unlinked files that are mapped.

A payload is a `memoryview` either way, so nobody else has to know.  What counts is the life of the bytes: memory
is free again when the last view of it is gone, a file when no view into it is left.  A file is written by
`write`, never through its map, so a full disk is an error here and not a signal; and it has no name, so nothing
stays behind a process that was killed.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from pathlib import Path

from asyncluster.errors import SpillError
from asyncluster.model.bulk import InMemory, Room

SEGMENT_BYTES = 32 * 1024 * 1024
"""Payloads share files of this size (a map costs a file descriptor); a larger one has its own."""


class Spill:
    """The large payloads of one process.

    memory: bytes that may lie in memory; folder: for what goes beyond, made when it is needed first, or None: never
    is anything written; setting: the key of the configuration that says where it is, for messages.
    """

    def __init__(self, memory: int = 0, folder: str | os.PathLike[str] | None = None, setting: str = "") -> None:
        self.memory = memory
        self.held = 0  # bytes in memory, or promised to payloads that are on their way there
        self._folder = None if folder is None else Path(folder)
        self._setting = setting
        self._lock = threading.RLock()  # views may be dropped in the journal's thread
        self._shared: _Segment | None = None

    def room(self, size: int) -> Room:
        """Room for a payload of that size; it takes up memory as its bytes come.  Raises SpillError."""
        if self._folder is None or self.held + size <= self.memory:
            return InMemory(_Held(self, size), size)
        try:
            return _InFile(self, size, *self._segment(size))
        except OSError as error:
            raise self.full(error, size) from error

    def keep(self, data: bytes | memoryview) -> memoryview:
        """Take over a payload that is there already.  Raises SpillError."""
        room = self.room(len(data))
        room.put(data)
        return room.done()

    def full(self, error: OSError, size: int) -> SpillError:
        """What to say when a file cannot be had or written."""
        return SpillError(
            f"a payload of {size:,} bytes could not be kept: {self._folder}: {error.strerror}. Free space there, or "
            f"name another folder in {self._setting} (its `payload memory` of {self.memory:,} bytes is in use)"
        )

    def count(self, change: int) -> None:
        """Memory was promised, or is free again; from any thread."""
        with self._lock:
            self.held += change

    def _segment(self, size: int) -> tuple[_Segment, int]:
        assert self._folder is not None
        if size > SEGMENT_BYTES // 4:
            return _Segment(self._folder, size), 0
        shared = self._shared
        if shared is None or shared.used + size > shared.size:
            shared = self._shared = _Segment(self._folder, SEGMENT_BYTES)
        begin = shared.used
        shared.used += -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        return shared, begin


class _Held(bytearray):
    """Counts as memory from when it is promised until the last view of it is gone."""

    def __init__(self, spill: Spill, promised: int) -> None:
        super().__init__()
        self._spill, self._promised = spill, promised
        spill.count(promised)

    def __del__(self) -> None:
        self._spill.count(-self._promised)


class _Segment:
    """One file without a name, and its map."""

    def __init__(self, folder: Path, size: int) -> None:
        _make_private(folder)
        self.size, self.used = size, 0
        with tempfile.TemporaryFile(dir=folder, prefix="payload-", buffering=0) as file:
            file.truncate(size)  # no bytes are taken yet
            self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            self.file = os.dup(file.fileno())

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)


def _make_private(folder: Path) -> None:
    """Make it, and what is missing above it, for us alone."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


class _InFile:
    """A stretch of a segment."""

    def __init__(self, spill: Spill, size: int, segment: _Segment, begin: int) -> None:
        self._spill, self._size, self._segment, self._begin, self._end = spill, size, segment, begin, begin

    def put(self, data: bytes | memoryview) -> None:
        rest, end = memoryview(data), self._end
        try:
            while rest:
                count = os.pwrite(self._segment.file, rest, end)
                end += count
                rest = rest[count:]
        except OSError as error:
            raise self._spill.full(error, self._size) from error
        self._end = end  # a piece is there whole or not at all

    def done(self) -> memoryview:
        return memoryview(self._segment.map)[self._begin : self._end]
