"""What waits, by kinds: jobs that differ in nothing a pool would care about are one kind, however many they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


@attrs.frozen
class Waiting:
    """Jobs by kinds.  jobs: as the queue has them; of: beside each its kind, None = it is not ready."""

    jobs: Sequence[BatchJob]
    of: list[Kind | None]
    kinds: list[Kind]

    def urgent(self, queues: tuple[str, ...] = ()) -> list[Kind]:
        """The kinds that wait in these queues, () = in any, the most urgent first; the others are told so."""
        served = [kind for kind in self.kinds if _counts(kind, queues)]
        return sorted(served, key=lambda kind: (-kind.priority, kind.submitted))

    def tell(self, reasons: dict[str, Reason]) -> None:
        """Give each ready job its reason, once its kind has been told of all of them."""
        turns = {kind: _Turn(kind.told) for kind in self.kinds if len(kind.told) > 1}
        for job, kind in zip(self.jobs, self.of, strict=True):
            if kind is not None:
                told = kind.told
                reasons[job.id] = told[0][1] if len(told) == 1 else turns[kind].take(job.count)


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


def waiting(jobs: Sequence[BatchJob], timed: bool, reasons: dict[str, Reason]) -> Waiting:
    """Sort jobs into kinds; what is not ready gets its reason at once.  timed: some node's time is limited."""
    found: dict[tuple[object, ...], Kind] = {}
    shared: dict[tuple[BatchState, str], Reason] = {}
    of: list[Kind | None] = []
    queued = BatchState.QUEUED
    for job in jobs:
        if job.state is not queued:
            if job.state in _NOT_READY:
                reason = shared.get((job.state, job.reason))
                if reason is None:
                    reason = shared[job.state, job.reason] = _not_ready(job)
                reasons[job.id] = reason
            of.append(None)
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
        kind.count += job.count
        if job.priority > kind.priority:  # noqa: PLR1730 - `max` costs three times as much, for each of all jobs
            kind.priority = job.priority
        of.append(kind)
    return Waiting(jobs, of, list(found.values()))


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
