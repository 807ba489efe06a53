"""Why a task is where it is: exactly one reason for each, as data and as a sentence.

The first cause that holds is the one that is told: what nobody here can mend by waiting comes before what time
will mend, and the job's own state before that of the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice

import attrs

from asyncluster.jobs import reasons
from asyncluster.jobs.book import JobRecord, NodeRecord, TaskLine
from asyncluster.jobs.placing import beside, times
from asyncluster.jobs.working import is_at_work
from asyncluster.model.messages import Outcome, Result
from asyncluster.model.refusal import read
from asyncluster.units import format_size

MOST_NAMED = 10  # of the tasks that one waits for
MOST_COUNTED = 100_000  # tasks before one in its line, beyond which it is only said that there are more


@attrs.frozen
class Explanation:
    """A task's state, and the sentence that says why.

    state: "waiting" (for other tasks), "queued", "running", "done", "failed", "cancelled" (a node may not be rid of it
    yet) or "unknown".  node: the one that has it, "" where none has.
    """

    state: str
    reason: str
    node: str = ""


def explain(job: JobRecord, seq: int, nodes: Collection[NodeRecord], top: int | None) -> Explanation:
    """Of one task.  top: the highest priority at which anything is queued."""
    share = job.running.get(seq)
    if share is not None:
        name, attempt = share.node.name, share.tasks[seq].attempt
        if is_at_work(share, seq):
            stopped = share.node.user if share.node.way == "pause" else ""
            paused = f"; it is paused there while {stopped} uses that machine" if stopped else ""
            return Explanation("running", f"node {name} has it, as attempt {attempt}{paused}", name)
        return Explanation("queued", f"node {name} was sent it ahead, and begins it when a slot there is free", name)
    for line in job.lines.values():
        if seq in line.tasks:
            return Explanation("queued", why_waiting(line, nodes, top, _before(line, seq)))
    missing = () if job.after is None else job.after.waits_for(seq)
    if missing:
        return Explanation("waiting", _for_tasks(missing))
    if seq in job.ghosts:
        return Explanation("cancelled", "it was cancelled; a node has not answered for it yet")
    return Explanation("unknown", f"job {job.job} has no task {seq} that is not over")


def explain_end(result: Result) -> Explanation:
    """Of a task that is over, as far as its client was told."""
    if result.outcome in (Outcome.VALUE, Outcome.STAYS):
        return Explanation("done", "it gave a value")
    if result.outcome == Outcome.CANCELLED:
        return Explanation("cancelled", "it was cancelled")
    if result.outcome == Outcome.EXCEPTION:
        return Explanation("failed", "it raised an exception, which its owner can read")
    return Explanation("failed", read(result.payload)[0])


def why_waiting(line: TaskLine, nodes: Collection[NodeRecord], top: int | None, before: int = 0) -> str:
    """Why the tasks of this line wait, or one of them that has so many before it; "" when none does."""
    if not line.tasks:
        return ""
    if text := reasons.stuck(line, nodes):
        return text
    if line.reserved is not None and not _lacks_a_slot_only(line, line.reserved):
        return _emptied(line, line.reserved) + _behind(before)
    able = [node for node in nodes if node.takes(line) and node.open and line.lasts <= node.left]
    allowance = line.allowance
    if allowance.slots is not None:
        least = min(node.use(line.room)[0] for node in able)
        if text := allowance.why_not(max(least, allowance.short)):
            return text + _behind(before)
    if any(_has_room(node, line) for node in able):
        return "its turn comes at the next dispatch" + _behind(before)
    if top is not None and top > line.priority:
        return f"jobs of priority {top} go first; this one has {line.priority}"
    others = [node for node in able if node.reserved is not None and times(node.free, node.use(line.room))]
    if others:
        kept = others[0].reserved
        assert kept is not None
        return f"node {others[0].name} is being emptied for a larger task, of job {kept.job}" + _behind(before)
    used = not line.bulky or all(node.free[0] <= 0 for node in able)
    what = "slots that fit are in use" if used else "slots that fit are too full for it"
    slots = sum(node.slots for node in able)
    taken = reasons.in_use([node for node in nodes if node.takes(line)])
    beside_them = f"; {taken}" if taken else ""
    return f"all {slots} {what}, on {reasons.names([node.name for node in able])}{beside_them}" + _behind(before)


def _for_tasks(missing: tuple[int, ...]) -> str:
    named = ", ".join(map(str, missing[:MOST_NAMED]))
    rest = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
    return f"it waits for task{'' if len(missing) == 1 else 's'} {named}{rest} of its job"


def _has_room(node: NodeRecord, line: TaskLine) -> bool:
    free = node.free
    if node.reserved is not None and node.reserved.priority >= line.priority:
        free = beside(free, node.use(node.reserved.room))
    return times(free, node.use(line.room)) > 0


def _lacks_a_slot_only(line: TaskLine, node: NodeRecord) -> bool:
    """Whether a node that is kept for it has all but the one slot that every task needs: then it waits as any does."""
    slots, *others = zip(node.free, node.use(line.room), strict=True)
    return slots[1] == 1 and slots[0] < 1 and all(have >= want for have, want in others)


def _emptied(line: TaskLine, node: NodeRecord) -> str:
    free, use = node.free, node.use(line.room)
    said: tuple[tuple[str, Callable[[int], str]], ...] = (("slots", str), ("memory", format_size), ("gpus", str))
    short = [
        f"{say(max(0, have))} of {say(want)} {what}"
        for have, want, (what, say) in zip(free, use, said, strict=True)
        if have < want
    ]
    return f"node {node.name} is being emptied for it: {', '.join(short) or 'all that it needs'} free so far"


def _before(line: TaskLine, seq: int) -> int:
    for index, each in enumerate(islice(line.tasks, MOST_COUNTED)):
        if each == seq:
            return index
    return MOST_COUNTED


def _behind(before: int) -> str:
    if not before:
        return ""
    many = f"more than {before:,}" if before == MOST_COUNTED else f"{before:,}"
    return f"; {many} of its job {'is' if before == 1 else 'are'} before it"
