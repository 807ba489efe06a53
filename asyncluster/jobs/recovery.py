"""From the journal's rows to jobs as they were: pure.

The rows of a job are replayed in order.  What was queued or running is queued again (who runs it will say so, see
`returning`); a task that has a result is over, and the result is kept until the client has it, and longer where
a task that is not over depends on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import msgspec

from asyncluster.jobs.dependencies import BIG
from asyncluster.model.bulk import decode_views, in_parts, is_large
from asyncluster.model.journal import Entry, Kind
from asyncluster.model.messages import (
    After,
    Cancel,
    Code,
    Message,
    Outcome,
    Result,
    Step,
    Task,
    decode_batch,
    encode_batch,
)

ROW_MESSAGES = 1000
"""In one row of a log that is written anew."""

_numbers = msgspec.msgpack.Decoder(list[int])
_number = msgspec.msgpack.Decoder(int)
_loss = msgspec.msgpack.Decoder(tuple[int, str])
_flag = msgspec.msgpack.Decoder(bool)


@attrs.define
class Recovered:
    """What a job's rows come to."""

    received: int = 0  # messages of the client that were counted
    codes: list[Code] = attrs.Factory(list)
    steps: list[Step] = attrs.Factory(list)
    tasks: dict[int, Task] = attrs.Factory(dict)  # not over, by number, oldest first
    results: dict[int, Result] = attrs.Factory(dict)  # not fetched, by number, oldest first
    losses: dict[int, list[str]] = attrs.Factory(dict)
    tries: dict[int, int] = attrs.Factory(dict)  # attempts that were charged to a task's retries, by number
    paused: bool = False
    detached: bool = False  # it needs no client, and its results stay
    after: dict[int, After] = attrs.Factory(dict)  # of tasks that are not over, by number
    values: dict[int, Result] = attrs.Factory(dict)  # fetched, and tasks that are not over depend on them
    stays: set[int] = attrs.Factory(set)  # of `results`: whose values the client was not sent
    _needed: Counter[int] = attrs.Factory(Counter)  # by how many tasks that are not over, as a value
    _awaited: Counter[int] = attrs.Factory(Counter)  # likewise, as a value or not

    def ended(self, seq: int) -> Result | None:
        """How a task ended on which others depend, or whose result the client may not have."""
        return self.results.get(seq) or self.values.get(seq)

    def replay(self, entry: Entry) -> None:
        """Take one row in.  Raises msgspec.MsgspecError for bytes that are no such row."""
        if entry.kind == Kind.MESSAGES:
            self._messages(_decode(entry))
        elif entry.kind == Kind.RESULTS:
            self._results(_decode(entry))
        elif entry.kind == Kind.FETCHED:
            for seq in _numbers.decode(_bytes(entry)):
                self._fetched(seq)
        elif entry.kind == Kind.LOSS:
            seq, text = _loss.decode(_bytes(entry))
            self.losses.setdefault(seq, []).append(text)
        elif entry.kind == Kind.TRIED:
            seq, _ = _loss.decode(_bytes(entry))
            self.tries[seq] = self.tries.get(seq, 0) + 1
        elif entry.kind == Kind.PAUSED:
            self.paused = _flag.decode(_bytes(entry))
        elif entry.kind == Kind.COUNT:
            self.received = _number.decode(_bytes(entry))
        elif entry.kind == Kind.DETACHED:
            self.detached = _flag.decode(_bytes(entry))

    def _messages(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.received += 1
            if isinstance(message, Task):
                self.tasks[message.seq] = message
            elif isinstance(message, After):
                self._announced(message)
            elif isinstance(message, Code):
                self.codes.append(message)
            elif isinstance(message, Step):
                self.steps.append(message)
            elif isinstance(message, Cancel):
                pass  # what it ended has a Result of its own

    def _results(self, results: Iterable[Message]) -> None:
        for result in results:
            if isinstance(result, Result):
                self.tasks.pop(result.seq, None)
                self.losses.pop(result.seq, None)
                self.tries.pop(result.seq, None)
                self.results[result.seq] = result
                if len(result.payload) > BIG and self._needed.get(result.seq) and result.outcome == Outcome.VALUE:
                    self.stays.add(result.seq)
                if result.seq in self.after:
                    self._released(self.after.pop(result.seq))

    def _announced(self, after: After) -> None:
        if after.seq not in self.after:
            self.after[after.seq] = after
            self._needed.update(set(after.values))
            self._awaited.update({*after.values, *after.order})

    def _released(self, after: After) -> None:
        for seq in set(after.values):
            self._needed[seq] -= 1
        for seq in {*after.values, *after.order}:
            self._awaited[seq] -= 1
            if not self._awaited[seq]:
                del self._awaited[seq], self._needed[seq]
                self.values.pop(seq, None)

    def _fetched(self, seq: int) -> None:
        result = self.results.pop(seq, None)
        self.stays.discard(seq)
        if result is not None and self._awaited.get(seq):
            if not self._needed.get(seq):
                result.payload = b""
            self.values[seq] = result

    def rows(self, job: int) -> list[Entry]:
        """The shortest log that comes to the same."""
        entries: list[Entry] = []
        messages: list[Message] = [*self.codes, *self.steps, *self.after.values(), *self.tasks.values()]
        entries += entries_of(job, Kind.MESSAGES, messages)
        entries.append(Entry(job, Kind.COUNT, msgspec.msgpack.encode(self.received)))
        if self.detached:
            entries.append(Entry(job, Kind.DETACHED, msgspec.msgpack.encode(True)))
        values = [result for seq, result in self.values.items() if seq not in self.results]
        entries += entries_of(job, Kind.RESULTS, [*values, *self.results.values()])
        if values:
            entries.append(Entry(job, Kind.FETCHED, msgspec.msgpack.encode([result.seq for result in values])))
        entries += [
            Entry(job, Kind.LOSS, msgspec.msgpack.encode((seq, text)))
            for seq, texts in self.losses.items()
            for text in texts
        ]
        entries += [
            Entry(job, Kind.TRIED, msgspec.msgpack.encode((seq, "")))
            for seq, count in self.tries.items()
            for _ in range(count)
        ]
        if self.paused:
            entries.append(Entry(job, Kind.PAUSED, msgspec.msgpack.encode(True)))
        return entries


def entries_of(job: int, kind: Kind, messages: Sequence[Message]) -> Iterator[Entry]:
    """Messages as rows, in order; a large one has a row of its own, and its payload is not copied."""
    some: list[Message] = []
    for message in messages:
        if is_large(message):
            if some:
                yield Entry(job, kind, encode_batch(some))
                some = []
            yield Entry(job, kind, in_parts(message))
            continue
        some.append(message)
        if len(some) == ROW_MESSAGES:
            yield Entry(job, kind, encode_batch(some))
            some = []
    if some:
        yield Entry(job, kind, encode_batch(some))


def _decode(entry: Entry) -> list[Message]:
    data = entry.data
    if isinstance(data, bytes):
        return decode_batch(data)
    return decode_views(data if isinstance(data, memoryview) else data.cut(0, len(data)))


def _bytes(entry: Entry) -> Any:
    """What was written as bytes; a long list comes back as a view."""
    return entry.data


def recover(entries: Iterable[Entry]) -> dict[int, Recovered]:
    """All jobs that the rows speak of."""
    jobs: dict[int, Recovered] = {}
    for entry in entries:
        jobs.setdefault(entry.job, Recovered()).replay(entry)
    return jobs
