"""What becomes of a task whose attempt ended without an answer: once more, or given up."""

from __future__ import annotations

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import NoteLoss, Outbox
from asyncluster.jobs.book import Counters, JobRecord
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.queue import Queue
from asyncluster.model.messages import Outcome, Result, Task


def lose(job: JobRecord, tasks: list[Task], how: str, counters: Counters, out: Outbox) -> list[Task]:
    """Note one more loss of each; those lost too often are answered LOST, the others come back."""
    again = []
    for task in tasks:
        losses = job.losses.setdefault(task.seq, [])
        reasons.add_loss(losses, f"attempt {task.attempt} on {how}")
        if len(losses) < job.spec.crash_limit:
            out.losses.append(NoteLoss(job.job, task.seq, losses[-1]))
            again.append(task)
            continue
        del job.losses[task.seq]
        text = reasons.given_up(losses).encode()
        out.client(job.job).append(Result(job.job, task.seq, task.attempt, Outcome.LOST, text))
        job.failed += 1
        counters.failed += 1
    return again


def put_back(queue: Queue[JobRecord], dispatcher: Dispatcher, job: JobRecord, tasks: list[Task]) -> None:
    """To the front of the job's line, in this order."""
    if job.after is not None:
        tasks = job.after.may_queue(tasks)
    if tasks:
        queue.put_back(job, tasks)
        dispatcher.stir()
