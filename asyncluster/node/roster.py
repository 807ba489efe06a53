"""What the crew remembers: its workers, the jobs it was told of, and the actions it asks for.

Plain values; every decision about them is in `crew`.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import attrs

from asyncluster.model.messages import Code, Job, Message, Outcome, Step, Task, Value
from asyncluster.model.need import Need
from asyncluster.node.devices import Told


@attrs.frozen
class ToMaster:
    """Send these to the master, in this order."""

    messages: list[Message]


@attrs.frozen
class ToWorker:
    """Send these to a worker, as one frame."""

    worker: int
    messages: list[Told]


@attrs.frozen
class Fork:
    """Start a worker in that (empty) slot; answer with `Crew.ready` or `Crew.died`."""

    worker: int
    owner: str
    niceness: int


@attrs.frozen
class Kill:
    """Kill the worker and all that it started; `Crew.died` follows."""

    worker: int


@attrs.frozen
class Terminate:
    """Ask the worker and all that it started to end, by SIGTERM; it is killed later, or when it is idle."""

    worker: int


@attrs.frozen
class Skip:
    """Tell the worker to start no task with an index up to `upto`; answer with `Crew.recalled`."""

    worker: int
    upto: int


@attrs.frozen
class Nudge:
    """Have the worker report what it has done, if it is beyond the task `first`: a long one holds it up."""

    worker: int
    first: int


@attrs.frozen
class Look:
    """See what the worker is at; answer with `Crew.looked`."""

    worker: int


@attrs.frozen
class Weigh:
    """Measure the memory of a worker and what it started; answer with `Crew.memory`, after the other actions.

    Above `limit` bytes the measure has to be a fair one: pages that processes share count once.
    """

    worker: int
    limit: int


Action = ToMaster | ToWorker | Fork | Kill | Terminate | Skip | Nudge | Look | Weigh


@attrs.frozen
class Ask:
    """What tasks of a code take here, when that is more than one slot, or limited.  They are sent one at a time."""

    need: Need
    slots: int


class WorkerState(Enum):
    """Of one slot."""

    EMPTY = "empty"
    STARTING = "starting"
    READY = "ready"
    DYING = "dying"


@attrs.define(eq=False)
class Group:
    """All that may share workers: one owner at one niceness."""

    owner: str
    niceness: int
    queue: deque[Task] = attrs.Factory(deque)
    wants_step: bool = False  # a step waits for a worker to try it on
    waiting_since: float = 0.0  # when the queue last became non-empty, or was last served
    failures: int = 0  # starts in a row that failed
    not_before: float = 0.0  # no fork earlier than this


@attrs.define(eq=False)
class JobEntry:
    """A job as this node knows it."""

    job: Job
    group: Group
    refusal: str = ""  # not empty: why no task of it is run here
    refused_as: Outcome = Outcome.REFUSED
    codes: dict[int, Code] = attrs.Factory(dict)
    asks: dict[int, Ask] = attrs.Factory(dict)  # code -> what its tasks take; plain ones are not here
    unfit: dict[int, str] = attrs.Factory(dict)  # code -> why its tasks can never run here; it is not in `codes`
    steps: list[Step] = attrs.Factory(list)
    means: dict[int, float] = attrs.Factory(dict)  # code -> wall time, microseconds
    cancelled: set[int] = attrs.Factory(set)  # seqs of tasks that are still here
    cut: set[int] = attrs.Factory(set)  # those of them that are ended where they run
    spared: dict[int, int] = attrs.Factory(dict)  # seq -> deaths not charged to that task, while it is here
    step_deaths: int = 0
    values: dict[int, Value] = attrs.Factory(dict)  # of other tasks, by number
    needs: dict[int, list[int]] = attrs.Factory(dict)  # seq -> whose values are among its arguments, while it is here
    step_errors: dict[int, str] = attrs.Factory(dict)  # of steps that could not be applied


@attrs.define(eq=False)
class PendingStep:
    """A step that some workers have not answered yet."""

    waiting: set[int]
    error: str = ""


@attrs.define(eq=False)
class Worker:
    """One slot and the process in it.

    Tasks are numbered 1, 2, 3 … in the order sent, and answered in that order: `sent[0]` has the
    index `base + 1`.  A None in `sent` was recalled: its answer will come and means nothing.
    """

    number: int
    state: WorkerState = WorkerState.EMPTY
    group: Group | None = None
    sent: deque[Task | None] = attrs.Factory(deque)
    base: int = 0
    last: Task | None = None
    jobs: set[int] = attrs.Factory(set)
    codes: set[tuple[int, int]] = attrs.Factory(set)
    steps: dict[int, int] = attrs.Factory(dict)  # job -> how many of its steps were sent
    values: set[tuple[int, int]] = attrs.Factory(set)  # job and number of those that were sent
    awaiting: dict[int, int] = attrs.Factory(dict)  # job -> how many of its steps were sent and not answered; no zeros
    seen: int = 0  # the highest `started` that a recall has shown: tasks up to it are not to be had back
    since: float = 0.0  # last progress
    nudged: float = 0.0  # when it was last asked for what it holds
    patience: float = 0.0  # seconds until it is asked again
    looked: float = 0.0  # when somebody last saw what it is at
    told: int = 0  # the task last seen at work: of it and those before it nothing more is said
    recalling: bool = False
    leaving: bool = False  # gets nothing more; killed when idle
    cut_at: float | None = None  # its task is to be ended, and this is when to do more about it; gets nothing meanwhile
    terminated: bool = False  # it was asked to end that task
    verdict: tuple[Outcome, str] | None = None  # why we kill it: what its running task is told
    ask: Ask | None = None  # what its only task takes; it is taken until the task's end is known, or the process's
    devices: tuple[str, ...] = ()  # gpus that are that task's
    began: float | None = None  # when that task began; None: steps come first
    weighed: float = 0.0  # when its memory was last measured
    size: int = 0  # bytes it used then
    size_at: int = -1  # `base` at that time
    fresh: int = 0  # bytes it used before its first task; 0: nobody looked
    peak: int = 0  # the most bytes that were measured since the end of its last task
    stopped: float = 0.0  # seconds for which it was stopped since then

    @property
    def starting(self) -> bool:
        """Forked, and has not said its first word."""
        return self.state is WorkerState.STARTING

    @property
    def idle(self) -> bool:
        """Alive and with nothing to do."""
        return self.state is WorkerState.READY and not self.sent and not self.awaiting

    @property
    def open(self) -> bool:
        """May be given tasks."""
        ready = self.state is WorkerState.READY and not self.leaving and not self.recalling
        return ready and self.ask is None and self.cut_at is None

    @property
    def load(self) -> int:
        """Slots that its tasks take."""
        if self.ask is not None:
            return self.ask.slots
        return 1 if self.sent else 0

    def reset(self) -> None:
        """Forget the process; the slot is empty."""
        self.state, self.group, self.verdict, self.last = WorkerState.EMPTY, None, None, None
        self.base = self.seen = self.told = self.size = self.fresh = 0
        self.size_at, self.weighed, self.peak = -1, 0.0, 0
        self.recalling = self.leaving = self.terminated = False
        self.cut_at = None
        for memory in (self.sent, self.jobs, self.codes, self.steps, self.values, self.awaiting):
            memory.clear()
