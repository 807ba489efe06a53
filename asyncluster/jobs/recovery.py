"""From the journal's rows to jobs as they were: pure.

The rows of a job are replayed in order.  What was queued or running is queued again (who runs it will say so, see
`returning`); a task that has a result is over, and the result is kept until the client has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import msgspec

from asyncluster.model.bulk import decode_views, in_parts, is_large
from asyncluster.model.journal import Entry, Kind
from asyncluster.model.messages import Cancel, Code, Message, Result, Step, Task, decode_batch, encode_batch

ROW_MESSAGES = 1000
"""In one row of a log that is written anew."""

_numbers = msgspec.msgpack.Decoder(list[int])
_number = msgspec.msgpack.Decoder(int)
_loss = msgspec.msgpack.Decoder(tuple[int, str])


@attrs.define
class Recovered:
    """What a job's rows come to."""

    received: int = 0  # messages of the client that were counted
    codes: list[Code] = attrs.Factory(list)
    steps: list[Step] = attrs.Factory(list)
    tasks: dict[int, Task] = attrs.Factory(dict)  # not over, by number, oldest first
    results: dict[int, Result] = attrs.Factory(dict)  # not fetched, by number, oldest first
    losses: dict[int, list[str]] = attrs.Factory(dict)

    def replay(self, entry: Entry) -> None:
        """Take one row in.  Raises msgspec.MsgspecError for bytes that are no such row."""
        if entry.kind == Kind.MESSAGES:
            self._messages(_decode(entry))
        elif entry.kind == Kind.RESULTS:
            self._results(_decode(entry))
        elif entry.kind == Kind.FETCHED:
            for seq in _numbers.decode(_bytes(entry)):
                self.results.pop(seq, None)
        elif entry.kind == Kind.LOSS:
            seq, text = _loss.decode(_bytes(entry))
            self.losses.setdefault(seq, []).append(text)
        elif entry.kind == Kind.COUNT:
            self.received = _number.decode(_bytes(entry))

    def _messages(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.received += 1
            if isinstance(message, Task):
                self.tasks[message.seq] = message
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
                self.results[result.seq] = result

    def rows(self, job: int) -> list[Entry]:
        """The shortest log that comes to the same."""
        entries: list[Entry] = []
        messages: list[Message] = [*self.codes, *self.steps, *self.tasks.values()]
        entries += entries_of(job, Kind.MESSAGES, messages)
        entries.append(Entry(job, Kind.COUNT, msgspec.msgpack.encode(self.received)))
        entries += entries_of(job, Kind.RESULTS, list(self.results.values()))
        entries += [
            Entry(job, Kind.LOSS, msgspec.msgpack.encode((seq, text)))
            for seq, texts in self.losses.items()
            for text in texts
        ]
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
