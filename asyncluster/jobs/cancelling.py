"""Tasks that nobody wants any more: taken out of the job, and whom that has to be told."""

from __future__ import annotations

from collections.abc import Iterable

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import JobRecord
from asyncluster.model.messages import Cancel, Outcome, Result


def cancel(job: JobRecord, backlog: Backlog, seqs: Iterable[int] | None, cut: bool, out: Outbox) -> int:
    """Answer CANCELLED those that are alive, all where None; how many that were.

    cut: nodes end those that run, also those that were cancelled before and that a node let go on.
    """
    running: dict[str, list[int]] = {}
    answers = out.client(job.job)
    before = len(answers)
    for seq in in_order(job, None) if seqs is None else dict.fromkeys(seqs):
        task = backlog.remove(job, seq)
        if task is None and job.after is not None:
            task = job.after.withdraw(seq)
        if task is None:
            share = job.running.pop(seq, None)
            if share is None:
                share = job.ghosts.get(seq) if cut else None
                if share is not None:
                    job.cut.add(seq)
                    running.setdefault(share.node.name, []).append(seq)
                continue
            task = share.tasks[seq]
            job.haunt(seq, share)
            if cut:
                job.cut.add(seq)
            running.setdefault(share.node.name, []).append(seq)
        job.losses.pop(seq, None)
        job.tries.pop(seq, None)
        answers.append(Result(job.job, seq, task.attempt, Outcome.CANCELLED, b""))
    backlog.tidy(job)
    for name, gone in running.items():
        out.node(name).append(Cancel(job.job, gone, cut))
    count = len(answers) - before
    job.cancelled += count
    return count


def in_order(job: JobRecord, seqs: Iterable[int] | None) -> list[int]:
    """These, or those that have not ended and those that a node is not rid of; each once.

    What waits for others comes first, the last of it foremost: cancelled in slices, none fails since another one was
    cancelled before it.
    """
    waiting = () if job.after is None else job.after.waiting
    if seqs is None:
        return [*sorted(waiting, reverse=True), *job.running, *job.ghosts, *job.queued_numbers()]
    numbers = dict.fromkeys(seqs)
    first = sorted((seq for seq in numbers if seq in waiting), reverse=True)
    return first + [seq for seq in numbers if seq not in waiting] if first else list(numbers)
