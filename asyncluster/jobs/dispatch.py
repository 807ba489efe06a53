"""Which node gets how many tasks, and which gives some back.

First every free slot of every node is filled, evenly; only when none is left that fits, nodes are given work
ahead (see `credit`).  A node that has free slots when nothing is queued for it may get what
another holds beyond its slots: that one is asked to give it back.

The cost of a round depends on the nodes that changed since the last one, not on how many there are or on how
much is queued.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.book import JobRecord, NodeRecord, Share
from asyncluster.jobs.credit import MOST, room, share_out, worth_refilling
from asyncluster.jobs.queue import Queue
from asyncluster.model.messages import Message, Recall, Task

HOARD = 0.020  # seconds that tasks may wait on one node while another has free slots
RECALL_LIMIT = 1.0  # seconds after which an unanswered recall may be repeated
GLANCE = 32  # idle nodes among which the emptiest is sought, where few tasks meet many nodes


class Dispatcher:
    """Deals the queue out to the nodes."""

    def __init__(self, queue: Queue[JobRecord]) -> None:
        self._queue = queue
        self._idle: dict[str, NodeRecord] = {}  # free slots
        self._hungry: dict[str, NodeRecord] = {}  # no free slot, but there may be room ahead
        self._over: dict[str, NodeRecord] = {}  # hold more than their slots
        self._stirred = False  # something changed since the last round

    def stir(self) -> None:
        """Something was queued."""
        self._stirred = True

    def settle(self, node: NodeRecord) -> None:
        """A node joined, or what it holds became less: see where it belongs."""
        self._stirred = True
        self._place(node)

    def forget(self, node: NodeRecord) -> None:
        """The node gets nothing more: it left, drains or is away."""
        for group in (self._idle, self._hungry, self._over):
            group.pop(node.name, None)

    def _place(self, node: NodeRecord) -> None:
        name = node.name
        if not node.open:
            self.forget(node)
            return
        if node.held < node.slots:
            self._idle[name] = node
            self._hungry.pop(name, None)
        else:
            self._idle.pop(name, None)
            self._hungry[name] = node
        if node.held > node.slots:
            self._over[name] = node
        else:
            self._over.pop(name, None)

    def deal(self, now: float, out: Outbox) -> None:
        """Hand out what there is room for."""
        if not self._stirred or not self._queue.total:
            return
        self._stirred = False
        if self._idle and self._deal_sole(now, out):
            return
        barren: set[tuple[str, str]] = set()  # kinds of node for which nothing is queued
        # few tasks meet many idle nodes: look at some of them first
        glance = list(islice(self._idle.values(), max(GLANCE, self._queue.total)))
        self._deal_round(glance, False, barren, now, out)
        if self._queue.total and self._idle:
            self._deal_round(list(self._idle.values()), False, barren, now, out)
        if self._queue.total:
            self._deal_round(list(self._hungry.values()), True, barren, now, out)

    def _deal_sole(self, now: float, out: Outbox) -> bool:
        """One task is queued and a slot is free: the case in which somebody sits and waits for the answer."""
        line = self._queue.sole()
        if line is None:
            return False
        able = [node for node in islice(self._idle.values(), GLANCE) if node.fits(line)]
        if not able:
            return False
        node = able[0] if len(able) == 1 else min(able, key=_fullness)
        task = self._queue.pop(line)
        Helping(node, False, 1, out.node(node.name)).accept(line, task.code, [task])
        self._served(node, now)
        return True

    def _deal_round(
        self, nodes: list[NodeRecord], ahead: bool, barren: set[tuple[str, str]], now: float, out: Outbox
    ) -> None:
        """Share the queue out over these nodes until it is empty, they are full or nothing fits them."""
        queue = self._queue
        while queue.total:
            nodes = [node for node in nodes if (node.serves, node.python) not in barren]
            spaces = [_most(node, ahead) for node in nodes]
            if not any(spaces):
                return
            left = []
            for node, quota in zip(nodes, share_out(queue.total, nodes, spaces), strict=True):
                if not quota or self._feed(node, quota, ahead, barren, now, out) == quota:
                    left.append(node)
            nodes = left

    def _feed(
        self, node: NodeRecord, quota: int, ahead: bool, barren: set[tuple[str, str]], now: float, out: Outbox
    ) -> int:
        """Give one node up to `quota` tasks; how many it got."""
        if (node.serves, node.python) in barren:
            return 0
        helping = Helping(node, ahead, self._queue.total, out.node(node.name))
        got = self._queue.take(quota, helping)
        if got:
            self._served(node, now)
        if helping.full:
            self._hungry.pop(node.name, None)
        elif got < quota:
            barren.add((node.serves, node.python))
        return got

    def _served(self, node: NodeRecord, now: float) -> None:
        node.given_at = now
        self._idle.pop(node.name, None)  # comes last when it is placed again: equals take turns
        self._place(node)

    def recalls(self, now: float, out: Outbox) -> None:
        """Ask nodes to give back what others could run at once; call after `deal`."""
        if not self._idle or not self._over:
            return
        late = [node for node in self._over.values() if now - node.given_at > HOARD and _may_recall(node, now)]
        if not late:
            return
        free: Counter[tuple[str, str]] = Counter()
        example: dict[tuple[str, str], NodeRecord] = {}
        for node in self._idle.values():
            kind = (node.serves, node.python)
            free[kind] += node.slots - node.held
            example[kind] = node
        for node in late:
            wanted = 0
            for kind, able in example.items():
                fitting = sum(len(share.tasks) for share in node.shares.values() if able.fits(share.job))
                count = min(free[kind], fitting, node.held - node.slots - wanted)
                free[kind] -= count
                wanted += count
            if wanted:
                node.recalled_at = now
                out.node(node.name).append(Recall(wanted))


def _fullness(node: NodeRecord) -> float:
    return node.held / node.slots


def _most(node: NodeRecord, ahead: bool) -> int:
    """An upper bound of what the node can take in this round."""
    return max(0, (node.slots * MOST if ahead else node.slots) - node.held)


def _may_recall(node: NodeRecord, now: float) -> bool:
    return node.recalled_at is None or now - node.recalled_at > RECALL_LIMIT


class Helping:
    """A node as the queue sees it for one taking (a `queue.Taker`)."""

    __slots__ = ("_ahead", "_node", "_out", "_queued", "_started", "full")

    def __init__(self, node: NodeRecord, ahead: bool, queued: int, out: list[Message]) -> None:
        self._node = node
        self._ahead = ahead
        self._queued = queued
        self._out = out
        self._started = False  # a batch that was begun is not stopped because it is nearly full
        self.full = False  # there was something that fits, but no room

    def fits(self, line: JobRecord) -> bool:
        """Owner and Python; later cores, memory, features."""
        return self._node.fits(line)

    def room(self, line: JobRecord, code: int) -> int:
        """Free slots, or in the second round what credit allows."""
        node = self._node
        if not self._ahead:
            more = node.slots - node.held
        else:
            more = room(node.slots, node.held, node.kinds, line.paces[code])
            if not self._started and more and not worth_refilling(node.slots, node.held, more, self._queued):
                more = 0
        self._started = True
        if more <= 0:
            self.full = True
        return more

    def accept(self, line: JobRecord, code: int, tasks: list[Task]) -> None:
        """Write the messages, what the node does not know yet first, and the book."""
        node, out = self._node, self._out
        share = introduce(node, line, out)
        if code not in share.codes:
            share.codes.add(code)
            out.append(line.codes[code])
        if line.after is not None:
            line.after.give(share, tasks, out)
        held, running = share.tasks, line.running
        for task in tasks:
            task.attempt += 1
            seq = task.seq
            held[seq] = task
            running[seq] = share
        out.extend(tasks)
        node.hold(line.paces[code], len(tasks))


def introduce(node: NodeRecord, job: JobRecord, out: list[Message]) -> Share:
    """Make sure that the node knows the job and all its steps so far."""
    share = node.shares.get(job.job)
    if share is None:
        share = node.shares[job.job] = job.shares[node.name] = Share(node, job)
        out.append(job.opening)
    if share.steps < len(job.steps):
        out.extend(job.steps[share.steps :])
        share.steps = len(job.steps)
    return share
