"""What the master was told and has not said is safe, so that it can be told again: pure.

Results and StepDones are kept from when they are made until `Kept`.  Both sides count them a job and a link,
from 0: the wire keeps order within a job only (a large result of one job is overtaken by small ones of
another), so a count over all jobs would not say which messages it means.

Outputs are kept from when they are sent until the master, which is asked now and then, says that it has them, by
counts of the same kind; while there is no link they are withheld.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TypeVar

import attrs

from asyncluster.errors import WireError
from asyncluster.model.messages import Held, Message, Output, Result, StepDone, encode_batch
from asyncluster.model.withheld import Withheld

_T = TypeVar("_T")

PIECE_ITEMS = 10_000  # tasks, or codes, in one `Held`
PIECE_BYTES = 256 * 1024  # an argument of a verb; PB refuses strings above 640 KiB


@attrs.define(eq=False)
class Keeping:
    """The bookkeeping of one node.  A link begins with `again` and ends with `lost`."""

    withheld: Withheld = attrs.field(factory=Withheld)
    _waiting: dict[int, deque[Result | StepDone]] = attrs.field(factory=dict)  # by job; none is empty
    _kept: dict[int, int] = attrs.field(factory=dict)  # by job: the master's last count on this link
    _linked: bool = False
    said: dict[int, deque[Output]] = attrs.field(
        factory=dict
    )  # by job: sent on this link, not yet heard; none is empty
    _heard: dict[int, int] = attrs.field(factory=dict)  # by job: the master's last count of outputs on this link
    _listens: bool = True  # the master of this link answers what it has heard

    @property
    def count(self) -> int:
        """Messages that are not safe yet."""
        return sum(map(len, self._waiting.values()))

    def put(self, messages: Iterable[Message]) -> None:
        """The master is told these, now or, when there is no link, by the next `again`."""
        waiting = self._waiting
        for message in messages:
            if type(message) is Result or type(message) is StepDone:
                line = waiting.get(message.job)
                if line is None:
                    line = waiting[message.job] = deque()
                line.append(message)
            elif type(message) is Output:
                self._say(message)

    def _say(self, message: Output) -> None:
        if not self._linked:
            self.withheld.add(message)
        elif self._listens:
            line = self.said.get(message.job)
            if line is None:
                line = self.said[message.job] = deque()
            line.append(message)

    def heard(self, job: int, count: int) -> None:
        """The master has the first `count` Outputs of that job on this link.  Raises WireError as `kept`."""
        before, line = self._heard.get(job, 0), self.said.get(job, ())
        if not before <= count <= before + len(line):
            raise WireError(f"it says that it has {count} outputs of job {job}, after {before}, of {len(line)} more")
        if not isinstance(line, deque):
            return
        self._heard[job] = count
        for _ in range(count - before):
            line.popleft()
        if not line:
            del self.said[job]

    def deaf(self) -> None:
        """The master of this link, an older one, does not say what it has heard."""
        self._listens = False
        self.said.clear()

    def kept(self, job: int, count: int) -> None:
        """The master has the first `count` Results and StepDones of that job on this link; never hand them out again.

        A count may be said twice.  Raises WireError for one that goes back, or beyond what was sent.
        """
        before = self._kept.get(job, 0)
        line = self._waiting.get(job, ())
        sent = before + len(line) if self._linked else 0
        if not before <= count <= sent:
            raise WireError(f"it says that it keeps {count} results of job {job}, after {before}, of {sent} sent")
        if not isinstance(line, deque) or count == before:
            return
        self._kept[job] = count
        for _ in range(count - before):
            line.popleft()
        if not line:
            del self._waiting[job]

    def again(self) -> list[Message]:
        """A link begins: all that is not safe, in order within each job, to be sent first; counts begin anew.

        What tasks wrote comes before their ends.
        """
        self.lost()
        self._linked = self._listens = True
        written = self.withheld.take()
        for message in written:
            self._say(message)
        return [*written, *(message for line in self._waiting.values() for message in line)]

    def lost(self) -> None:
        """The link has ended: until `again` no count means anything."""
        self._kept.clear()
        self._heard.clear()
        self._linked = False
        written, self.said = self.said, {}
        for line in written.values():
            for message in line:
                self.withheld.add(message)

    def forget(self) -> None:
        """Another master's: nobody waits for these."""
        self.lost()
        self.withheld.forget()
        self._waiting.clear()

    def held(self, crew: Iterable[Held]) -> list[Held]:
        """What the crew holds, and the tasks whose Results are not safe: one a job."""
        jobs = {each.job: Held(each.job, each.codes, each.steps, list(each.tasks), each.values) for each in crew}
        for job, line in self._waiting.items():
            tasks = [(message.seq, message.attempt) for message in line if isinstance(message, Result)]
            if tasks:
                jobs.setdefault(job, Held(job, [], 0, [])).tasks.extend(tasks)
        return list(jobs.values())


def pieces(held: Iterable[Held]) -> list[bytes]:
    """Encoded batches, each small enough to be an argument of a verb; one at least.

    A job with very many tasks or codes is named several times: what is said of it adds up.
    """
    batches: list[bytes] = []
    batch: list[Held] = []
    room = PIECE_BYTES
    for each in _split(held):
        size = len(encode_batch([each]))
        if size > room and batch:
            batches.append(encode_batch(batch))
            batch, room = [], PIECE_BYTES
        batch.append(each)
        room -= size
    if batch or not batches:
        batches.append(encode_batch(batch))
    return batches


def _split(held: Iterable[Held]) -> Iterator[Held]:
    for each in held:
        codes, tasks, values = _runs(each.codes), _runs(each.tasks), _runs(each.values)
        if not (codes or tasks or values):
            yield Held(each.job, [], each.steps, [])
        for some_codes, some_tasks, some_values in zip_longest(codes, tasks, values, fillvalue=None):
            yield Held(each.job, some_codes or [], each.steps, some_tasks or [], some_values or [])


def _runs(items: list[_T]) -> list[list[_T]]:
    return [items[first : first + PIECE_ITEMS] for first in range(0, len(items), PIECE_ITEMS)]
