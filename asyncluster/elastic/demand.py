"""What waits, by kinds: jobs that differ in nothing a pool would care about are one kind, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from asyncluster.elastic.actions import Reason
from asyncluster.model.batch import BatchJob, BatchState, Chunk, queues_of

_NOT_READY: Mapping[BatchState, tuple[str, str]] = {
    BatchState.HELD: ("held", "is held: no node would help"),
    BatchState.BLOCKED: ("blocked", "waits for another job or for a date: no node would help yet"),
    BatchState.BROKEN: ("broken", "is in an error state of its scheduler: somebody has to look"),
}


@attrs.frozen
class Shape:
    """What decides where a job may run, but for its time."""

    queue: str
    account: str
    chunks: tuple[Chunk, ...]

    @property
    def alone(self) -> Chunk | None:
        """The chunk, of a job that needs one node; None = it needs several, or cores wherever they are."""
        return self.chunks[0] if len(self.chunks) == 1 and self.chunks[0].nodes == 1 else None


@attrs.define(eq=False)
class Kind:
    """Ready jobs that are alike.

    walltime: seconds, 0 = not said, or of no matter; first: the id of the first of them; count: of jobs in all;
    told: how many of them wait for which reason, in the order in which room was found.
    """

    shape: Shape
    walltime: float
    first: str
    submitted: float
    priority: float = 0.0
    count: int = 0
    told: list[tuple[int, Reason]] = attrs.Factory(list)


class Waiting(Mapping[str, Reason]):
    """Why each job waits, by its id; kinds: of those that are ready, to be told before anybody asks.

    The table is made when somebody does, as hardly any of tens of thousands of jobs is ever asked for.  That takes
    some ten milliseconds then: ask in a thread.  Only ids are kept, so that what a scheduler said need not be.
    """

    def __init__(self, jobs: Iterable[BatchJob], timed: bool) -> None:
        """Sort jobs into kinds; what is not ready is told so at once.  timed: some node's time is limited."""
        self._not_ready: dict[str, Reason] = {}
        self._ids: list[str] = []  # of what is ready
        self._of: list[Kind] = []  # beside them
        self._counts: dict[str, int] = {}  # of what stands for other than one job
        self._table: dict[str, Reason] | None = None
        self.kinds = self._sort(jobs, timed)

    def __getitem__(self, job: str) -> Reason:
        return self._all()[job]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def words(self) -> set[str]:
        """All that ready jobs ask nodes to bear."""
        return {word for kind in self.kinds for chunk in kind.shape.chunks for word in chunk.properties}

    def urgent(self, queues: tuple[str, ...] = ()) -> list[Kind]:
        """The kinds that wait in these queues, () = in any, the most urgent first; the others are told so."""
        served = [kind for kind in self.kinds if _counts(kind, queues)]
        return sorted(served, key=lambda kind: (-kind.priority, kind.submitted))

    def _all(self) -> dict[str, Reason]:
        if self._table is None:
            turns = {kind: _Turn(kind.told) for kind in self.kinds if len(kind.told) > 1}
            table = dict(self._not_ready)  # an array of which a part is ready stands in both
            for job, kind in zip(self._ids, self._of, strict=True):
                table[job] = turns[kind].take(self._counts.get(job, 1)) if kind in turns else kind.told[0][1]
            self._table = table
        return self._table

    def _sort(self, jobs: Iterable[BatchJob], timed: bool) -> list[Kind]:
        found: dict[tuple[object, ...], Kind] = {}
        shared: dict[tuple[BatchState, str], Reason] = {}
        ids, of, queued = self._ids, self._of, BatchState.QUEUED
        for job in jobs:
            if job.state is not queued:
                if job.state in _NOT_READY:
                    reason = shared.get((job.state, job.reason))
                    if reason is None:
                        reason = shared[job.state, job.reason] = _not_ready(job)
                    self._not_ready[job.id] = reason
                continue
            chunks = job.chunks
            key: tuple[object, ...]
            if len(chunks) == 1:  # by far the most; a tuple of plain values is hashed ten times as fast as a Chunk
                one = chunks[0]
                key = (job.queue, job.account, one.nodes, one.cores, one.memory, one.gpus, one.properties)
            else:
                key = (job.queue, job.account, chunks)
            if timed:
                key = (job.walltime, key)
            kind = found.get(key)
            if kind is None:
                shape = Shape(job.queue, job.account, chunks)
                kind = found[key] = Kind(shape, job.walltime if timed else 0.0, job.id, job.submitted, job.priority)
            ids.append(job.id)
            of.append(kind)
            kind.count += job.count
            if job.count != 1:
                self._counts[job.id] = job.count
            if job.priority > kind.priority:  # noqa: PLR1730 - `max` costs three times as much, for each of all jobs
                kind.priority = job.priority
        return list(found.values())


class _Turn:
    """Hands the reasons of a kind to its jobs, so many of each."""

    def __init__(self, told: list[tuple[int, Reason]]) -> None:
        self._told = iter(told)
        self._here, self._reason = next(self._told)

    def take(self, count: int) -> Reason:
        """The reason of what stands for so many jobs."""
        first, left = None, count
        while left > 0:
            if self._here <= 0:
                self._here, self._reason = next(self._told)
            used = min(left, self._here)
            left, self._here = left - used, self._here - used
            first = first or (used, self._reason)
        reason = self._reason
        if first is None or first[1] is reason:
            return reason
        text = f"{first[0]} of {count}: {first[1].text}; the last of them: {reason.text}"
        return Reason(reason.rule, text)


def _counts(kind: Kind, queues: tuple[str, ...]) -> bool:
    """Whether these jobs are in a queue that is looked after."""
    queue = kind.shape.queue
    if not queues or not queue or not set(queues_of(queue)).isdisjoint(queues):
        return True
    text = f"waits in queue {queue}, which is none of queue_to_monitor: {', '.join(queues)}"
    kind.told.append((kind.count, Reason("unmonitored", text)))
    return False


def _not_ready(job: BatchJob) -> Reason:
    rule, text = _NOT_READY[job.state]
    return Reason(rule, text + (f" ({job.reason})" if job.reason else ""))
