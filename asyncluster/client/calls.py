"""The book of one job's calls: which are waiting, which are out, which code has which number.

Events in, messages or settled calls out; knows no reactor, thread or link.  Only `Calls.inbox` and
`CodeTable` are touched from several threads: the first is a deque, the second takes a lock that is given.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Sequence
from pickle import loads
from typing import Any, Protocol

from asyncluster.client.linked import Handle, Linked, assemble, blame, broken, first_cause
from asyncluster.client.outcomes import CANCELLED, ERROR, STAYS, UNNAMED, VALUE, meaning
from asyncluster.client.stays import Stays
from asyncluster.errors import DependencyError, NotPicklableError
from asyncluster.model.messages import After, Cancel, Message, Outcome, Result, Task

WINDOW = 50_000
"""Calls handed to the master at a time; the others wait here, in bytes that are made already."""
WINDOW_BYTES = 256 * 1024 * 1024
BIG = 64 * 1024
"""Payloads below this are not counted in bytes."""
MIN_WINDOW = 256
"""Calls that may be out whatever their size, so that many workers have work."""

CANCEL_SEQS = 10_000
"""In one Cancel, which the wire would cut otherwise: both sides count the messages, and must count the same."""

WAITING = -1
DROPPED = -2


class Sink(Protocol):
    """Where a call's end goes: a future, a Deferred, a chunk of a map."""

    seq: int  # WAITING until handed over, DROPPED when no longer wanted
    code: int

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """The end has come: kind and value as of `outcomes.meaning`, wall in microseconds."""


Settled = tuple[Sink, int, Any, int]
Entry = tuple[Sink | None, int, Any]
"""A call (sink, code number, payload), or (None, 0, thing): a message or a `Linked` call, in its place in the order."""


