"""The sentences in which the board refuses, gives up or explains that a job is stuck: exactly one reason each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from asyncluster.jobs.book import JobRecord, NodeRecord, TaskLine
from asyncluster.jobs.placing import Room
from asyncluster.model.messages import Task
from asyncluster.units import count, format_duration, format_size

NAMED = 5  # nodes listed by name before "and N more"


def names(nodes: Collection[str]) -> str:
    """`a, b, c`, shortened where there are many."""
    listed = ", ".join(sorted(nodes)[:NAMED])
    return listed if len(nodes) <= NAMED else f"{listed} and {len(nodes) - NAMED} more"


def wrong_python(job: JobRecord | TaskLine, nodes: Collection[NodeRecord]) -> str:
    """Nobody here runs the Python that pickled the job's functions; both sides are named."""
    here: dict[str, list[str]] = {}
    for node in nodes:
        here.setdefault(node.python, []).append(node.name)
    others = "; ".join(f"{python}: {names(found)}" for python, found in sorted(here.items()))
    return f"the job's functions were pickled by Python {job.python}; the nodes run {others}"


def too_much(job: JobRecord | TaskLine, room: Room, nodes: Collection[NodeRecord]) -> tuple[str, tuple[str, ...]]:
    """What a task needs that none of these nodes has, even when it is empty, and the best there is.

    A sentence, and the fields of its `Need`.
    """
    able = [node for node in nodes if node.fits(job)]
    sizes: tuple[tuple[int, str, Callable[[NodeRecord], int], Callable[[int], str]], ...] = (
        (room.cores, "cores", lambda node: node.facts.cores, lambda cores: f"{cores:,}"),
        (room.memory, "memory", lambda node: node.facts.memory, _about),
        (room.gpus, "gpus", lambda node: node.facts.gpus, lambda gpus: f"{gpus:,}" if gpus else "none"),
    )
    for wanted, what, has, say in sizes:
        best = max(able, key=has)
        if wanted > has(best):
            amount = f"{format_size(wanted)} of memory" if what == "memory" else count(wanted, what.removesuffix("s"))
            return f"needs {amount}; the largest node, {best.name}, has {say(has(best))}", (what,)
    known = frozenset[str]().union(*(node.kind.features for node in able))
    missing = sorted(room.features - known)
    if missing:
        here = f"nodes here have {names(sorted(known))}" if known else "nodes here have none"
        return f"needs the {'feature' if len(missing) == 1 else 'features'} {', '.join(missing)}; {here}", ("features",)
    asked = {"cores": room.cores > 1, "memory": room.memory, "gpus": room.gpus, "features": room.features}
    text = f"needs {_all_of(room)} on one node; each is here, but no node has all of it"
    return text, tuple(name for name, value in asked.items() if value)


def _about(size: int) -> str:
    """Bytes, rounded down to a tenth of the largest unit."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size * 10 // (1 << power) / 10:g} {unit}"
    return f"{size} B"


def _all_of(room: Room) -> str:
    parts = [count(room.cores, "core")] if room.cores > 1 else []
    if room.memory:
        parts.append(f"{format_size(room.memory)} of memory")
    if room.gpus:
        parts.append(count(room.gpus, "gpu"))
    return ", ".join([*parts, *sorted(room.features)])


def bad_task(task: Task, job: JobRecord) -> str:
    """Why this task cannot be queued; "" when it can."""
    seq = task.seq
    if seq < 0:
        return f"task number {seq} is negative; tasks are numbered from 0"
    if task.code in job.faulty:
        return f"task {seq} asks for what cannot be: {job.faulty[task.code].need.fault()}"
    if task.code not in job.codes and job.code_refusal:
        return job.code_refusal
    if task.code not in job.codes:
        return f"task {seq} calls code {task.code}, which was never sent for job {job.job}"
    if job.alive(seq) or (job.after is not None and seq in job.after.waiting):
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


def stuck(line: TaskLine, nodes: Collection[NodeRecord]) -> str:
    """Why the tasks of this line will not run on the nodes that are here; "" when they will, or none waits."""
    if not line.tasks:
        return ""
    if line.paused and not line.record.paused:
        return f"job {line.job} is being cancelled; what came after that order waits until it is done"
    if line.paused:
        return f"job {line.job} is paused; `asyncluster job resume {line.job}` lets it go on"
    if line.allowance.bar:
        return line.allowance.bar
    if not nodes:
        return "no node is present"
    able = [node for node in nodes if node.takes(line)]
    if not able:
        return _no_fit(line, nodes)
    timely = [node for node in able if line.lasts <= node.left]
    if not timely:
        return _too_long(line, able)
    able = timely
    least = min(node.use(line.room)[0] for node in able)
    if least > (least if line.allowance.slots is None else line.allowance.slots):
        return line.allowance.why_not(least)
    if all(node.draining for node in able):
        return f"every node that fits is leaving: {names([node.name for node in able])}"
    if all(node.on_hold for node in able):
        return f"every node that fits is held: {names([node.name for node in able])}"
    if all(node.taken for node in able):
        return f"every node that fits is in use: {in_use(able)}"
    if not any(node.open for node in able):
        return f"every node that fits is leaving, held, in use or away: {names([node.name for node in able])}"
    return ""


def taken(node: NodeRecord) -> str:
    """Who uses a node, and what that means for tasks."""
    means = {
        "pause": "its tasks are paused until the session ends, and it gets no new ones",
        "return": "it has given its tasks back, and gets no new ones until the session ends",
        "nice": "its tasks run as modestly as can be until the session ends",
    }
    return f"{node.user} uses it: {means.get(node.way, 'its tasks go on')} (`when in use` in [client])"


def in_use(nodes: Collection[NodeRecord]) -> str:
    """`node a is in use by jane, node b by bob`, shortened where there are many."""
    taken = sorted((node for node in nodes if node.taken), key=lambda node: node.name)
    told = ", ".join(
        f"node {node.name}{'' if place else ' is in use'} by {node.user}" for place, node in enumerate(taken[:NAMED])
    )
    return told if len(taken) <= NAMED else f"{told} and {len(taken) - NAMED} more"


def _too_long(line: TaskLine, able: Collection[NodeRecord]) -> str:
    best = max(able, key=lambda node: node.left)
    left = format_duration(max(0, int(best.left)))
    return f"may take {format_duration(line.lasts)}; the node with the most time, {best.name}, ends itself in {left}"


def _no_fit(line: TaskLine, nodes: Collection[NodeRecord]) -> str:
    serving = [node for node in nodes if node.serves in ("*", line.owner)]
    if not serving:
        others = {node.serves for node in nodes}
        return f"no node serves {line.owner}; those present serve only {names(others)}"
    if line.room is not None and any(node.fits(line) for node in serving):
        return too_much(line, line.room, serving)[0]
    return wrong_python(line, serving)
