"""What the board remembers of jobs and nodes, and the sums that must always agree.

Decides nothing.  There is no record a task: the `Task` message lies in its job's line while it is queued and in
a `Share` while a node has it, and nothing of it stays once its result has gone to the client.

A *ghost* is a task that was cancelled, or whose job was closed, while a node had it: nobody waits for it,
but it takes room there until the node answers.
"""

from __future__ import annotations

import attrs

from asyncluster.jobs.credit import Pace
from asyncluster.jobs.queue import Line
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.messages import Code, Job, Step, StepDone, Task
from asyncluster.model.node import NodeFacts, NodeState, NodeView


@attrs.define(eq=False)
class Counters:
    """Since the board was made; each task or answer is counted in the order of events."""

    submitted: int = 0  # tasks taken on
    done: int = 0
    failed: int = 0  # by an exception, by too many losses, or refused
    cancelled: int = 0
    lost: int = 0  # attempts
    returned: int = 0  # attempts given back unstarted
    refused: int = 0  # answers that were not waited for: late, of an old attempt, from another node


class JobRecord(Line):
    """One open job."""

    def __init__(self, spec: JobSpec) -> None:
        super().__init__(spec.job, spec.owner, spec.priority)
        self.spec = spec
        self.python = spec.python
        self.opening = Job(spec.job, spec.owner, spec.niceness, spec.path, spec.python, spec.folder)
        self.codes: dict[int, Code] = {}
        self.paces: dict[int, Pace] = {}  # by code; same keys as `codes`
        self.steps: list[Step] = []  # the step numbered n stands at n
        self.awaiting: dict[int, set[str]] = {}  # step -> nodes that have not answered it yet
        self.broken: list[StepDone] = []  # steps that failed on nodes present then, for a client that was away
        self.shares: dict[str, Share] = {}  # by node: those that know the job
        self.running: dict[int, Share] = {}  # seq -> where it is; without ghosts
        self.ghosts: set[int] = set()  # numbers that may not be used again yet
        self.losses: dict[int, list[str]] = {}  # seq -> how its attempts were lost
        self.highest = -1  # number that was submitted; a node may have more, of a master that was killed
        self.done = 0
        self.failed = 0

    def view(self) -> JobView:
        """As shown in a list of jobs."""
        spec = self.spec
        return JobView(spec.job, spec.owner, spec.name, len(self.tasks), len(self.running), self.done, self.failed)


class Share:
    """What one node knows and has of one job."""

    __slots__ = ("closed", "codes", "job", "node", "steps", "tasks")

    def __init__(self, node: NodeRecord, job: JobRecord) -> None:
        self.node = node
        self.job = job
        self.codes: set[int] = set()  # sent
        self.steps = 0  # how many were sent
        self.tasks: dict[int, Task] = {}  # seq -> task, ghosts too, oldest first
        self.closed = False  # the job is over; stays until the last ghost is gone


class NodeRecord:
    """One node that has joined and not left."""

    def __init__(self, facts: NodeFacts) -> None:
        self.facts = facts
        self.name = facts.name
        self.slots = facts.slots
        self.serves = facts.serves
        self.python = facts.python
        self.draining = False
        self.away = False  # its link is broken; it may come back
        self.held = 0  # invariant: sum of len(share.tasks), and of kinds' values
        self.kinds: dict[Pace, int] = {}  # what is held, by pace; no zeros
        self.shares: dict[int, Share] = {}  # by job
        self.given_at = 0.0  # when it last got a task
        self.recalled_at: float | None = None  # when a recall went out that is not answered yet
        self.done = 0
        self.lost = 0

    def fits(self, job: JobRecord) -> bool:
        """Whether tasks of this job may run here at all."""
        return self.serves in ("*", job.owner) and job.python in ("", self.python)

    @property
    def open(self) -> bool:
        """May be given tasks."""
        return not (self.draining or self.away)

    def hold(self, pace: Pace, count: int) -> None:
        """Take on tasks of one pace."""
        self.held += count
        self.kinds[pace] = self.kinds.get(pace, 0) + count

    def let_go(self, pace: Pace, count: int) -> None:
        """These have been answered."""
        self.held -= count
        left = self.kinds[pace] - count
        if left:
            self.kinds[pace] = left
        else:
            del self.kinds[pace]

    def tidy(self, share: Share) -> None:
        """Forget the share of a closed job once nothing of it is left here."""
        if share.closed and not share.tasks:
            self.shares.pop(share.job.job, None)

    @property
    def state(self) -> NodeState:
        """Draining shows as holding while something runs, then as held; away as an error."""
        if self.away:
            return NodeState.ERROR
        if self.draining:
            return NodeState.HOLDING if self.held else NodeState.HELD
        return NodeState.BUSY if self.held else NodeState.IDLE

    def view(self) -> NodeView:
        """As shown in a list of nodes; `running` counts slots in use, not what waits behind them."""
        facts = self.facts
        return NodeView(
            name=self.name,
            state=self.state,
            host=facts.host,
            slots=self.slots,
            running=min(self.held, self.slots),
            done=self.done,
            lost=self.lost,
            python=self.python,
            serves=self.serves,
        )
