"""What waits, by kinds: jobs that differ in nothing a pool would care about are one kind, however many they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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

    walltime: seconds, 0 = not said, or of no matter; ids: of the jobs; counts: beside them, how many each stands for.
    """

    shape: Shape
    walltime: float
    ids: list[str] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    priority: float = 0.0
    submitted: float = 0.0

    @property
    def count(self) -> int:
        """Of jobs in all."""
        return sum(self.counts)


def kinds(
    jobs: Iterable[BatchJob], timed: bool, reasons: dict[str, Reason], queues: tuple[str, ...] = ()
) -> list[Kind]:
    """The kinds of ready jobs, the most urgent first; what is not ready gets its reason at once.

    timed: some node's time is limited, so that walltimes matter; queues: whose jobs count, () = all.
    """
    shapes: dict[tuple[object, ...], Shape] = {}
    found: dict[tuple[object, ...], Kind] = {}
    shared: dict[tuple[BatchState, str], Reason] = {}
    queued = BatchState.QUEUED
    for job in jobs:
        if job.state is not queued:
            if job.state in _NOT_READY:
                reason = shared.get((job.state, job.reason))
                if reason is None:
                    reason = shared[job.state, job.reason] = _not_ready(job)
                reasons[job.id] = reason
            continue
        chunks, walltime = job.chunks, job.walltime if timed else 0.0
        if len(chunks) == 1:  # by far the most; a tuple of plain values is hashed ten times as fast as a Chunk
            one = chunks[0]
            key: tuple[object, ...] = (
                walltime, job.queue, job.account, one.nodes, one.cores, one.memory, one.gpus, one.properties,
            )  # fmt: skip
        else:
            key = (walltime, job.queue, job.account, chunks)
        kind = found.get(key)
        if kind is None:
            shape = shapes.get(key[1:])
            if shape is None:
                shape = shapes[key[1:]] = Shape(job.queue, job.account, chunks)
            kind = found[key] = Kind(shape, walltime, priority=job.priority, submitted=job.submitted)
        kind.ids.append(job.id)
        kind.counts.append(job.count)
        if job.priority > kind.priority:  # noqa: PLR1730 - `max` costs three times as much, for each of all jobs
            kind.priority = job.priority
    served = [kind for kind in found.values() if _counts(kind, queues, reasons)]
    return sorted(served, key=lambda kind: (-kind.priority, kind.submitted))


def _counts(kind: Kind, queues: tuple[str, ...], reasons: dict[str, Reason]) -> bool:
    """Whether these jobs are in a queue that is looked after; the reason where not."""
    queue = kind.shape.queue
    if not queues or not queue or not set(queues_of(queue)).isdisjoint(queues):
        return True
    reason = Reason("unmonitored", f"waits in queue {queue}, which is none of queue_to_monitor: {', '.join(queues)}")
    reasons.update(dict.fromkeys(kind.ids, reason))
    return False


def _not_ready(job: BatchJob) -> Reason:
    rule, text = _NOT_READY[job.state]
    return Reason(rule, text + (f" ({job.reason})" if job.reason else ""))
