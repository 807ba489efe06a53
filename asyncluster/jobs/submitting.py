"""Which of the tasks that a client sends can be queued, and in which sentence the others are refused.

Busy: what is sound is told without looking at one task after the other in Python.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import Action, ToClient
from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.book import JobRecord, NodeRecord
from asyncluster.jobs.placing import Kinds, room_of
from asyncluster.model.messages import Outcome, Result, Task
from asyncluster.model.refusal import QUEUED, unmet

Refused = list[tuple[Task, str]]


def sift(
    job: JobRecord, tasks: list[Task], kinds: Kinds, nodes: Collection[NodeRecord]
) -> tuple[dict[int, Task], Refused]:
    """The good ones by number, and the others with their sentences."""
    fresh = {task.seq: task for task in tasks}
    refused: Refused = []
    if not _sound(job, tasks, fresh):
        fresh, refused = _apart(job, tasks)
    if job.special or (job.python and kinds.lack(job.python)):
        hopeless = _hopeless(job, {task.code for task in fresh.values()}, kinds, nodes)
        if hopeless:
            refused += [(task, hopeless[task.code]) for task in fresh.values() if task.code in hopeless]
            fresh = {seq: task for seq, task in fresh.items() if task.code not in hopeless}
    if job.allowance.queued is not None:
        fresh, more = _within(job.allowance, fresh)
        refused += more
    return fresh, refused


def _within(allowance: Allowance, fresh: dict[int, Task]) -> tuple[dict[int, Task], Refused]:
    """The first of them, as many as the owner may queue, and the others."""
    waiting = allowance.waiting
    room = max(0, (allowance.queued or 0) - waiting)
    if len(fresh) <= room:
        return fresh, []
    text = unmet(allowance.too_many(waiting + room), (QUEUED,))
    tasks = list(fresh.values())
    return {task.seq: task for task in tasks[:room]}, [(task, text) for task in tasks[room:]]


def refuse(job: int, refused: Iterable[tuple[Task, str]]) -> list[Action]:
    """Answer tasks that were never queued."""
    return [ToClient(job, [refusal(job, task, text) for task, text in refused])]


def refusal(job: int, task: Task, text: str) -> Result:
    """The answer to one of them."""
    return Result(job, task.seq, 0, Outcome.REFUSED, text.encode())


def _sound(job: JobRecord, tasks: list[Task], fresh: dict[int, Task]) -> bool:
    queued = job.tasks if job.special else job.plain.tasks
    return (
        len(fresh) == len(tasks)
        and {task.code for task in tasks} <= job.codes.keys()
        and min(fresh, default=0) >= 0
        # this way round: the argument is what is walked, and it must be the batch, not the million queued
        and queued.keys().isdisjoint(fresh)
        and job.running.keys().isdisjoint(fresh)
        and job.ghosts.keys().isdisjoint(fresh)
        and (job.after is None or job.after.waiting.keys().isdisjoint(fresh))
    )


def _apart(job: JobRecord, tasks: list[Task]) -> tuple[dict[int, Task], Refused]:
    good: dict[int, Task] = {}
    bad: Refused = []
    for task in tasks:
        text = reasons.bad_task(task, job)
        if not text and task.seq in good:
            text = f"task {task.seq} of job {job.job} came twice"
        if text:
            bad.append((task, text))
        else:
            good[task.seq] = task
    return good, bad


def _hopeless(job: JobRecord, codes: Iterable[int], kinds: Kinds, nodes: Collection[NodeRecord]) -> dict[int, str]:
    """Codes that none of the nodes that are here can ever run, and why; without those that rather wait."""
    texts = {}
    for code in codes:
        need = job.codes[code].need
        if need.wait:
            continue
        room = room_of(need)
        if kinds.lack(job.python):
            texts[code] = reasons.wrong_python(job, nodes)
        elif room is not None and kinds.cannot(job.owner, job.python, room):
            text, needs = reasons.too_much(job, room, nodes)
            text += "; ask for less, or let it wait for such a node (--patient; wait=True in Python)"
            texts[code] = unmet(text, needs)
    return texts
