"""Which node gets how many tasks, and which gives some back.

First every free slot of every node is filled, evenly; only when none is left that fits, nodes are given work
ahead (see `credit`).  A node that has free slots when nothing is queued for it may get what
another holds beyond its slots: that one is asked to give it back.  What one node is given is `helping`'s business.

The cost of a round depends on the nodes that changed since the last one, not on how many there are or on how
much is queued.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from math import inf

from asyncluster.jobs.actions import Outbox
from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.book import NodeRecord, Share, TaskLine
from asyncluster.jobs.credit import MOST, share_out
from asyncluster.jobs.helping import Helping, introduce
from asyncluster.jobs.placing import NodeKind, times
from asyncluster.jobs.queue import Queue
from asyncluster.model.messages import Recall

__all__ = ["Dispatcher", "introduce"]

HOARD = 0.020  # seconds that tasks may wait on one node while another has free slots
RECALL_LIMIT = 1.0  # seconds after which an unanswered recall may be repeated
GLANCE = 32  # idle nodes among which the emptiest is sought, where few tasks meet many nodes


class Dispatcher:
    """Deals the queue out to the nodes."""

    def __init__(self, queue: Queue[TaskLine]) -> None:
        self._queue = queue
        self._idle: dict[str, NodeRecord] = {}  # free slots
        self._hungry: dict[str, NodeRecord] = {}  # no free slot, but there may be room ahead
        self._over: dict[str, NodeRecord] = {}  # hold more than their slots
        self._passing: dict[str, NodeRecord] = {}  # of the first two: had no room for all that was queued lately
        self._reserved: dict[str, NodeRecord] = {}
        self._mortal: dict[str, NodeRecord] = {}  # those that end themselves at a known time
        self._short: dict[str, Allowance] = {}  # owners whose next task waits until they have fewer slots
        self._stirred = False  # something changed since the last round

    def stir(self) -> None:
        """Something was queued, or it was paused or cancelled."""
        self._stirred = True
        if self._short:
            self._end_shortages()
        if self._passing:
            for node in list(self._passing.values()):
                self._place(node)

    def settle(self, node: NodeRecord) -> None:
        """A node joined, or what it holds became less: see where it belongs."""
        self._stirred = True
        if self._short:
            self._end_shortages()
        if node.until < inf:
            self._mortal[node.name] = node
        self._place(node)

    def forget(self, node: NodeRecord) -> None:
        """The node gets nothing more: it left, drains or is away."""
        for group in (self._idle, self._hungry, self._over, self._passing, self._mortal):
            group.pop(node.name, None)
        if node.reserved is not None:
            self._unbind(node)
            self.stir()  # what it was kept for may have another

    def _place(self, node: NodeRecord) -> None:
        name = node.name
        if not node.open:
            self.forget(node)
            return
        if self._passing:
            self._passing.pop(name, None)
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

    # Owners who may have nothing more

    def review(self, allowance: Allowance) -> None:
        """What that owner may have was changed: it stands aside of the queue, or does not any more."""
        if not allowance.short:
            self._short.pop(allowance.owner, None)
        if allowance.rests:
            self._queue.set_aside(allowance)
        else:
            self._queue.bring_back(allowance)
            self.stir()

    def give_up(self, allowance: Allowance) -> None:
        """No node is emptied for tasks of that owner."""
        for node in list(self._reserved.values()):
            if node.reserved is not None and node.reserved.allowance is allowance:
                self._release(node)

    def _exhausted(self, allowance: Allowance) -> None:
        self._short[allowance.owner] = allowance
        self._queue.set_aside(allowance)
        self._end_shortages()  # what goes next may need less than what does not fit any more

    def _end_shortages(self) -> None:
        for allowance in [each for each in self._short.values() if each.left >= each.short]:
            allowance.short = 0
            del self._short[allowance.owner]
            if not allowance.rests:
                self._queue.bring_back(allowance)
                self._stirred = True

    # Nodes that are emptied for one task

    def _reserve(self, node: NodeRecord, line: TaskLine) -> None:
        if node.reserved is not None:
            self._unbind(node)
        node.reserved, line.reserved = line, node
        line.allowance.kept += node.use(line.room)[0]
        self._reserved[node.name] = node

    def _unbind(self, node: NodeRecord) -> None:
        if node.reserved is not None:
            node.reserved.allowance.kept -= node.use(node.reserved.room)[0]
            node.reserved.reserved = None
        node.reserved = None
        self._reserved.pop(node.name, None)

    def _release(self, node: NodeRecord) -> None:
        """It is for all again."""
        self._unbind(node)
        self.settle(node)

    def _honour(self, node: NodeRecord, quota: int, ahead: bool, now: float, out: Outbox) -> int:
        """Give a reserved node what it is reserved for, if that fits now; before it only what is more urgent."""
        line, got = node.reserved, 0
        assert line is not None
        top = self._queue.top()
        if top is not None and top > line.priority:
            helping = Helping(node, ahead, self._queue.total, out.node(node.name), line.priority)
            got = self._take(node, quota, helping, now)
        if node.reserved is line and got < quota and times(node.free, node.use(line.room)):
            self._serve_reserved(node, line, now, out)
            got += 1
        return got

    def _serve_reserved(self, node: NodeRecord, line: TaskLine, now: float, out: Outbox) -> None:
        task = self._queue.serve(line)
        Helping(node, False, 1, out.node(node.name)).accept(line, task.code, [task])
        self._release(node)
        self._served(node, now)

    # Rounds

    def deal(self, now: float, out: Outbox) -> None:
        """Hand out what there is room for."""
        for node in self._mortal.values():
            node.left = node.until - now
        if self._reserved:
            for node in [node for node in self._reserved.values() if _in_vain(node)]:
                self._release(node)
            for node, line in [(node, line) for node in self._reserved.values() if (line := _kept_aside(node))]:
                self._serve_reserved(node, line, now, out)
        if self._short:
            self._end_shortages()
        while self._stirred and self._queue.total:
            self._stirred = False
            if self._idle and self._deal_sole(now, out):
                return
            barren: set[NodeKind] = set()  # kinds of node for which nothing is queued
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
        if line is None or line.bulky or line.allowance.slots is not None:
            return False
        glance = islice(self._idle.values(), GLANCE)
        able = [node for node in glance if node.fits(line) and (line.room is None or _can_have(node, line))]
        if not able:
            return False
        node = able[0] if len(able) == 1 else min(able, key=_fullness)
        task = self._queue.pop(line)
        Helping(node, False, 1, out.node(node.name)).accept(line, task.code, [task])
        self._served(node, now)
        return True

    def _deal_round(self, nodes: list[NodeRecord], ahead: bool, barren: set[NodeKind], now: float, out: Outbox) -> None:
        """Share the queue out over these nodes until it is empty, they are full or nothing fits them."""
        queue = self._queue
        stuck = False  # those that should have had the next tasks had no room: each of the others is tried
        while queue.total:
            if barren:
                nodes = [node for node in nodes if node.kind not in barren]
            spaces = [_most(node, ahead) for node in nodes]
            if not any(spaces):
                return
            left = []
            quotas = [min(1, space) for space in spaces] if stuck else share_out(queue.total, nodes, spaces)
            stuck = True
            for node, quota in zip(nodes, quotas, strict=True):
                got = self._feed(node, quota, ahead, barren, now, out) if quota else 0
                if got:
                    stuck = False
                if got == quota:
                    left.append(node)
            nodes = left

    def _feed(self, node: NodeRecord, quota: int, ahead: bool, barren: set[NodeKind], now: float, out: Outbox) -> int:
        """Give one node up to `quota` tasks; how many it got."""
        if not self._queue.total or (barren and node.kind in barren):
            return 0
        got = 0
        if node.reserved is not None:
            got = self._honour(node, quota, ahead, now, out)
            if got >= quota:
                return got
        helping = Helping(node, ahead, self._queue.total, out.node(node.name))
        got += self._take(node, quota - got, helping, now)
        if helping.full:
            self._hungry.pop(node.name, None)
        elif got < quota:
            if helping.passed:
                self._pass(node)
            else:
                barren.add(node.kind)
        return got

    def _take(self, node: NodeRecord, quota: int, helping: Helping, now: float) -> int:
        got = self._queue.take(quota, helping)
        for line in helping.relieved:
            if line.reserved is not None:
                self._release(line.reserved)
        if helping.wants is not None:
            self._reserve(node, helping.wants)
        for allowance in helping.exhausted:
            self._exhausted(allowance)
        if got:
            self._served(node, now)
        return got

    def _pass(self, node: NodeRecord) -> None:
        """All that is queued and fits needs more than it has: until that changes there is no use in asking again."""
        self._idle.pop(node.name, None)
        self._hungry.pop(node.name, None)
        self._passing[node.name] = node

    def _served(self, node: NodeRecord, now: float) -> None:
        node.given_at = now
        self._idle.pop(node.name, None)  # comes last when it is placed again: equals take turns
        self._place(node)

    # What waits on the wrong node

    def recalls(self, now: float, out: Outbox) -> None:
        """Ask nodes to give back what others could run at once; call after `deal`."""
        if not self._over or not (self._idle or self._passing):
            return
        late = [node for node in self._over.values() if now - node.given_at > HOARD and _may_recall(node, now)]
        if not late:
            return
        free: Counter[NodeKind] = Counter()
        lasts: dict[NodeKind, float] = {}
        for node in (*self._idle.values(), *self._passing.values()):
            if node.held < node.slots and node.reserved is None:
                free[node.kind] += node.slots - node.held
                lasts[node.kind] = max(node.left, lasts.get(node.kind, 0.0))
        for node in late:
            wanted = 0
            for kind in free:
                fitting = sum(_movable(share, kind, lasts[kind]) for share in node.shares.values())
                count = min(free[kind], fitting, node.held - node.slots - wanted)
                free[kind] -= count
                wanted += count
            if wanted:
                node.recalled_at = now
                out.node(node.name).append(Recall(wanted))


def _in_vain(node: NodeRecord) -> bool:
    """Whether a node is kept for a line of which nothing is left, or that is paused, or for which it ends too soon."""
    line = node.reserved
    return line is not None and (not line.listed or line.lasts > node.left)


def _kept_aside(node: NodeRecord) -> TaskLine | None:
    """What a node is kept for and has room for, of an owner who has no slots left but those: no turn comes for it."""
    line = node.reserved
    if line is None or not line.allowance.aside or not line.listed or not node.open:
        return None
    return line if times(node.free, node.use(line.room)) else None


def _can_have(node: NodeRecord, line: TaskLine) -> bool:
    return node.takes(line) and line.lasts <= node.left


def _movable(share: Share, kind: NodeKind, left: float) -> int:
    """How many tasks of a share nodes of this kind could run; what is never given ahead is at work where it is.

    left: seconds for which the longest-lived of them goes on.
    """
    job = share.job
    if not kind.fits(job.owner, job.python):
        return 0
    if not job.special:
        return len(share.tasks)
    lines = (job.line(task.code) for task in share.tasks.values())
    return sum(
        1 for line in lines if line.room is None or (not line.bulky and line.lasts <= left and kind.has(line.room))
    )


def _fullness(node: NodeRecord) -> float:
    return node.held / node.slots


def _most(node: NodeRecord, ahead: bool) -> int:
    """An upper bound of what the node can take in this round."""
    return max(0, (node.slots * MOST if ahead else node.slots) - node.held)


def _may_recall(node: NodeRecord, now: float) -> bool:
    return node.recalled_at is None or now - node.recalled_at > RECALL_LIMIT
