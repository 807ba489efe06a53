"""Suites for those who write a part that others plug in: what an implementation must do, proven on it.

    class TestMine(scheduler_contract(MyGround)): ...

`MyGround` is a context manager that starts the real thing, or a fake, and lets the suite do to it what users and
failures do (`SchedulerGround`).
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from twisted.internet import reactor, task
from twisted.trial.unittest import TestCase

from asyncluster.errors import CommandFailedError, NoAnswerError, SchedulerError
from asyncluster.interfaces import IScheduler
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Reservation

LONG = 60.0
"""Seconds after which what is waited for has not come."""


class PilotQueue(Protocol):
    """A batch system as something that pilots are given to; what `supply` asks of it."""

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Give it a script; the job's identifier."""

    async def cancel(self, job: str) -> None:
        """End a job; one that is gone is no fault."""

    async def release(self, job: str) -> None:
        """Let one that was submitted held have its turn."""

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Those that are not over whose names begin so."""


class SchedulerGround(Protocol):
    """A cluster with two static nodes host1 and host2 of `flavor`, where host3 can join."""

    flavor: Flavor
    reservations: tuple[tuple[Reservation, Reservation, Reservation], ...]
    """How a node can be kept: so, for jobs that ask like the second, and not for those that ask like the third."""

    def scheduler(self, reactor: Any) -> Any:
        """The adapter (IScheduler) that is tested."""

    def pilots(self, reactor: Any) -> PilotQueue | None:
        """The queue for pilots; None where there is none."""

    def address(self, host: str) -> str:
        """Of a host."""

    def submit(
        self,
        cores: int = 1,
        seconds: int = 600,
        held: bool = False,
        host: str = "",
        reservation: Reservation | None = None,
    ) -> str:
        """A user submits a job that sleeps; its identifier.  host: only there; reservation: what it asks for.

        RuntimeError where the scheduler refuses it.
        """

    def join(self, host: str) -> None:
        """The machine starts, with its scheduler's daemon."""

    def die(self, host: str) -> None:
        """The machine is gone, with all that ran there."""

    def stop(self) -> None:
        """The scheduler's own daemon dies."""

    def start(self) -> None:
        """It comes back."""

    def clear(self) -> None:
        """No jobs and no nodes but the static ones, all of them idle."""


def scheduler_contract(
    make: Callable[[Path], AbstractContextManager[SchedulerGround]], missing: str = ""
) -> type[TestCase]:
    """The suite for one scheduler.  make: a ground in that folder; missing: why it cannot run here, "" = it can."""

    class SchedulerContract(_SchedulerContract):
        ground_of = staticmethod(make)
        skip = missing or None

    return SchedulerContract


