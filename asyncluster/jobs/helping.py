"""One node as the queue sees it while it is given tasks: what fits, how much room there is, what is then sent.

A task that needs more than a slot waits for a node that has all of it free.  The first that could run it but is too
full when its turn comes is *reserved*: nothing that would put that task off is given to it any more, unless its
priority is higher.  Meanwhile other nodes pass the line over, unless they have room at once.
"""

from __future__ import annotations

from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.book import JobRecord, NodeRecord, Share, TaskLine
from asyncluster.jobs.credit import room, worth_refilling
from asyncluster.jobs.placing import beside, times
from asyncluster.model.messages import Message, Task


class Helping:
    """A `queue.Taker`; afterwards it tells what it found.

    ahead: work is given beyond the free slots; above: only lines of higher priority are served.
    """

    __slots__ = (
        *("_above", "_ahead", "_node", "_out", "_queued", "_started"),
        *("exhausted", "full", "passed", "relieved", "wants"),
    )

    def __init__(
        self, node: NodeRecord, ahead: bool, queued: int, out: list[Message], above: int | None = None
    ) -> None:
        self._node = node
        self._ahead = ahead
        self._queued = queued
        self._out = out
        self._above = above
        self._started = False  # a batch that was begun is not stopped because it is nearly full
        self.full = False  # there was something that fits, but no room
        self.passed = False  # something was passed over that could run here at another time
        self.wants: TaskLine | None = None  # the node should be reserved for this line
        self.exhausted: set[Allowance] = set()  # of owners whose next task is to wait until they have less
        self.relieved: tuple[TaskLine, ...] = ()  # lines that got a task here while some node was reserved for them

    def fits(self, line: TaskLine) -> bool:
        """Owner, Python and what the task needs; and, where that is scarce, whether it is there now."""
        node = self._node
        if not node.takes(line):
            return False
        if line.lasts > node.left:  # it ends itself too soon
            self.passed = True
            return False
        if line.allowance.slots is not None and not self._allowed(line):
            return False
        if self.wants is not None:
            return line is self.wants
        if line.room is None and node.reserved is None and self._above is None:
            return True
        if self._above is not None and line.priority <= self._above:
            return False
        if not self._scarce(line) or self._space(line):
            return True
        if line.bulky and line.reserved is None and not self._put_off(line):
            self.wants = line
            return True
        self.passed = True
        return False

    def _allowed(self, line: TaskLine) -> bool:
        """Whether the owner, who has a limit of slots, may have one more of these.

        Nothing is sent ahead to stay below it.  The first task that is too much waits, and so do all of its owner: else
        one that needs many slots would never have them.
        """
        allowance, need = line.allowance, self._node.use(line.room)[0]
        if self._ahead or need > (allowance.slots or 0):
            return False
        if allowance.short:  # for a line before this one, which is not to be forgotten for one that needs less
            return False
        if need <= self._left(line):
            return True
        allowance.short = need
        self.exhausted.add(allowance)
        return False

    @staticmethod
    def _left(line: TaskLine) -> int:
        kept = line.reserved  # what is kept for it elsewhere is its own
        return line.allowance.left + (0 if kept is None else kept.use(line.room)[0])

    def _put_off(self, line: TaskLine) -> bool:
        """Whether the node is being emptied for something that goes before this line."""
        kept = self._node.reserved
        return kept is not None and line.priority <= kept.priority

    def _scarce(self, line: TaskLine) -> bool:
        """Whether more than free slots and credit decides how many the node may have."""
        return line.bulky or self._put_off(line)

    def _space(self, line: TaskLine) -> int:
        """How many of a scarce kind there is room for now."""
        node = self._node
        free = node.free
        if node.reserved is not None and self._put_off(line):
            free = beside(free, node.use(node.reserved.room))
        return times(free, node.use(line.room))

    def room(self, line: TaskLine, code: int) -> int:
        """Free slots, or in the second round what credit allows; within the limit of the owner, if there is one."""
        if line.allowance.slots is None:
            return self._room(line, code)
        need = self._node.use(line.room)[0]
        most = self._left(line) // need
        if most <= 0:
            line.allowance.short = need
            self.exhausted.add(line.allowance)
            return 0
        return min(most, self._room(line, code))

    def _room(self, line: TaskLine, code: int) -> int:
        node = self._node
        if (line.bulky or node.reserved is not None) and self._scarce(line):
            return self._scarce_room(line)
        if not self._ahead:
            more = node.slots - node.held
        else:
            more = room(node.slots, node.held, node.kinds, line.record.paces[code])
            if not self._started and more and not worth_refilling(node.slots, node.held, more, self._queued):
                more = 0
            if line.lasts:
                more = int(min(more, node.in_time(line.lasts)))
        self._started = True
        if more <= 0:
            self.full = True
        return more

    def _scarce_room(self, line: TaskLine) -> int:
        if line is self.wants:
            self.full = True
            return 0
        more = self._space(line)
        if not more:
            self.passed = True
        return more

    def accept(self, line: TaskLine, code: int, tasks: list[Task]) -> None:
        """Write the messages, what the node does not know yet first, and the book."""
        node, out, job = self._node, self._out, line.record
        share = introduce(node, job, out)
        if code not in share.codes:
            share.codes.add(code)
            out.append(job.codes[code])
        if job.after is not None:
            job.after.give(share, tasks, out)
        held, running = share.tasks, job.running
        for task in tasks:
            task.attempt += 1
            seq = task.seq
            held[seq] = task
            running[seq] = share
        out.extend(tasks)
        node.hold(job.paces[code], len(tasks))
        if line.reserved is not None:
            self.relieved += (line,)


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