class Calls:
    """Outstanding calls of job number `job`."""

    def __init__(self, job: int, names: dict[int, str], window: int = WINDOW, window_bytes: int = WINDOW_BYTES) -> None:
        self.job = job
        self.names = names
        self.inbox: deque[Entry] = deque()
        self.out: dict[int, Sink] = {}
        self.stays = Stays(job)
        self.failed: dict[int, Settled] = {}  # calls that were not handed over, because of others, by id
        self._linked: dict[int, list[Handle]] = {}  # of calls that are out: what they depend on
        self._next = 0
        self._window = window
        self._window_bytes = window_bytes
        self._big: dict[int, int] = {}
        self._big_total = 0

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is out."""
        return not self.out and not self.inbox

    @property
    def room(self) -> int:
        """Calls that may be handed over now."""
        if self._big_total > self._window_bytes:
            return max(0, MIN_WINDOW - len(self.out))
        return max(0, self._window - len(self.out))

    def open_up(self) -> None:
        """From here on everything is handed over as soon as it can be: nobody waits for results."""
        self._window = self._window_bytes = sys.maxsize

    def take(self, limit: int) -> list[Message]:
        """Up to `limit` messages to send now, in the order they were put in."""
        messages: list[Message] = []
        append = messages.append
        popleft = self.inbox.popleft
        out, job, seq = self.out, self.job, self._next
        for _ in range(min(limit, self.room)):
            try:
                sink, code, payload = popleft()
            except IndexError:
                break
            if sink is None:
                if type(payload) is Linked:
                    more = self._take_linked(payload, seq)
                    if not more:
                        continue
                    messages += more
                    payload = more[-1].payload
                else:
                    append(payload)
                    continue
            elif sink.seq == DROPPED:
                continue
            else:
                sink.seq = seq
                out[seq] = sink
                append(Task(job, seq, 0, code, payload))
            if len(payload) > BIG and self._count_big(seq, len(payload)):
                seq += 1
                break
            seq += 1
        self._next = seq
        return messages

    def _take_linked(self, linked: Linked, seq: int) -> list[Any]:
        """Hand over a call that depends on others; nothing where it is not wanted, or can never be made."""
        sink, code = linked.sink, linked.code
        if sink.seq == DROPPED:
            return []
        handles = linked.handles
        try:
            name = self.names.get(code, UNNAMED)
            fallen = next((handle for handle in handles if id(handle.sink) in self.failed), None)
            if fallen is not None:
                raise blame(name, fallen, self.failed[id(fallen.sink)][2])
            error = broken(handles, name)
            if error is not None:
                raise error
            payload, values, order = assemble(linked, name, self._number)
        except (DependencyError, NotPicklableError) as fault:
            sink.seq = DROPPED
            self.failed[id(sink)] = sink, ERROR, fault.with_traceback(None), 0
            return []
        sink.seq = seq
        self.out[seq] = sink
        task = Task(self.job, seq, 0, code, payload)
        if not values and not order:
            return [task]
        self._linked[seq] = handles
        return [After(self.job, seq, values, order), task]

    def _number(self, sink: Sink) -> int | None:
        """By which the master knows a call that has not ended."""
        return sink.seq if sink.seq >= 0 and self.out.get(sink.seq) is sink else None

    def finish(self, results: Sequence[Result]) -> list[Settled]:
        """Match results with their calls; answers to calls that are no longer wanted vanish here."""
        settled: list[Settled] = []
        append, pop, big = settled.append, self.out.pop, self._big
        for result in results:
            seq = result.seq
            sink = pop(seq, None)
            if big:
                self._big_total -= big.pop(seq, 0)
            if sink is None:
                self.stays.again(result)
                continue
            if result.outcome == 0:  # Outcome.VALUE, the common case; `meaning` knows the others
                try:
                    append((sink, VALUE, loads(result.payload), result.wall))  # noqa: S301 (workers are proven; see docs)
                    continue
                except BaseException:  # noqa: S110 (`meaning` tries again and says what is wrong)
                    pass
            if result.outcome == Outcome.STAYS:
                append((sink, STAYS, self.stays.add(result, self.names.get(sink.code, UNNAMED)), result.wall))
                continue
            kind, value = meaning(result, self.names.get(sink.code, UNNAMED))
            if type(value) is DependencyError:
                value.__cause__ = self._cause(self._linked.get(seq, ()), settled)
            append((sink, kind, value, result.wall))
        if self._linked:
            for result in results:
                self._linked.pop(result.seq, None)
        return settled

    @staticmethod
    def _cause(handles: Iterable[Handle], settled: list[Settled]) -> BaseException | None:
        """The exception of what a call depended on; it may be among those that are about to be told."""
        sinks = {id(handle.sink) for handle in handles}
        for sink, kind, value, _ in settled:
            if kind in (ERROR, CANCELLED) and id(sink) in sinks:
                return first_cause(value if kind == ERROR else None)
        error = broken(handles, "")
        return None if error is None else first_cause(error.__cause__)

    def drop(self, sinks: Iterable[Sink]) -> list[Message]:
        """These are no longer wanted; the messages say so to the master where it knows them."""
        seqs = []
        for sink in sinks:
            if sink.seq >= 0 and self.out.get(sink.seq) is sink:
                del self.out[sink.seq]
                self._linked.pop(sink.seq, None)
                self._big_total -= self._big.pop(sink.seq, 0)
                seqs.append(sink.seq)
            elif sink.seq == WAITING:
                sink.seq = DROPPED
        return [Cancel(self.job, seqs[first : first + CANCEL_SEQS]) for first in range(0, len(seqs), CANCEL_SEQS)]

    def everything(self) -> list[Sink]:
        """All calls that have not ended, oldest first; the book forgets them."""
        sinks = list(self.out.values())
        self.out.clear()
        self._linked.clear()
        self._big.clear()
        self._big_total = 0
        while self.inbox:
            sink, _, thing = self.inbox.popleft()
            if type(thing) is Linked:
                sink = thing.sink
            if sink is not None and sink.seq != DROPPED:
                sinks.append(sink)
        return sinks

    def _count_big(self, seq: int, size: int) -> bool:
        self._big[seq] = size
        self._big_total += size
        return self._big_total > self._window_bytes and len(self.out) >= MIN_WINDOW


def settle_each(settled: list[Settled]) -> None:
    """The plain way to tell sinks their end."""
    for sink, kind, value, wall in settled:
        sink.settle(kind, value, wall)


class Reorder:
    """Numbered things come in any order and leave in theirs."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._next = 0
        self._early: dict[int, Any] = {}
        self.delivered = 0

    def add(self, number: int, thing: Any) -> list[Any]:
        """What may leave now that this one has come."""
        if not self._ordered:
            self.delivered += 1
            return [thing]
        self._early[number] = thing
        ready = []
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        self.delivered += len(ready)
        return ready
