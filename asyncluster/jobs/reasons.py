"""The sentences in which the board refuses, gives up or explains a wait: exactly one reason each."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asyncluster.jobs.book import JobRecord, NodeRecord
from asyncluster.model.messages import Task

NAMED = 5  # nodes listed by name before "and N more"


def names(nodes: Collection[str]) -> str:
    """`a, b, c`, shortened where there are many."""
    listed = ", ".join(sorted(nodes)[:NAMED])
    return listed if len(nodes) <= NAMED else f"{listed} and {len(nodes) - NAMED} more"


def wrong_python(job: JobRecord, nodes: Collection[NodeRecord]) -> str:
    """Nobody here runs the Python that pickled the job's functions; both sides are named."""
    here: dict[str, list[str]] = {}
    for node in nodes:
        here.setdefault(node.python, []).append(node.name)
    others = "; ".join(f"{python}: {names(found)}" for python, found in sorted(here.items()))
    return f"the job's functions were pickled by Python {job.python}; the nodes run {others}"


def bad_task(task: Task, job: JobRecord) -> str:
    """Why this task cannot be queued; "" when it can."""
    seq = task.seq
    if seq < 0:
        return f"task number {seq} is negative; tasks are numbered from 0"
    if task.code not in job.codes and job.code_refusal:
        return job.code_refusal
    if task.code not in job.codes:
        return f"task {seq} calls code {task.code}, which was never sent for job {job.job}"
    if seq in job.tasks or seq in job.running:
        return f"task {seq} of job {job.job} exists already; a number is free again once its result has come"
    if seq in job.ghosts:
        return f"task {seq} of job {job.job} was cancelled, but a node is still busy with it; use another number"
    return ""


def no_job(job: int) -> str:
    """For orders that bear the number of no open job."""
    return f"job {job} is not open; it was closed or never existed"


def given_up(losses: Sequence[str]) -> str:
    """What is told of a task that was lost too often; `losses` as `add_loss` left them."""
    times = "once" if len(losses) == 1 else f"{len(losses)} times"
    return "\n".join([f"lost {times}; it is not tried again:", *(f"  {loss}" for loss in losses)])


def add_loss(losses: list[str], loss: str) -> None:
    """Note one more; only the newest keeps what its worker wrote last (a stack, say), those before it are one line."""
    losses[:] = [*map(_line, losses), loss]


def _line(loss: str) -> str:
    line, more, _ = loss.partition("\n")
    # "…; the last it wrote to stderr:" introduces what goes
    return line.rpartition("; ")[0] if more and line.endswith(":") and "; " in line else line


def stuck(job: JobRecord, nodes: Collection[NodeRecord]) -> str:
    """Why the tasks of this job will not run on the nodes that are here; "" when they will, or none waits."""
    if not job.tasks:
        return ""
    if not nodes:
        return "no node is present"
    fitting = [node for node in nodes if node.fits(job)]
    if not fitting:
        return _no_fit(job, nodes)
    if all(node.draining for node in fitting):
        return f"every node that fits is leaving: {names([node.name for node in fitting])}"
    if not any(node.open for node in fitting):
        return f"every node that fits is leaving or away: {names([node.name for node in fitting])}"
    return ""


def wait(job: JobRecord, nodes: Collection[NodeRecord], top: int | None) -> str:
    """Why the tasks of this job wait; "" when none does.

    top: the highest priority at which anything is queued.
    """
    if not job.tasks:
        return ""
    if text := stuck(job, nodes):
        return text
    free = [node for node in nodes if node.fits(job) and node.open]
    if all(node.held >= node.slots for node in free):
        if top is not None and top > job.priority:
            return f"jobs of priority {top} go first; this one has {job.priority}"
        slots = sum(node.slots for node in free)
        return f"all {slots} slots that fit are in use, on {names([node.name for node in free])}"
    return "its turn comes at the next dispatch"


def _no_fit(job: JobRecord, nodes: Collection[NodeRecord]) -> str:
    serving = [node for node in nodes if node.serves in ("*", job.owner)]
    if not serving:
        others = {node.serves for node in nodes}
        return f"no node serves {job.owner}; those present serve only {names(others)}"
    return wrong_python(job, serving)
