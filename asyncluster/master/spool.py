"""What tasks of detached jobs write, kept on disk until the job is forgotten.

A folder a job, in it a file for each life of the master, in it records one after the other: number of the task,
stream, length, bytes.  So a record that a killed master tore is the last of its file and does no harm, nothing has
to be read at the start, and nothing about a single task is kept in memory.  Whoever reads one task's output has
the records of others passed over.

All work on the disk is done in a thread, one piece after the other; what comes meanwhile is gathered, within a limit.
A result does not wait for the output before it; the node is told of output only when it is on the disk, and tells the
next master the rest.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.model.notices import dropped_by

T = TypeVar("T")

_log = Logger()

_HEAD = struct.Struct("<qBI")  # steps write as task -1
_ALL = -2
"""Instead of a task's number: what the master has to say to every reader."""

RECORD = 64 * 1024
"""Longest piece of a record, in bytes."""

ANSWER = 192 * 1024
"""About as much is read at a time; PB carries 640 KiB."""

LOOK = 8 * 1024 * 1024
"""How far one look for a task's records goes, in bytes."""

GATHERED = 64 * 1024 * 1024
"""So much may wait for a slow disk, of all jobs together."""

Position = tuple[int, int]
"""File and offset in it; (0, 0) is the beginning."""


@attrs.frozen
class Pieces:
    """What was read: (task, stream, bytes), where to go on, and whether there is more now."""

    pieces: list[tuple[int, int, bytes]]
    position: Position
    more: bool


@attrs.define
class _State:
    size: int = 0  # bytes on disk and on the way there
    dropped: int = 0
    full: bool = False  # the limit was reached: nothing is kept any more
    file: int = 0  # the number of ours, 0: none yet


class Spool:
    """All of it, in one folder.  limit: bytes a job; in_thread: runs a function in a thread."""

    def __init__(self, folder: Path, limit: int, in_thread: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._folder, self._limit, self._in_thread = folder, limit, in_thread
        self._states: dict[int, _State] = {}
        self._gathered: dict[int, list[bytes]] = {}
        self._bytes = 0
        self._lock = DeferredLock()
        self._failing = False

    def begin_with(self, jobs: Collection[int]) -> None:
        """Before the start: these jobs are open, the output of others is removed.  Blocks; raises OSError."""
        if not self._folder.is_dir():
            return
        for found in list(self._folder.iterdir()):
            if found.name.isdecimal() and int(found.name) in jobs:
                sizes = [file.stat().st_size for file in found.iterdir()]
                self._states[int(found.name)] = _State(sum(sizes))
            else:
                shutil.rmtree(found, ignore_errors=True)

    def write(self, job: int, seq: int, stream: int, data: bytes) -> None:
        """Keep it, unless the job has written too much already."""
        state = self._states.setdefault(job, _State())
        if state.full or state.size + len(data) > self._limit or self._bytes > GATHERED:
            if not state.full:
                state.full = True
                self._gather(job, state, _ALL, 2, self._notice(job))
            state.dropped += dropped_by(data) or len(data)
            return
        state.dropped += dropped_by(data)  # before it came here
        for start in range(0, len(data), RECORD):
            self._gather(job, state, seq, stream, data[start : start + RECORD])

    def _gather(self, job: int, state: _State, seq: int, stream: int, data: bytes) -> None:
        first = not self._gathered
        record = _HEAD.pack(seq, stream, len(data)) + data
        state.size += len(record)
        self._bytes += len(record)
        self._gathered.setdefault(job, []).append(record)
        if first:  # a free lock has it done at once
            self._lock.run(self._flush)

    def _notice(self, job: int) -> bytes:
        return (
            f"asyncluster: what the tasks of job {job} wrote after this was dropped; "
            f"the master keeps {self._limit:,} bytes a job, which `job output limit` in [server] says\n"
        ).encode()

    def read(self, job: int, seq: int, stream: int, position: Position) -> Deferred[Pieces]:
        """What stands after `position` and was written by that task (-1: by any) to that stream (0: to any)."""
        return self._lock.run(self._in_thread, partial(_read, self._of(job), seq, stream, position))

    def kept(self, job: int) -> tuple[int, int]:
        """Bytes that are kept of a job, and that were dropped."""
        state = self._states.get(job, _State())
        return state.size, state.dropped

    def drop(self, job: int) -> None:
        """The job is forgotten."""
        self._bytes -= sum(map(len, self._gathered.pop(job, ())))
        if self._states.pop(job, None) is not None:
            self._lock.run(self._in_thread, partial(shutil.rmtree, self._of(job), ignore_errors=True))

    def stop(self) -> Deferred[object]:
        """Fires when all is on the disk."""
        return self._lock.run(lambda: succeed(None))

    def _of(self, job: int) -> Path:
        return self._folder / str(job)

    def _flush(self) -> Deferred[Any]:
        gathered, self._gathered = self._gathered, {}
        done = self._in_thread(partial(self._write_out, gathered))
        return done.addBoth(self._flushed, sum(len(record) for records in gathered.values() for record in records))

    def _flushed(self, result: object, size: int) -> None:
        self._bytes -= size
        failed, self._failing = self._failing, isinstance(result, Failure)
        if isinstance(result, Failure) and not failed:
            _log.error("output of detached jobs cannot be kept: {error}", error=result.getErrorMessage())

    def _write_out(self, gathered: Mapping[int, Sequence[bytes]]) -> None:
        """In the thread."""
        for job, records in gathered.items():
            folder, state = self._of(job), self._states.get(job)
            if state is None:  # forgotten meanwhile
                continue
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not state.file:
                state.file = max(_files(folder), default=0) + 1
            descriptor = os.open(folder / str(state.file), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with open(descriptor, "ab", buffering=0) as file:
                _write_all(file, b"".join(records))


def _write_all(file: Any, data: bytes) -> None:
    rest = memoryview(data)
    before = os.fstat(file.fileno()).st_size
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(before)  # a torn record would spoil what comes after it
        raise


def _files(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except FileNotFoundError:
        return []


def _read(folder: Path, seq: int, stream: int, position: Position) -> Pieces:
    """In the thread.  Raises OSError."""
    files = [number for number in _files(folder) if number >= position[0]]
    found: list[tuple[int, int, bytes]] = []
    size = looked = 0
    for number in files:
        offset = position[1] if number == position[0] else 0
        with open(folder / str(number), "rb") as file:
            file.seek(offset)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                task, to, length = _HEAD.unpack(head)
                wanted = (task == _ALL or seq in (-1, task)) and stream in (0, to)
                if wanted:
                    data = file.read(length)
                    if len(data) < length:
                        break  # torn by a kill
                    found.append((-1 if task == _ALL else task, to, data))
                    size += length
                else:
                    file.seek(length, os.SEEK_CUR)
                offset += _HEAD.size + length
                looked += _HEAD.size + length
                position = (number, offset)
                if size > ANSWER or looked > LOOK:
                    return Pieces(found, position, True)
    return Pieces(found, position, False)
