"""A node is there again after its link broke, or after the master was started anew: what it has against our book.

Both sides may be behind: orders were on the way to the node when the link broke, and a master that was
killed remembers which tasks exist, but not who has them.  The node's word counts for what it has, the book's for
what is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import JobRecord, NodeRecord, Share
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.settle import put_back
from asyncluster.model.messages import Cancel, Forget, Held, Task


class Returning:
    """Brings the shares of one node in line with what it holds."""

    def __init__(self, node: NodeRecord, backlog: Backlog, dispatcher: Dispatcher, out: Outbox) -> None:
        self._node, self._backlog, self._dispatcher, self._out = node, backlog, dispatcher, out

    def agree(self, job: JobRecord, held: Held) -> None:
        """The node has this of an open job.  Tasks that did not reach it are queued again, free of charge."""
        share = self._node.shares.get(job.job)
        if share is None:
            share = self._node.shares[job.job] = job.shares[self._node.name] = Share(self._node, job)
        share.codes = job.codes.keys() & set(held.codes)
        # A step of which we still wait to hear comes again: the node may have told a master that was killed.
        awaited = [step for step, names in job.awaiting.items() if self._node.name in names]
        share.steps = min([held.steps, len(job.steps), *awaited])
        self._take_back(share, _absent(share, held))
        for seq, attempt in sorted(held.tasks, reverse=True):  # of several attempts the newest is the better one
            self._claim(share, seq, attempt)
        self._backlog.tidy(job)
        if job.after is not None:
            job.after.agree(share, held.values, self._out.node(self._node.name))
        elif held.values:
            self._out.node(self._node.name).append(Forget(job.job, held.values))
        # A task that another node has meanwhile is left to run out here: cancelling it would name both attempts.
        # So is one of which we have not heard, as its client will say it again: it was not written down in time.
        over = sorted({seq for seq, _ in held.tasks if seq not in job.running and seq <= job.highest})
        self._cancel_again(job, over)

    def _cancel_again(self, job: JobRecord, over: list[int]) -> None:
        """The order may have been lost with the link: those that may go on to their end still may."""
        let = [seq for seq in over if seq in job.ghosts and seq not in job.cut]
        ended = [seq for seq in over if seq in job.cut]
        # of these nobody here knows how they were cancelled, if they were; the node may
        unknown = [seq for seq in over if seq not in job.ghosts]
        for each in (Cancel(job.job, let), Cancel(job.job, ended, True), Cancel(job.job, unknown, True, True)):
            if each.seqs:
                self._out.node(self._node.name).append(each)

    def keep(self, share: Share, held: Held) -> None:
        """The job was closed meanwhile: what the node has of it takes room there until it answers."""
        self._take_back(share, _absent(share, held))
        self._node.tidy(share)

    def forgotten(self, share: Share) -> None:
        """The node knows nothing of that job: what it was to have of it never came."""
        self._take_back(share, set(share.tasks))
        del self._node.shares[share.job.job]
        share.job.shares.pop(self._node.name, None)

    def _take_back(self, share: Share, seqs: set[int]) -> None:
        job, again = share.job, []
        for seq in sorted(seqs):
            task = share.tasks.pop(seq)
            self._node.let_go(job.paces[task.code], 1)
            if job.running.pop(seq, None) is not None:
                again.append(task)
            else:
                job.lay(seq)
        put_back(self._backlog, self._dispatcher, job, again)
        self._out.client(job.job)  # there may be something to be said of what depends on others

    def _claim(self, share: Share, seq: int, attempt: int) -> None:
        """A task that is queued here becomes the node's again."""
        job = share.job
        task: Task | None = self._backlog.remove(job, seq)
        if task is None and job.after is not None:
            task = job.after.withdraw(seq)
        if task is not None:
            task.attempt = attempt
            share.tasks[seq] = task
            job.running[seq] = share
            self._node.hold(job.paces[task.code], 1)


def _absent(share: Share, held: Held) -> set[int]:
    """Which attempts of the share the node does not have."""
    has = {tuple(pair) for pair in held.tasks}
    return {seq for seq, task in share.tasks.items() if (seq, task.attempt) not in has}


def add_up(held: Iterable[Held]) -> dict[int, Held]:
    """By job; a node with very much of one names it several times."""
    told: dict[int, Held] = {}
    for each in held:
        known = told.setdefault(each.job, Held(each.job, [], each.steps, []))
        known.codes += each.codes
        known.tasks += each.tasks
        known.values += each.values
    return told
