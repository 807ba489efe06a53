"""What the board remembers of jobs and nodes, and the sums that must always agree.

Decides nothing.  There is no record a task: the `Task` message lies in its job's line while it is queued and in
a `Share` while a node has it, and nothing of it stays once its result has gone to the client.

A *ghost* is a task that was cancelled, or whose job was closed, while a node had it: nobody waits for it,
but it takes room there until the node answers.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from math import inf

import attrs

from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.credit import Pace
from asyncluster.jobs.dependencies import Dependencies
from asyncluster.jobs.placing import ONE_SLOT, Amount, Room, kind_of, room_of
from asyncluster.jobs.queue import Line
from asyncluster.jobs.recovery import Recovered
from asyncluster.jobs.shipment import Shipment
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.messages import Code, Job, Step, StepDone, Task
from asyncluster.model.node import NodeFacts, NodeState, NodeView


@attrs.define(eq=False)
class Spent:
    """What tasks of one job took on one node: attempts that ended there by themselves, by a limit or as they were
    cancelled; microseconds, and bytes.
    """

    owner: str
    pool: str
    tasks: int = 0
    wall: int = 0
    core_wall: int = 0  # times the cores that each asked for
    memory: int = 0  # the most that any of them was seen to use, 0 where nobody looked


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
    spent: dict[tuple[str, int], Spent] = attrs.field(factory=dict)  # by node and job, until somebody takes it


class TaskLine(Line):
    """The queued tasks of one job that need the same room; None: one slot of any node."""

    def __init__(self, record: JobRecord, room: Room | None = None) -> None:
        super().__init__(record.job, record.owner, record.priority, record.allowance)
        self.record = record
        self.python = record.python
        self.room = room
        self.bulky = room is not None and room.bulky
        self.lasts = 0.0 if room is None else room.time  # seconds
        self.reserved: NodeRecord | None = None  # the node that is being emptied for the first of them


class JobRecord:
    """One open job."""

    def __init__(self, spec: JobSpec, allowance: Allowance | None = None) -> None:
        self.job = spec.job
        self.owner = spec.owner
        self.allowance = Allowance(spec.owner) if allowance is None else allowance  # all jobs of the owner share it
        self.allowance.jobs[spec.job] = self
        self.priority = spec.priority
        self.python = spec.python
        self.spec = spec
        self.opening = Job(spec.job, spec.owner, spec.niceness, spec.path, spec.python, spec.folder)
        self.plain = TaskLine(self)
        self.lines: dict[Room | None, TaskLine] = {None: self.plain}
        self.codes: dict[int, Code] = {}
        self.special: dict[int, TaskLine] = {}  # by code: lines of those that need more than a slot
        self.faulty: dict[int, Code] = {}  # those whose needs cannot be: nothing may call them
        self.paces: dict[int, Pace] = {}  # by code; same keys as `codes`
        self.shipped = Shipment()
        self.code_refusal = ""  # why the first code that was refused was
        self.step_refusal = ""  # likewise
        self.steps: list[Step] = []  # the step numbered n stands at n
        self.awaiting: dict[int, set[str]] = {}  # step -> nodes that have not answered it yet
        self.broken: list[StepDone] = []  # steps that failed on nodes present then, for a client that was away
        self.shares: dict[str, Share] = {}  # by node: those that know the job
        self.running: dict[int, Share] = {}  # seq -> which node has it, at work or ahead; without ghosts
        self.ghosts: dict[int, Share] = {}  # seq -> where; these numbers may not be used again yet
        self.cut: set[int] = set()  # those of them that the node is to end
        self.losses: dict[int, list[str]] = {}  # seq -> how its attempts were lost
        self.tries: dict[int, int] = {}  # seq -> attempts that raised or went over a limit, and were charged
        self.paused = False
        self.held = 0  # orders to cancel all of it that are being obeyed
        self.after: Dependencies | None = None  # made by the first task that depends on others
        self.highest = -1  # number that was submitted; a node may have more, of a master that was killed
        self.done = 0
        self.failed = 0
        self.cancelled = 0

    @property
    def tasks(self) -> Mapping[int, Task]:
        """All that are queued, by number; line by line."""
        if not self.special:
            return self.plain.tasks
        return ChainMap(*(line.tasks for line in self.lines.values()))

    @property
    def stands(self) -> bool:
        """Nothing of it is given out."""
        return self.paused or self.held > 0

    @property
    def queued(self) -> int:
        """How many are queued."""
        return sum(len(line.tasks) for line in self.lines.values())

    @property
    def waiting(self) -> int:
        """Tasks that no node has: queued ones, and those that wait for others."""
        return self.queued + (0 if self.after is None else len(self.after.waiting))

    def places(self) -> set[str]:
        """The nodes that have tasks of it, or were sent steps."""
        return {name for name, share in self.shares.items() if share.tasks or share.steps}

    def alive(self, seq: int) -> bool:
        """Whether that task is queued or runs."""
        return seq in self.tasks or seq in self.running

    def haunt(self, seq: int, share: Share) -> None:
        """That task was cancelled, and its node has it."""
        self.ghosts[seq] = share
        share.ghosts += 1

    def lay(self, seq: int) -> None:
        """Its node is rid of it: it is no ghost any more, if it was one."""
        share = self.ghosts.pop(seq, None)
        if share is not None:
            share.ghosts -= 1
            self.cut.discard(seq)

    def alive_numbers(self) -> list[int]:
        """All that are queued, run or wait for others, each once."""
        return [*self.running, *self.queued_numbers(), *(() if self.after is None else self.after.waiting)]

    def queued_numbers(self) -> list[int]:
        """All that are queued, line by line."""
        return [seq for line in self.lines.values() for seq in line.tasks] if self.special else list(self.plain.tasks)

    def learn(self, code: Code) -> None:
        """Tasks may call this from now on, unless its needs cannot be."""
        if code.need.fault():
            self.faulty[code.code] = code
            return
        room = room_of(code.need)
        self.codes[code.code] = code
        self.paces[code.code] = Pace(room, self.allowance)
        if room is not None:
            line = self.lines.get(room)
            if line is None:
                line = self.lines[room] = TaskLine(self, room)
                line.paused = self.stands
            self.special[code.code] = line

    def line(self, code: int) -> TaskLine:
        """Where tasks that call this code wait."""
        return self.special.get(code, self.plain)

    def recoverable(self) -> Recovered:
        """What would have to be recovered now; without what is the client's."""
        running = {seq: share.tasks[seq] for seq, share in self.running.items()}
        after = self.after
        return Recovered(
            codes=[*self.codes.values(), *self.faulty.values()],
            steps=list(self.steps),
            # those that run were given out first
            tasks=running | dict(self.tasks) | ({} if after is None else after.waiting),
            losses=dict(self.losses),
            tries=dict(self.tries),
            paused=self.paused,
            after={} if after is None else after.written(),
            values={} if after is None else after.held(),
        )

    @property
    def unfinished(self) -> int:
        """How many have not ended."""
        return self.waiting + len(self.running)

    def view(self, at_work: int) -> JobView:
        """As shown in a list of jobs.  at_work: those that nodes work at; what waits at a node is queued, too."""
        spec = self.spec
        return JobView(
            job=spec.job,
            owner=spec.owner,
            name=spec.name,
            queued=self.queued + len(self.running) - at_work,
            running=at_work,
            done=self.done,
            failed=self.failed,
            cancelled=self.cancelled,
            waiting=0 if self.after is None else len(self.after.waiting),
            paused=self.paused,
        )


