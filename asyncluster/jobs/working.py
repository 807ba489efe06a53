"""Which of the tasks that a node has it works at; the others were sent ahead, and wait there for a slot.

A node says so of tasks that take longer than a moment (`Started`).  Those come first; then the oldest, as long as there
are slots, which is how a node begins them.  Asked only by those who look, so nothing is kept up for it otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from asyncluster.jobs.book import NodeRecord, Share
from asyncluster.model.messages import Started

SPARE = 64
"""So many entries more than slots before a share's notes of begun tasks are sifted."""


def note_begun(share: Share, started: Started) -> None:
    """The node says that it works at this attempt of a task that it has.

    Where it did so before we heard of it, under a master that was killed, what it took until now is counted as well.
    """
    seq, attempt = started.seq, started.attempt
    if started.ran and share.begun.get(seq) != attempt:
        cores = share.job.codes[share.tasks[seq].code].need.cores
        share.job.allowance.before += started.ran * cores
    share.begun[seq] = attempt
    if len(share.begun) > share.node.slots + SPARE:
        share.begun = {seq: attempt for seq, attempt in share.begun.items() if _is_begun(share, seq)}


def at_work(node: NodeRecord) -> dict[Share, set[int]]:
    """The numbers of the tasks that the node works at, by its shares; with those that nobody wants any more."""
    shares = node.shares.values()
    if node.held <= node.slots:
        return {share: set(share.tasks) for share in shares}
    found = {share: {seq for seq in share.begun if _is_begun(share, seq)} for share in shares}
    free = node.slots - sum(_slots(share, seq) for share, seqs in found.items() for seq in seqs)
    for share, seqs in found.items():
        for seq in share.tasks:
            if seq in seqs:
                continue
            free -= _slots(share, seq)
            if free < 0:
                return found
            seqs.add(seq)
    return found


def cores_at_work(node: NodeRecord) -> Iterator[tuple[Share, int]]:
    """Cores that the tasks asked for which the node works at, by its shares; none of closed jobs, or while paused."""
    if node.user and node.way == "pause":
        return
    counted = None if any(share.job.special for share in node.shares.values()) else _count(node)
    if counted is not None:
        yield from counted.items()
        return
    for share, seqs in at_work(node).items():
        job = share.job
        if not share.closed:
            yield share, sum(job.codes[share.tasks[seq].code].need.cores for seq in seqs) if job.special else len(seqs)


def is_at_work(share: Share, seq: int) -> bool:
    """Whether the node of this share works at that task."""
    return seq in at_work(share.node)[share]


def count_at_work(nodes: Iterable[NodeRecord]) -> Counter[int]:
    """How many tasks these nodes work at that somebody wants, by job."""
    counts: Counter[int] = Counter()
    for node in nodes:
        if not node.held:
            continue
        counted = _count(node)
        if counted is None:
            counted = _count_one_by_one(node)
        for share, count in counted.items():
            counts[share.job.job] += count
    return counts


def _count(node: NodeRecord) -> dict[Share, int] | None:
    """How many of each share are at work; None where only a look at each task can tell."""
    shares = [share for share in node.shares.values() if share.tasks]
    if any(share.closed or share.ghosts for share in shares):
        return None
    if node.held <= node.slots:
        return {share: len(share.tasks) for share in shares}
    if any(share.job.special or len(share.begun) > node.slots for share in shares):
        return None
    if len(shares) == 1:
        return {shares[0]: min(node.slots, len(shares[0].tasks))}
    begun = {share: sum(_is_begun(share, seq) for seq in share.begun) for share in shares}
    free = max(0, node.slots - sum(begun.values()))
    for share in shares:
        more = min(free, len(share.tasks) - begun[share])
        begun[share] += more
        free -= more
    return begun


def _count_one_by_one(node: NodeRecord) -> dict[Share, int]:
    """Without those that nobody wants."""
    running = at_work(node).items()
    return {share: sum(share.job.running.get(seq) is share for seq in seqs) for share, seqs in running}


def _is_begun(share: Share, seq: int) -> bool:
    task = share.tasks.get(seq)
    return task is not None and task.attempt == share.begun[seq]


def _slots(share: Share, seq: int) -> int:
    return share.node.use(share.job.line(share.tasks[seq].code).room)[0]
