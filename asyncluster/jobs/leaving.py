"""What follows when a node leaves, or is to have nothing more for now."""

from __future__ import annotations

from collections.abc import Iterable

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import Counters, JobRecord, NodeRecord, Share
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.settle import finish_steps, lose, put_back
from asyncluster.jobs.stepping import end_steps
from asyncluster.model.messages import EVERYTHING, Cancel, Recall

YIELDING = ("pause", "return")
"""Ways in which a node at which somebody sits gets nothing new."""


def leave(
    node: NodeRecord,
    reason: str,
    jobs: Iterable[JobRecord],
    backlog: Backlog,
    dispatcher: Dispatcher,
    counters: Counters,
) -> Outbox:
    """The node is gone with all it had: that is queued again, and no step waits for it."""
    dispatcher.forget(node)
    out = Outbox()
    for pace, slots in node.kinds.items():
        pace.allowance.used -= slots
    for share in node.shares.values():
        _abandon(share, reason, backlog, dispatcher, counters, out)
    dispatcher.stir()  # an owner who had too much here may have something elsewhere
    for job in jobs:
        for waiting in job.awaiting.values():
            waiting.discard(node.name)
        finish_steps(job, out)
    return out


def _abandon(
    share: Share, reason: str, backlog: Backlog, dispatcher: Dispatcher, counters: Counters, out: Outbox
) -> None:
    job, node = share.job, share.node
    job.shares.pop(node.name, None)
    alive = [task for seq, task in share.tasks.items() if job.running.pop(seq, None) is not None]
    for seq in share.tasks if job.ghosts else ():
        job.lay(seq)
    if not node.draining:
        counters.lost += len(alive)
        alive = lose(job, alive, f"node {node.name}: {reason}", counters, out)
    put_back(backlog, dispatcher, job, alive)
    out.client(job.job)  # the board is to look at it, even if nothing is said there yet


def hold(node: NodeRecord, held: bool, dispatcher: Dispatcher) -> Outbox:
    """It gets nothing more, and gives back what it has not begun; or it gets work again."""
    out = Outbox()
    if node.on_hold == held:
        return out
    node.on_hold = held
    if not held:
        dispatcher.settle(node)
        return out
    dispatcher.forget(node)
    if node.held and not node.away:
        out.node(node.name).append(Recall(EVERYTHING))
    return out


def vacate(node: NodeRecord, dispatcher: Dispatcher) -> Outbox:
    """Hold it, and have what it has begun end there; those tasks are queued again, free of charge, as it says so."""
    out = hold(node, True, dispatcher)
    _vacate(node, out)
    return out


def _vacate(node: NodeRecord, out: Outbox) -> None:
    for share in node.shares.values():
        seqs = [seq for seq in share.tasks if share.job.running.get(seq) is share]
        node.vacating.update((share.job.job, seq, share.tasks[seq].attempt) for seq in seqs)
    cut(node, out)
    if not node.away:
        end_steps(node, [share.job for share in node.shares.values() if not share.closed], out)


def occupy(node: NodeRecord, user: str, way: str, dispatcher: Dispatcher) -> Outbox:
    """Somebody sits down there, or ("") has gone: the node may have to give back what it has, or gets work again."""
    out = Outbox()
    was = node.taken
    node.user, node.way = user, way if user else ""
    node.taken = node.way in YIELDING
    if was and not node.taken:
        dispatcher.settle(node)
    if node.taken and not was:
        dispatcher.forget(node)
        if not node.away:
            if node.held:
                out.node(node.name).append(Recall(EVERYTHING))
            if way == "return":
                _vacate(node, out)
    return out


def cut(node: NodeRecord, out: Outbox) -> None:
    """Tell the node to end what it is to be rid of; one that is away hears of it when it is back."""
    by_job: dict[int, list[int]] = {}
    for job, seq, attempt in sorted(node.vacating):
        share = node.shares.get(job)
        task = None if share is None else share.tasks.get(seq)
        if task is not None and task.attempt == attempt:
            by_job.setdefault(job, []).append(seq)
    if not node.away:
        for job, seqs in by_job.items():
            out.node(node.name).append(Cancel(job, seqs, True))
