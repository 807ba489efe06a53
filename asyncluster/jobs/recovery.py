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
        elif entry.kind == Kind.TRIED:
            seq, _ = _loss.decode(entry.data)
            self.tries[seq] = self.tries.get(seq, 0) + 1
        elif entry.kind == Kind.PAUSED:
            self.paused = _flag.decode(entry.data)
        elif entry.kind == Kind.COUNT:
            self.received = _number.decode(entry.data)

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
                self.tries.pop(result.seq, None)
                self.results[result.seq] = result

    def rows(self, job: int) -> list[Entry]:
        """The shortest log that comes to the same."""
        entries = []
        messages: list[Message] = [*self.codes, *self.steps, *self.tasks.values()]
        for start in range(0, len(messages), 1000):
            entries.append(Entry(job, Kind.MESSAGES, encode_batch(messages[start : start + 1000])))
        entries.append(Entry(job, Kind.COUNT, msgspec.msgpack.encode(self.received)))
        results = list(self.results.values())
        for start in range(0, len(results), 1000):
            entries.append(Entry(job, Kind.RESULTS, encode_batch(results[start : start + 1000])))
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


def recover(entries: Iterable[Entry]) -> dict[int, Recovered]:
    """All jobs that the rows speak of."""
    jobs: dict[int, Recovered] = {}
    for entry in entries:
        jobs.setdefault(entry.job, Recovered()).replay(entry)
    return jobs