class Share:
    """What one node knows and has of one job."""

    __slots__ = ("begun", "closed", "codes", "ghosts", "job", "node", "steps", "tasks", "values")

    def __init__(self, node: NodeRecord, job: JobRecord) -> None:
        self.node = node
        self.job = job
        self.codes: set[int] = set()  # sent
        self.steps = 0  # how many were sent
        self.tasks: dict[int, Task] = {}  # seq -> task, ghosts too, oldest first
        self.ghosts = 0  # how many of `tasks` are, while the job is open
        self.begun: dict[int, int] = {}  # seq -> attempt that the node said it works at; some are over
        self.values: set[int] = set()  # of which tasks it was sent the values
        self.closed = False  # the job is over; stays until the last ghost is gone


class NodeRecord:
    """One node that has joined and not left."""

    def __init__(self, facts: NodeFacts, now: float = 0.0) -> None:
        self.facts = facts
        self.kind = kind_of(facts)
        self.name = facts.name
        self.slots = facts.slots
        self.serves = facts.serves
        self.python = facts.python
        self.draining = False
        self.on_hold = False  # somebody wants it to get nothing more for now
        self.user = ""  # who sits at that machine
        self.way = ""  # what becomes of tasks there meanwhile: "pause", "return", "nice" or "go on"
        self.taken = False  # so that it gets nothing meanwhile
        self.vacating: set[tuple[int, int, int]] = set()  # job, seq, attempt: cut here, to begin anew elsewhere
        self.away = False  # its link is broken; it may come back
        self.held = 0  # slots' worth of tasks; invariant: sum over shares' tasks, and of kinds' values
        self.memory = self.gpus = 0  # declared by tasks that are here
        self.kinds: dict[Pace, int] = {}  # what is held, by pace; no zeros
        self.shares: dict[int, Share] = {}  # by job
        self.reserved: TaskLine | None = None  # it is being emptied for the first task of that line
        self.given_at = 0.0  # when it last got a task
        self.recalled_at: float | None = None  # when a recall went out that is not answered yet
        self.done = 0
        self.lost = 0
        self.until = inf  # when it ends itself
        self.left = inf  # seconds until then, at the last dispatch
        self.lives(facts.left, now)

    def lives(self, left: float, now: float) -> None:
        """The node says for how many seconds it goes on; 0 = for ever."""
        self.until = now + left if left else inf
        self.left = self.until - now

    def in_time(self, lasts: float) -> float:
        """How many more tasks of so many seconds end here before the node does, if each needs all its time.

        What is here already and has not said how long it takes may take for ever.
        """
        if self.left == inf:
            return inf
        longest = max([lasts, *(inf if pace.room is None else pace.room.time or inf for pace in self.kinds)])
        return int(self.left // longest) * self.slots - self.held

    def fits(self, job: JobRecord | TaskLine) -> bool:
        """Whether tasks of this job may run here at all, as far as owner and Python go."""
        return self.serves in ("*", job.owner) and job.python in ("", self.python)

    def takes(self, line: TaskLine) -> bool:
        """Whether tasks of this line could run here if nothing else did."""
        return (
            self.serves in ("*", line.owner)
            and line.python in ("", self.python)
            and (line.room is None or self.kind.has(line.room))
        )

    @property
    def open(self) -> bool:
        """May be given tasks."""
        return not (self.draining or self.away or self.on_hold or self.taken)

    @property
    def free(self) -> Amount:
        """What is not in use; negative where it came back with more than it should have."""
        return self.slots - self.held, self.facts.memory - self.memory, self.facts.gpus - self.gpus

    def use(self, room: Room | None) -> Amount:
        """What a task that needs this takes here."""
        return ONE_SLOT if room is None else room.on(self.slots, self.facts.cores)

    def hold(self, pace: Pace, count: int) -> None:
        """Take on tasks of one pace."""
        slots = count if pace.room is None else self._enter(pace.room, count)
        self.held += slots
        pace.allowance.used += slots
        self.kinds[pace] = self.kinds.get(pace, 0) + slots

    def let_go(self, pace: Pace, count: int) -> None:
        """These have been answered."""
        slots = count if pace.room is None else -self._enter(pace.room, -count)
        self.held -= slots
        pace.allowance.used -= slots
        left = self.kinds[pace] - slots
        if left:
            self.kinds[pace] = left
        else:
            del self.kinds[pace]

    def _enter(self, room: Room, count: int) -> int:
        """Enter or, where negative, strike out what tasks use; slots in all."""
        slots, memory, gpus = self.use(room)
        self.memory += memory * count
        self.gpus += gpus * count
        return slots * count

    def tidy(self, share: Share) -> None:
        """Forget the share of a closed job once nothing of it is left here."""
        if share.closed and not share.tasks:
            self.shares.pop(share.job.job, None)

    @property
    def state(self) -> NodeState:
        """Draining, or on hold, shows as holding while something runs, then as held; away as an error."""
        if self.away:
            return NodeState.ERROR
        if self.draining or self.on_hold or self.taken:
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
            cores=facts.cores,
            memory=facts.memory,
            gpus=facts.gpus,
            features=facts.features,
            away=self.away,
            user=self.user,
            in_use=self.way,
        )
