"""Stand-ins that keep all in memory, for tests of what uses the real ones."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
from zope.interface import implementer

from asyncluster.errors import NoAnswerError, SchedulerError
from asyncluster.interfaces import IScheduler
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers import words
from asyncluster.schedulers.run import deferred


@attrs.define
class FakeNode:
    """A machine.  up: it is heard; came: it was ever heard; held: no new job."""

    flavor: Flavor
    up: bool = False
    came: bool = False
    held: bool = True
    kept: Reservation = attrs.field(default=Reservation())


@attrs.define
class FakeJob:
    """One job of so many cores on one node.  wants: what it asks for; host: where alone it may run."""

    cores: int
    held: bool = False
    host: str = ""
    wants: Reservation = attrs.field(default=Reservation())
    on: str = ""


@implementer(IScheduler)
@attrs.define(eq=False)
class FakeScheduler:
    """A scheduler with jobs and nodes in memory.  away: it does not answer; now: what its snapshots say of the time."""

    name: str = "fake"
    binds_queues: bool = False
    nodes: dict[str, FakeNode] = attrs.field(factory=dict)
    jobs: dict[str, FakeJob] = attrs.field(factory=dict)
    away: bool = False
    now: float = 0.0
    calls: list[tuple[str, ...]] = attrs.field(factory=list)
    _numbers: Any = attrs.field(factory=lambda: itertools.count(1))

    # -- what the interface asks

    @deferred
    async def snapshot(self) -> Demand:
        """All jobs and nodes."""
        self._answer("snapshot")
        self._start()
        jobs = tuple(self._job(number, job) for number, job in self.jobs.items())
        return Demand(jobs, tuple(self._node(name) for name in self.nodes), self.now)

    @deferred
    async def add_node(self, name: str, address: str, flavor: Flavor) -> None:
        """Make it known, held."""
        self._answer("add_node", name)
        self.nodes.setdefault(words.host(name), FakeNode(flavor)).held = True

    @deferred
    async def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> None:
        """Keep it."""
        self._answer("reserve", name)
        self._there(name).kept = reservation

    @deferred
    async def enable(self, name: str) -> None:
        """Let it have jobs."""
        self._hold("enable", name, False)

    @deferred
    async def hold(self, name: str, reason: str) -> None:
        """No new job there."""
        self._hold("hold", name, True)

    @deferred
    async def unhold(self, name: str) -> None:
        """Jobs again."""
        self._hold("unhold", name, False)

    @deferred
    async def vacate(self, name: str, reason: str) -> None:
        """Its jobs wait anew."""
        self._hold("vacate", name, True)
        for job in self.jobs.values():
            if job.on == name:
                job.on = ""

    @deferred
    async def remove_node(self, name: str, reservation: Reservation) -> None:
        """Forget it."""
        self._answer("remove_node", words.host(name))
        if any(job.on == name for job in self.jobs.values()):
            raise SchedulerError(f"{name} still runs jobs")
        self.nodes.pop(name, None)

    # -- what tests do to it

    def submit(self, job: FakeJob) -> str:
        """A job is submitted; its identifier."""
        number = str(next(self._numbers))
        self.jobs[number] = job
        return number

    def join(self, name: str) -> None:
        """The machine starts; it is known from then on."""
        node = self.nodes[name]
        node.up = node.came = True

    # -- within

    def _answer(self, *call: str) -> None:
        self.calls.append(call)
        if self.away:
            raise NoAnswerError("the fake scheduler is away")

    def _there(self, name: str) -> FakeNode:
        if words.host(name) not in self.nodes:
            raise SchedulerError(f"there is no node {name}")
        return self.nodes[name]

    def _hold(self, what: str, name: str, held: bool) -> None:
        self._answer(what, name)
        self._there(name).held = held

    def _start(self) -> None:
        for job in self.jobs.values():
            if not job.on and not job.held:
                job.on = next((name for name in self.nodes if self._fits(job, name)), "")

    def _fits(self, job: FakeJob, name: str) -> bool:
        node = self.nodes[name]
        free = node.flavor.cores - sum(other.cores for other in self.jobs.values() if other.on == name)
        kept = [node.kept.queue in ("", job.wants.queue), node.kept.account in ("", job.wants.account)]
        bears = job.wants.property in ("", node.kept.property)
        return node.up and not node.held and job.host in ("", name) and free >= job.cores and all(kept) and bears

    def _job(self, number: str, job: FakeJob) -> BatchJob:
        waits = BatchState.HELD if job.held else BatchState.QUEUED
        return BatchJob(
            id=number,
            state=BatchState.RUNNING if job.on else waits,
            chunks=(Chunk(1, job.cores, 0, 0, (job.wants.property,) if job.wants.property else ()),),
            queue=job.wants.queue,
            account=job.wants.account,
            walltime=3600.0,
            nodes=(job.on,) if job.on else (),
            cores_on=(job.cores,) if job.on else (),
        )

    def _node(self, name: str) -> BatchNode:
        node = self.nodes[name]
        jobs = {number: job.cores for number, job in self.jobs.items() if job.on == name}
        state = NodeState.BUSY if jobs else NodeState.IDLE
        if node.held:
            state = NodeState.HOLDING if jobs else NodeState.HELD
        if not node.up:
            state = NodeState.ERROR if node.came else NodeState.STARTING
        return BatchNode(name, state, node.flavor.cores, sum(jobs.values()), node.flavor.memory, jobs=tuple(jobs))


@attrs.define(eq=False)
class FakeGround:
    """The fake as `contracts.SchedulerGround` wants one.  folder: not used."""

    folder: Path
    flavor: Flavor = attrs.field(default=Flavor(cores=2))
    fake: FakeScheduler = attrs.field(factory=FakeScheduler)
    reservations: tuple[tuple[Reservation, Reservation, Reservation], ...] = (
        (Reservation(queue="late"), Reservation(queue="late"), Reservation(queue="main")),
        (Reservation(account="a"), Reservation(account="a"), Reservation(account="b")),
        (Reservation(property="CLOUD"), Reservation(property="CLOUD"), Reservation(property="GPU")),
    )

    def __enter__(self) -> FakeGround:
        self.clear()
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is left."""

    def scheduler(self, _reactor: Any) -> FakeScheduler:
        """The fake."""
        return self.fake

    def pilots(self, _reactor: Any) -> None:
        """It takes no pilots."""

    def address(self, host: str) -> str:
        """Of a host."""
        return f"10.0.0.{host.removeprefix('host')}"

    def submit(
        self,
        cores: int = 1,
        seconds: int = 600,
        held: bool = False,
        host: str = "",
        reservation: Reservation | None = None,
    ) -> str:
        """A user submits a job."""
        return self.fake.submit(FakeJob(cores, held, host, reservation or Reservation()))

    def join(self, host: str) -> None:
        """The machine starts."""
        self.fake.join(host)

    def die(self, host: str) -> None:
        """The machine is gone."""
        self.fake.nodes[host].up = False

    def stop(self) -> None:
        """It does not answer."""
        self.fake.away = True

    def start(self) -> None:
        """It answers again."""
        self.fake.away = False

    def clear(self) -> None:
        """Two idle nodes and no jobs."""
        self.fake.jobs.clear()
        self.fake.nodes.clear()
        for name in ("host1", "host2"):
            self.fake.nodes[name] = FakeNode(self.flavor, up=True, came=True, held=False)
