"""What the journal is told of each job, and who hears when it is safe.

Without a journal, and for jobs that do not want one (`durable=False`), everything is as safe as it will be at once.
A job's log is written anew, shorter, when it has grown to a multiple of what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec

from asyncluster.jobs.recovery import Recovered
from asyncluster.model.bulk import in_parts, is_large
from asyncluster.model.journal import Entry, Kind, StoredJob
from asyncluster.model.messages import Message, Result, encode_batch
from asyncluster.wire.link import Link

LEAST_BYTES = 16 * 1024 * 1024
"""A log below this is not written anew."""

GROWTH = 3
"""A log may grow to so many times the size it had when it was written anew."""


MOST_WAITING = 128 * 1024 * 1024
"""Bytes that may wait to be written before clients that send are held up."""


class Book(Protocol):
    """What the ledger needs of a journal; `store.journal.Journal` is one."""

    @property
    def waiting_bytes(self) -> int: ...

    def open_job(self, job: StoredJob) -> None: ...

    def append(self, entry: Entry) -> None: ...

    def rewrite(self, job: int, entries: Sequence[Entry]) -> None: ...

    def drop_job(self, job: int) -> None: ...

    def when_durable(self, callback: Callable[[], object]) -> None: ...


class Ledger:
    """Writes to a book, or to none."""

    def __init__(self, book: Book | None = None) -> None:
        self._book = book
        self._sizes: dict[int, int] = {}  # of jobs that are written down: bytes since the last rewriting
        self._limits: dict[int, int] = {}
        self._going: set[int] = set()  # jobs that are closed, which the book has not written down yet

    def opened(self, job: StoredJob, durable: bool) -> None:
        """A job was opened."""
        if self._book is not None and durable:
            self._book.open_job(job)
            self.known(job.job)

    def known(self, job: int) -> None:
        """That job is in the book."""
        self._sizes[job], self._limits[job] = 0, LEAST_BYTES

    def closed(self, job: int) -> None:
        """A job is over."""
        if self._book is not None and self._sizes.pop(job, None) is not None:
            self._limits.pop(job)
            self._book.drop_job(job)
            self._going.add(job)
            self._book.when_durable(partial(self._going.discard, job))

    def received(self, job: int, messages: Sequence[Message]) -> None:
        """The client sent these; before they are acted upon, which changes them."""
        if job in self._sizes:
            self._messages(job, Kind.MESSAGES, messages)

    def results(self, job: int, results: Sequence[Result]) -> None:
        """These tasks are over."""
        if job in self._sizes:
            self._messages(job, Kind.RESULTS, results)

    def lost(self, job: int, seq: int, text: str) -> None:
        """An attempt of a task was lost, and it will be tried again."""
        if job in self._sizes:
            self._append(job, Kind.LOSS, msgspec.msgpack.encode((seq, text)))

    def tried(self, job: int, seq: int, text: str) -> None:
        """An attempt of a task was charged to its retries."""
        if job in self._sizes:
            self._append(job, Kind.TRIED, msgspec.msgpack.encode((seq, text)))

    def paused(self, job: int, paused: bool) -> None:
        """Nothing of a job is given out, or again."""
        if job in self._sizes:
            self._append(job, Kind.PAUSED, msgspec.msgpack.encode(paused))

    def fetched(self, job: int, seqs: list[int]) -> None:
        """The client has these results."""
        if job in self._sizes:
            self._append(job, Kind.FETCHED, msgspec.msgpack.encode(seqs))

    def detached(self, job: int) -> None:
        """The job needs no client."""
        if job in self._sizes:
            self._append(job, Kind.DETACHED, msgspec.msgpack.encode(True))

    def safe(self, job: int, callback: Callable[[], object]) -> None:
        """Call when all that was written so far is safe; at once where nothing of that job is written."""
        if self._book is not None and (job in self._sizes or job in self._going):
            self._book.when_durable(callback)  # of a job that was closed, too: behind what was asked for before
        else:
            callback()

    def ease(self, link: Link) -> None:
        """That client has sent something: take nothing more from it while too much waits to be written."""
        book = self._book
        if book is not None and book.waiting_bytes > MOST_WAITING and not link.reading_held:
            link.hold_reading()
            book.when_durable(link.go_on_reading)

    def grown(self, job: int) -> bool:
        """Whether it is time to write that job's log anew."""
        return self._sizes.get(job, 0) > self._limits.get(job, 0)

    def rewrite(self, job: int, now: Recovered) -> None:
        """Replace the log by the shortest one that says the same."""
        assert self._book is not None
        entries = now.rows(job)
        self._book.rewrite(job, entries)
        self._sizes[job] = 0
        self._limits[job] = max(LEAST_BYTES, GROWTH * sum(len(entry.data) for entry in entries))

    def _messages(self, job: int, kind: Kind, messages: Sequence[Message]) -> None:
        if len(messages) == 1 and is_large(messages[0]):  # it came as a stream, or is as long as one
            self._append(job, kind, in_parts(messages[0]))
        else:
            self._append(job, kind, encode_batch(messages))

    def _append(self, job: int, kind: Kind, data: Any) -> None:
        assert self._book is not None
        self._sizes[job] += len(data)
        self._book.append(Entry(job, kind, data))
