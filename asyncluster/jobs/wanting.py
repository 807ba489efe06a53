"""What our own queue wants of whoever provides nodes: the board, in the words of a batch system.

Tasks of one job that need the same are one batch job with a count, so a million of them are one value.  A node's
cores are its slots here: a task of one core takes a slot, however many cores that stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from asyncluster.jobs.book import JobRecord, NodeRecord, TaskLine
from asyncluster.jobs.placing import room_of
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand


def demand(jobs: Iterable[JobRecord], nodes: Iterable[NodeRecord], now: float) -> Demand:
    """All that waits and all nodes; now: seconds of the steady clock."""
    waiting = tuple(each for job in jobs for each in _waiting(job))
    return Demand(waiting, tuple(map(_node, nodes)), now)


def line_id(line: TaskLine) -> str:
    """The batch job that stands for the waiting tasks of a line, as it is told in reasons."""
    return str(line.job) if line.room is None else f"{line.job}/{list(line.record.lines).index(line.room)}"


def may_be_wanted(line: TaskLine) -> bool:
    """Whether more nodes would help the tasks of a line."""
    return not (line.paused or _why_held(line))


def _why_held(line: TaskLine) -> str:
    """Why no task of it would be given out, whatever nodes there were."""
    return "the job is paused" if line.paused else line.allowance.why_not(max(1, line.allowance.short))


def _waiting(job: JobRecord) -> Iterator[BatchJob]:
    for line in job.lines.values():
        if line.tasks:
            yield _batch_job(job, line)
    if job.after is not None and job.after.waiting:
        yield BatchJob(
            f"{job.job}/after",
            BatchState.BLOCKED,
            count=len(job.after.waiting),
            owner=job.owner,
            name=job.spec.name,
            priority=job.priority,
            reason="they wait for other tasks",
        )


def _batch_job(job: JobRecord, line: TaskLine) -> BatchJob:
    room = line.room
    held = _why_held(line)
    chunk = Chunk() if room is None else Chunk(1, room.cores, room.memory, room.gpus, tuple(sorted(room.features)))
    return BatchJob(
        line_id(line),
        BatchState.HELD if held else BatchState.QUEUED,
        (chunk,),
        count=len(line.tasks) if held else max(1, min(len(line.tasks), line.allowance.left)),
        owner=job.owner,
        name=job.spec.name,
        priority=job.priority,
        walltime=_longest(job, line),
        reason=held,
    )


def _longest(job: JobRecord, line: TaskLine) -> float:
    """Seconds that a task of the line may run at most, by what it may call; 0 where one of those has no limit."""
    limits = [code.need.time_limit for code in job.codes.values() if room_of(code.need) == line.room]
    return max(limits, default=0.0) if all(limits) else 0.0


def _node(node: NodeRecord) -> BatchNode:
    facts = node.facts
    return BatchNode(
        node.name,
        node.state,
        cores=node.slots,
        used=min(max(node.held, 0), node.slots),
        memory=facts.memory,
        memory_used=node.memory,
        gpus=facts.gpus,
        gpus_used=node.gpus,
        jobs=tuple(str(number) for number, share in node.shares.items() if share.tasks),
        properties=facts.features,
        said="its link is broken" if node.away else "",
    )
