"""A real Slurm whose partitions have static nodes, some of them down, and take nodes that come."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from asyncluster.model.batch import BatchState, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Reservation
from asyncluster.schedulers.slurm.adapter import Slurm
from asyncluster.testing.burst import SLURM_MORE
from asyncluster.testing.slurm import RealSlurm, missing

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]

NEW = ("host3", "host4")


class PartitionTests(TestCase):
    """`mixed` has host1, the placeholder and what else bears CLOUD; `listed` has host1; `cloud` has the set alone."""

    skip = missing() or None
    _stack: contextlib.ExitStack
    slurm: RealSlurm

    @classmethod
    def setUpClass(cls) -> None:
        """One Slurm for all of them."""
        if cls.skip:
            return
        with contextlib.ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="asyncluster-partitions-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o755)
            cls.slurm = stack.enter_context(RealSlurm(folder, more=SLURM_MORE))
            cls._stack = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        """It is gone."""
        if not cls.skip:
            cls._stack.close()

    def setUp(self) -> None:
        """An adapter."""
        self.scheduler: Slurm = self.slurm.scheduler(reactor)
        self.addCleanup(self.slurm.clear)

    async def until(self, condition: Callable[[Demand], object], what: str) -> None:
        """Ask for snapshots until one is so."""
        end = time.monotonic() + 60.0
        while not condition(demand := await self.scheduler.snapshot()):
            assert time.monotonic() < end, f"it did not come to this: {what}; last seen: {demand}"
            await task.deferLater(reactor, 0.2)

    async def come(self) -> None:
        """Two nodes join, and bear no feature."""
        for name in NEW:
            await self.scheduler.add_node(name, self.slurm.address(name), self.slurm.flavor)
            self.slurm.join(name, feature="none")
        for name in NEW:
            await self.until(lambda demand, name=name: _state(demand, name) is NodeState.HELD, f"{name} has come")

    def nodes(self, partition: str) -> list[str]:
        """Those that Slurm lists."""
        return sorted(set(self.slurm.call("sinfo", "-h", "-N", "-p", partition, "-o", "%N").split()))

    async def _reserved_at_once(self, kept: Reservation) -> list[str]:
        await self.come()
        begun: list[Deferred[None]] = [self.scheduler.reserve(name, self.slurm.flavor, kept) for name in NEW]
        await gatherResults(begun)
        return self.nodes(kept.queue)

    async def test_two_at_once_into_a_list(self) -> None:
        """Neither loses its place to the other, and when one goes the rest stays."""
        assert await self._reserved_at_once(Reservation(queue="listed")) == ["host1", "host3", "host4"]
        await self.scheduler.remove_node("host3", Reservation())
        assert self.nodes("listed") == ["host1", "host4"]

    async def test_two_at_once_into_nodes_and_a_set(self) -> None:
        """The static node stays; those that come need not bear the set's feature, or may."""
        expected = ["host1", "host3", "host4", "placeholder"]
        assert await self._reserved_at_once(Reservation(queue="mixed")) == expected
        bearing = Reservation(queue="cloud", property="CLOUD")
        await self.scheduler.reserve("host3", self.slurm.flavor, bearing)
        assert self.nodes("cloud") == ["host3", "placeholder"]
        assert self.nodes("mixed") == expected
        await self.scheduler.remove_node("host3", Reservation())
        assert self.nodes("mixed") == ["host1", "host4", "placeholder"]
        assert self.nodes("cloud") == ["placeholder"]

    async def test_all_nodes_of_a_partition_are_down(self) -> None:
        """Its jobs are demand, for drained static nodes and for the placeholder; they run on a node that comes."""
        self.slurm.call("scontrol", "update", "NodeName=host1", "State=DRAIN", "Reason=repair")
        queues = ("listed", "mixed", "cloud")
        jobs = [self.slurm.submit(1, reservation=Reservation(queue=queue)) for queue in queues]
        await self.until(lambda demand: all("DOWN" in job.reason for job in demand.jobs), "Slurm says why they wait")
        assert {job.id: job.state for job in (await self.scheduler.snapshot()).jobs} == dict.fromkeys(
            jobs, BatchState.QUEUED
        )
        await self._reserved_at_once(Reservation(queue="mixed"))
        await self.scheduler.enable("host3")
        await self.until(
            lambda demand: any(job.id == jobs[1] and job.nodes == ("host3",) for job in demand.jobs), "it runs there"
        )


def _state(demand: Demand, name: str) -> NodeState | None:
    return next((node.state for node in demand.nodes if node.name == name), None)
