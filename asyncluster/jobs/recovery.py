"""From the journal's rows to jobs as they were: pure.

The rows of a job are replayed in order.  What was queued or running is queued again (who runs it will say so, see
`returning`); a task that has a result is over, and the result is kept until the client has it.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import msgspec

from asyncluster.model.journal import Entry, Kind
from asyncluster.model.messages import Cancel, Code, Message, Result, Step, Task, decode_batch, encode_batch

_numbers = msgspec.msgpack.Decoder(list[int])
_number = msgspec.msgpack.Decoder(int)
_flag = msgspec.msgpack.Decoder(bool)
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
    detached: bool = False  # it needs no client, and its results stay

    def replay(self, entry: Entry) -> None:
        """Take one row in.  Raises msgspec.MsgspecError for bytes that are no such row."""
        if entry.kind == Kind.MESSAGES:
            self._messages(decode_batch(entry.data))
        elif entry.kind == Kind.RESULTS:
            self._results(decode_batch(entry.data))
        elif entry.kind == Kind.FETCHED:
            for seq in _numbers.decode(entry.data):
                self.results.pop(seq, None)
        elif entry.kind == Kind.LOSS:
            seq, text = _loss.decode(entry.data)
            self.losses.setdefault(seq, []).append(text)
        elif entry.kind == Kind.COUNT:
            self.received = _number.decode(entry.data)
        elif entry.kind == Kind.DETACHED:
            self.detached = _flag.decode(entry.data)

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
        entries = []
        messages: list[Message] = [*self.codes, *self.steps, *self.tasks.values()]
        for start in range(0, len(messages), 1000):
            entries.append(Entry(job, Kind.MESSAGES, encode_batch(messages[start : start + 1000])))
        entries.append(Entry(job, Kind.COUNT, msgspec.msgpack.encode(self.received)))
        if self.detached:
            entries.append(Entry(job, Kind.DETACHED, msgspec.msgpack.encode(True)))
        results = list(self.results.values())
        for start in range(0, len(results), 1000):
            entries.append(Entry(job, Kind.RESULTS, encode_batch(results[start : start + 1000])))
        entries += [
            Entry(job, Kind.LOSS, msgspec.msgpack.encode((seq, text)))
            for seq, texts in self.losses.items()
            for text in texts
        ]
        return entries


def recover(entries: Iterable[Entry]) -> dict[int, Recovered]:
    """All jobs that the rows speak of."""
    jobs: dict[int, Recovered] = {}
    for entry in entries:
        jobs.setdefault(entry.job, Recovered()).replay(entry)
    return jobs
