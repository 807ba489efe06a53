"""What becomes of a task whose attempt ended without a value: once more, or given up.

Losses are counted against the job's `crash_limit`, exceptions and limits against the `retries` of what was called.
"""

from __future__ import annotations

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import NoteLoss, NoteTried, Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import Counters, JobRecord
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.model.messages import Outcome, Result, StepDone, Task


def lose(job: JobRecord, tasks: list[Task], how: str, counters: Counters, out: Outbox) -> list[Task]:
    """Note one more loss of each; those lost too often are answered LOST, the others come back."""
    again = []
    for task in tasks:
        losses = job.losses.setdefault(task.seq, [])
        reasons.add_loss(losses, f"attempt {task.attempt} on {how}")
        if len(losses) < job.spec.crash_limit:
            out.notes.append(NoteLoss(job.job, task.seq, losses[-1]))
            again.append(task)
            continue
        del job.losses[task.seq]
        job.tries.pop(task.seq, None)
        text = reasons.given_up(losses).encode()
        out.client(job.job).append(Result(job.job, task.seq, task.attempt, Outcome.LOST, text))
        job.failed += 1
        counters.failed += 1
    return again


def try_again(job: JobRecord, task: Task, how: str) -> NoteTried | None:
    """Charge an attempt that raised or went over a limit; None when the task has no retries left."""
    tried = job.tries.get(task.seq, 0)
    if tried >= job.codes[task.code].need.retries:
        return None
    job.tries[task.seq] = tried + 1
    return NoteTried(job.job, task.seq, f"attempt {task.attempt} on {how}")


def put_back(backlog: Backlog, dispatcher: Dispatcher, job: JobRecord, tasks: list[Task]) -> None:
    """To the front of the job's lines, in this order."""
    if job.after is not None:
        tasks = job.after.may_queue(tasks)
    if tasks:
        backlog.put_back(job, tasks)
        dispatcher.stir()


def finish_steps(job: JobRecord, out: Outbox) -> None:
    """Tell the client of each step that nobody is waited for any more."""
    for step in [step for step, waiting in job.awaiting.items() if not waiting]:
        del job.awaiting[step]
        out.client(job.job).append(StepDone(job.job, step, "", ""))