class _SchedulerContract(TestCase):
    ground_of: Callable[[Path], AbstractContextManager[SchedulerGround]]
    timeout = 600.0
    _folder: Path
    _context: AbstractContextManager[SchedulerGround]
    ground: SchedulerGround

    @classmethod
    def setUpClass(cls) -> None:
        if getattr(cls, "skip", None):
            return
        cls._folder = Path(tempfile.mkdtemp(prefix="asyncluster-contract-"))
        cls._folder.chmod(0o755)
        cls._context = cls.ground_of(cls._folder)
        cls.ground = cls._context.__enter__()

    @classmethod
    def tearDownClass(cls) -> None:
        if getattr(cls, "skip", None):
            return
        cls._context.__exit__(None, None, None)
        shutil.rmtree(cls._folder, ignore_errors=True)

    def setUp(self) -> None:
        self.scheduler: IScheduler = self.ground.scheduler(reactor)

    def tearDown(self) -> None:
        self.ground.clear()

    # -- what the tests are written with

    async def until(self, condition: Callable[[Demand], object], what: str) -> Demand:
        """Ask for snapshots until one is so."""
        end = time.monotonic() + LONG
        while True:
            demand = await self.scheduler.snapshot()
            if condition(demand):
                return demand
            if time.monotonic() > end:
                self.fail(f"it did not come to this: {what}; last seen: {demand}")
            await task.deferLater(reactor, 0.2)

    async def refused(self, doing: Awaitable[object], kind: type[Exception]) -> Exception:
        """What it fails with."""
        try:
            await doing
        except kind as error:
            return error
        raise AssertionError(f"no {kind.__name__}")

    async def give(self, enable: bool = True, reservation: Reservation | None = None) -> None:
        """Have host3 join, as the engine does it."""
        await self.scheduler.add_node("host3", self.ground.address("host3"), self.ground.flavor)
        self.ground.join("host3")
        held = (NodeState.HELD,)
        await self.until(lambda demand: _node(demand, "host3").state in held, "host3 has joined and is held")
        await self.scheduler.reserve("host3", self.ground.flavor, reservation or Reservation())
        if enable:
            await self.scheduler.enable("host3")
            await self.until(lambda demand: _node(demand, "host3").state is NodeState.IDLE, "host3 is idle")

    async def running(self, job: str, host: str) -> Demand:
        """Until that job runs there."""
        return await self.until(lambda demand: host in _job(demand, job).nodes, f"job {job} runs on {host}")

    # -- the tests

    async def test_quiet_cluster(self) -> None:
        """A cluster with nothing to do has idle nodes and no jobs."""
        demand = await self.until(_quiet, "two idle nodes and no jobs")
        assert {node.cores for node in demand.nodes} == {self.ground.flavor.cores}
        assert {node.used for node in demand.nodes} == {0}

    async def test_jobs(self) -> None:
        """Running, waiting and held jobs are told apart, with their cores and nodes."""
        everything = self.ground.flavor.cores
        first = self.ground.submit(everything, host="host1")
        await self.running(first, "host1")
        second = self.ground.submit(1, host="host1")
        third = self.ground.submit(1, held=True)
        demand = await self.until(lambda demand: len(demand.jobs) == 3, "three jobs")
        states = [_job(demand, name).state for name in (first, second, third)]
        assert states == [BatchState.RUNNING, BatchState.QUEUED, BatchState.HELD]
        assert [_job(demand, name).cores for name in (first, second)] == [everything, 1]
        node = _node(demand, "host1")
        assert (node.state, node.used) == (NodeState.BUSY, everything)
        assert first in node.jobs
        assert _job(demand, first).cores_on == (everything,)
        assert _job(demand, first).walltime != 0

    async def test_node_comes_and_goes(self) -> None:
        """A node is added held, gets jobs once it is enabled, and is forgotten; each of it may be done twice."""
        await self.give(enable=False)
        await self.scheduler.add_node("host3", self.ground.address("host3"), self.ground.flavor)
        job = self.ground.submit(1, host="host3")
        demand = await self.until(lambda demand: _seen(demand, job), "the job is in the queue")
        assert _job(demand, job).nodes == ()
        for _ in range(2):
            await self.scheduler.enable("host3")
        await self.running(job, "host3")
        for _ in range(2):
            await self.scheduler.hold("host3", "surplus")
        demand = await self.until(lambda demand: _node(demand, "host3").state is NodeState.HOLDING, "holding")
        assert "host3" in _job(demand, job).nodes
        await self.refused(self.scheduler.remove_node("host3", Reservation()), SchedulerError)
        assert "host3" in _job(await self.scheduler.snapshot(), job).nodes
        await self.scheduler.vacate("host3", "over")
        await self.until(lambda demand: _node(demand, "host3").state is NodeState.HELD, "host3 is empty")
        for _ in range(2):
            await self.scheduler.remove_node("host3", Reservation())
        await self.until(lambda demand: _names(demand) == ["host1", "host2"], "host3 is forgotten")

    async def test_hold_and_unhold(self) -> None:
        """A held node lets its job run on and takes no other; after unhold it takes one."""
        job = self.ground.submit(1, host="host1")
        await self.running(job, "host1")
        await self.scheduler.hold("host1", "looking at it")
        await self.until(lambda demand: _node(demand, "host1").state is NodeState.HOLDING, "host1 is holding")
        other = self.ground.submit(1, host="host1")
        demand = await self.until(lambda demand: _seen(demand, other), "the other job is in the queue")
        assert _job(demand, other).nodes == ()
        for _ in range(2):
            await self.scheduler.unhold("host1")
        await self.running(other, "host1")

    async def test_vacate(self) -> None:
        """A vacated node is empty soon and stays held; its job is not lost, but waits to begin anew."""
        job = self.ground.submit(1, host="host1")
        await self.running(job, "host1")
        await self.scheduler.vacate("host1", "spot price")
        demand = await self.until(lambda demand: _node(demand, "host1").state is NodeState.HELD, "host1 is empty")
        assert not any("host1" in one.nodes for one in demand.jobs if one.state is BatchState.RUNNING)
        assert _seen(demand, job)

    async def test_reservations(self) -> None:
        """A node that is kept for a queue, an account or a property serves those jobs and no others."""
        for kept, asks, other in self.ground.reservations:
            await self.give(reservation=kept)
            theirs = ""
            with contextlib.suppress(RuntimeError):  # some are refused at once
                theirs = self.ground.submit(1, host="host3", reservation=other)
            job = self.ground.submit(1, host="host3", reservation=asks)
            demand = await self.running(job, "host3")
            assert _job(demand, theirs).nodes == (), f"{kept}"
            await self.scheduler.vacate("host3", "over")
            await self.until(lambda demand: _node(demand, "host3").state is NodeState.HELD, "host3 is empty")
            await self.scheduler.remove_node("host3", kept)
            self.ground.clear()

    async def test_dead_node(self) -> None:
        """A machine that dies is in error; it can be forgotten then."""
        await self.give()
        job = self.ground.submit(1, host="host3")
        await self.running(job, "host3")
        self.ground.die("host3")
        await self.until(lambda demand: _node(demand, "host3").state is NodeState.ERROR, "host3 is in error")
        await self.scheduler.hold("host3", "it is dead")
        await self.scheduler.vacate("host3", "it is dead")
        await self.until(lambda demand: not _node(demand, "host3").used, "nothing runs on host3")
        end = time.monotonic() + LONG
        while True:
            try:
                await self.scheduler.remove_node("host3", Reservation())
                break
            except SchedulerError:
                assert time.monotonic() < end
        await self.until(lambda demand: _names(demand) == ["host1", "host2"], "host3 is forgotten")

    async def test_no_answer(self) -> None:
        """A scheduler whose daemon is away gives no answer: not an empty queue, and nothing is done."""
        self.ground.submit(1, held=True)
        await self.until(lambda demand: len(demand.jobs) == 1, "a job")
        self.ground.stop()
        try:
            await self.refused(self.scheduler.snapshot(), NoAnswerError)
            await self.refused(self.scheduler.hold("host1", "why not"), NoAnswerError)
            await self.refused(self.scheduler.remove_node("host1", Reservation()), NoAnswerError)
        finally:
            self.ground.start()
        end = time.monotonic() + LONG
        while True:
            try:
                demand = await self.scheduler.snapshot()
                break
            except NoAnswerError:
                assert time.monotonic() < end
        assert len(demand.jobs) == 1

    async def test_strange_names(self) -> None:
        """Names that could be options, or several, are refused before any command sees them."""
        for name in ("-h", "host1 host2", "host1;id", "*", "", "host\n1", "a" * 300):
            for doing in (self.scheduler.hold, self.scheduler.vacate):
                await self.refused(doing(name, "why not"), SchedulerError)
            await self.refused(self.scheduler.enable(name), SchedulerError)
            await self.refused(self.scheduler.add_node(name, "10.0.0.1", self.ground.flavor), SchedulerError)
            await self.refused(self.scheduler.remove_node(name, Reservation()), SchedulerError)

    async def test_unknown_node(self) -> None:
        """What is done to a node that is not known is refused; forgetting it is no fault."""
        await self.refused(self.scheduler.hold("host9", "why not"), SchedulerError)
        await self.refused(self.scheduler.enable("host9"), SchedulerError)
        await self.scheduler.remove_node("host9", Reservation())

    async def test_pilots(self) -> None:
        """A pilot is submitted held, found by its name, released, and cancelled; a refusal says what was run."""
        queue = self.ground.pilots(reactor)
        if queue is None:
            return
        script = "#!/bin/sh\n#\nsleep 600\n"
        name = ("-J", "acpool-1") if self.scheduler.name == "slurm" else ("-N", "acpool-1")
        job = await queue.submit(script, (*name, *self._quiet_output()), held=True)
        seen = await queue.jobs_named("acpool-")
        assert [(one.id, one.state) for one in seen] == [(job, BatchState.HELD)]
        assert await queue.jobs_named("other-") == ()
        await queue.release(job)
        await self.until(lambda demand: _job(demand, job).state is BatchState.RUNNING, "the pilot runs")
        for _ in range(2):
            await queue.cancel(job)
        await self.until(lambda demand: not _seen(demand, job), "the pilot is gone")
        await queue.cancel(job)
        error = await self.refused(queue.submit(script, ("--no-such-option",)), CommandFailedError)
        assert isinstance(error, CommandFailedError)
        assert "--no-such-option" in error.argv
        assert "option" in error.stderr
        assert error.code != 0

    def _quiet_output(self) -> tuple[str, ...]:
        return ("-o", "/dev/null") if self.scheduler.name == "slurm" else ("-j", "y", "-o", "/dev/null")


def _names(demand: Demand) -> list[str]:
    return sorted(node.name for node in demand.nodes)


def _quiet(demand: Demand) -> bool:
    idle = all(node.state is NodeState.IDLE for node in demand.nodes)
    return _names(demand) == ["host1", "host2"] and idle and not demand.jobs


def _node(demand: Demand, name: str) -> BatchNode:
    """That node; one that is starting where it is not known."""
    return next((node for node in demand.nodes if node.name == name), BatchNode(name, NodeState.STARTING))


def _seen(demand: Demand, name: str) -> bool:
    return any(job.id == name for job in demand.jobs)


def _job(demand: Demand, name: str) -> BatchJob:
    """That job; one that waits where it is not in the queue."""
    return next((job for job in demand.jobs if job.id == name), BatchJob(name, BatchState.BLOCKED))
