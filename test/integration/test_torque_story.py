"""The engine grows and shrinks a Torque: its real adapter on the stand-in's programs, machines of an in-memory cloud.

With Maui and without.  What is told here in seconds is hours at a site; nothing depends on how long anything takes.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.process import ProcessReader
from twisted.trial.unittest import TestCase

from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.model.supply import Flavor, Pool, Reservation
from asyncluster.testing.elastic_fakes import FakeCloud, MemoryBook
from asyncluster.testing.elastic_world import Faults, World
from asyncluster.testing.torque import SimulatedTorque

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LONG = 60.0
STATIC = ("host1", "host2", "spare")


class _Story(TestCase):
    """Two static nodes, and `spare`: offline for ever, so that Torque lets jobs for a burst wait."""

    maui: bool
    timeout = 600.0

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="asyncluster-torque-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.torque = SimulatedTorque(self.folder, maui=self.maui)
        self.torque.__enter__()
        with self.torque.server as state:
            state["hosts"] += ["spare", *(f"cloud-{number}" for number in range(1, 9))]
        self.torque.call("qmgr", "-c", 'create node spare np=2,properties="CLOUD,late"')
        self.torque.call("pbsnodes", "-o", "spare")

    def begin(self, reservation: Reservation, least: int = 0, age: float = 60.0) -> None:
        """Start the engine with one pool that is kept so."""
        words = tuple(filter(None, (reservation.queue, reservation.account)))  # as the master does it
        pool = Pool("cloud", "fake", Flavor(2), reservation, least=least, most=2, spawn_rate=600.0, bears=words)
        self.world = World(Random(1), (pool,), Faults(), boot=0.2, end=0.2)
        self.world.now = reactor.seconds()
        self.pool, self.age, self.book = pool, age, MemoryBook()
        self.engine = self.master()
        self.steps: list[str] = []
        self.asked_before = len(self.torque.calls())
        self.pump = task.LoopingCall(self.turn)
        self.pump.start(0.1)
        self.engine.startService()
        self.addCleanup(self.end)

    def master(self) -> Engine:
        """One that goes by what its forerunner left in the book."""
        options = Options(
            max_idle_time=1.0, max_down_time=3.0, cluster_poller_interval=0.5, cloud_poller_interval=0.5,
            auto_provision_interval=0.2, missing_time=1.0, max_snapshot_age=self.age, realm="r",
        )  # fmt: skip
        scheduler = self.torque.scheduler(reactor)
        assert scheduler.maui is self.maui
        cloud = FakeCloud(self.world, "cloud")
        return Engine(reactor, scheduler, [self.pool], {"cloud": cloud}, self.book, options)

    async def _end(self) -> None:
        self.pump.stop()
        await self.engine.stopService()
        for _ in range(600):  # commands that were given up are being ended
            if not any(isinstance(one, ProcessReader) for one in reactor.getReaders()):
                break
            await task.deferLater(reactor, 0.1)

    def end(self) -> Any:
        return Deferred.fromCoroutine(self._end())

    def turn(self) -> None:
        """The world goes on: machines boot with their mom, and end."""
        self.world.pass_to(reactor.seconds(), self.engine.renews)
        living = {one.name for one in self.world.living("cloud") if one.boots <= self.world.now}
        with self.torque.server as state:
            for name, node in state["nodes"].items():
                if name.startswith("cloud-"):
                    node["came"] = node["came"] or name in living
                    node["up"] = name in living
        for name, node in self.engine.status()["nodes"].items():
            step = f"{name} {node['life']}"
            if step not in self.steps[-4:]:
                self.steps.append(step)

    async def until(self, done: Callable[[], object], what: str) -> None:
        end = time.monotonic() + LONG
        while not done():
            if time.monotonic() > end:
                self.fail(f"it did not come to this: {what}; {self.engine.status()}; {self.steps}")
            await task.deferLater(reactor, 0.1)

    # what is looked at

    def job(self, number: str) -> dict[str, Any]:
        with self.torque.server as state:
            return dict(state["jobs"][number.partition(".")[0]])

    def runs_on(self, number: str) -> list[str]:
        return list(self.job(number)["on"])

    def over(self, number: str) -> None:
        """The job ends."""
        with self.torque.server as state:
            state["jobs"][number.partition(".")[0]].update(end=0.0)

    def nodes(self) -> dict[str, Any]:
        with self.torque.server as state:
            return {name: node for name, node in state["nodes"].items() if name not in STATIC}

    def life(self, name: str) -> str:
        return str(self.engine.status()["nodes"].get(name, {}).get("life", "gone"))

    def sees(self, name: str, job: str) -> bool:
        """Whether the engine knows that the job runs there."""
        return job in self.engine.status()["nodes"].get(name, {}).get("jobs", ()) and self.life(name) == "up"

    def fill(self) -> list[str]:
        """Every static node is busy."""
        return [self.torque.submit(2, host=host) for host in ("host1", "host2")]

    def check_static(self) -> None:
        """No static node was touched, and nothing was destroyed that ran a job."""
        for words in self.torque.calls()[self.asked_before :]:
            if words[0] not in {"qstat", "pbsnodes", "qsub"} or (words[0] == "pbsnodes" and words[1] != "-x"):
                assert not any(name in " ".join(words).split() for name in STATIC), words
        assert self.world.wrongs == []

    # the stories

    async def burst(self, reservation: Reservation, **asks: Any) -> None:
        """Launched, added offline, kept, enabled; runs; idle, held, removed, destroyed."""
        fillers = self.fill()
        job = self.torque.submit(2, reservation=Reservation(**asks))
        assert not self.runs_on(job)
        self.begin(reservation)
        await self.until(lambda: self.runs_on(job) == ["cloud-1"], "the job runs on a new node")
        assert self.world.launched == 1
        with self.torque.server as state:
            kept = [(one["kind"], one["word"]) for one in state["kept"].values() if one["node"] == "cloud-1"]
            node = state["nodes"]["cloud-1"]
        words = [reservation.queue or reservation.account]
        assert kept == ([("queue" if reservation.queue else "account", *words)] if self.maui and any(words) else [])
        assert set(filter(None, (reservation.property, *words))) <= set(node["properties"])
        self.over(job)
        await self.until(lambda: not self.engine.status()["nodes"], "it is gone")
        assert self.nodes() == {}
        assert self.world.living("cloud") == []
        with self.torque.server as state:
            assert state["kept"] == {}
        asked = [" ".join(words[:1] + words[-2:]) for words in self.torque.calls()[self.asked_before :]]
        told = [one for one in asked if "cloud-1" in one]
        road = [
            "create node cloud-1",
            "-o cloud-1",
            "set node cloud-1",
            "-c cloud-1",
            "-o cloud-1",
            "delete node cloud-1",
        ]
        where = 0
        for one in told:
            where += where < len(road) and road[where] in one
        assert where == len(road), told
        assert all(self.runs_on(one) for one in fillers)
        self.check_static()

    def test_property(self) -> Any:
        """A property that no static node in use has."""
        return self.run_story(self.burst(Reservation(property="CLOUD"), property="CLOUD"))

    def test_account(self) -> Any:
        """An account whose pool's nodes serve nobody else."""
        return self.run_story(self.burst(Reservation(account="projA"), account="projA"))

    def test_queue(self) -> Any:
        """A queue that asks for a property by itself, as Dynamic Torque's manual has it."""
        self.torque.call("qmgr", "-c", "set queue late resources_default.neednodes = late")
        return self.run_story(self.burst(Reservation(queue="late"), queue="late"))

    async def others(self) -> None:
        """A node that is kept for one account is no room for another's job, and launches nothing for it either."""
        self.fill()
        mine = self.torque.submit(2, reservation=Reservation(account="projA"))
        other = self.torque.submit(2, reservation=Reservation(account="projB"))
        self.begin(Reservation(account="projA"))
        await self.until(lambda: self.runs_on(mine), "mine runs")
        await self.until(lambda: self.engine.explain_job(other) is not None, "the other's reason")
        reason = self.engine.explain_job(other)
        assert reason is not None
        assert "is kept for account projA" in reason.text
        assert self.world.launched == 1
        self.check_static()

    def test_others(self) -> Any:
        """See `others`."""
        return self.run_story(self.others())

    async def dead(self) -> None:
        """A machine dies with a job: it is forgotten, destroyed and replaced, and the job begins anew."""
        job = self.torque.submit(2, reservation=Reservation(property="CLOUD"))
        self.begin(Reservation(property="CLOUD"))
        await self.until(lambda: self.runs_on(job) == ["cloud-1"], "the job runs")
        (machine,) = self.world.living("cloud")
        machine.ended = self.world.now
        await self.until(lambda: self.runs_on(job) == ["cloud-2"], "the job runs on another node")
        await self.until(lambda: list(self.nodes()) == ["cloud-2"], "the dead node is forgotten")
        await self.until(lambda: list(self.engine.status()["nodes"]) == ["cloud-2"], "its record as well")
        self.check_static()

    def test_dead_node(self) -> Any:
        """See `dead`."""
        return self.run_story(self.dead())

    async def restarted(self) -> None:
        """A master that stops while a node is on its way: the next one goes on with that node, and makes no other."""
        self.fill()
        job = self.torque.submit(2, reservation=Reservation(account="projA"))
        self.begin(Reservation(account="projA"))
        await self.until(self.nodes, "Torque knows a new node")
        await self.engine.stopService()
        assert self.world.launched == 1
        self.engine = self.master()
        self.engine.startService()
        await self.until(lambda: self.runs_on(job) == ["cloud-1"], "the job runs")
        assert self.world.launched == 1
        self.over(job)
        await self.until(lambda: not self.engine.status()["nodes"], "it is gone")
        assert self.nodes() == {}
        with self.torque.server as state:
            assert state["kept"] == {}
        self.check_static()

    def test_restart(self) -> Any:
        """See `restarted`."""
        return self.run_story(self.restarted())

    async def steered(self) -> None:
        """Hold, unhold, vacate, freeze, restore, drain: Torque's nodes are as they were told to be."""
        job = self.torque.submit(2, reservation=Reservation(property="CLOUD"))
        self.begin(Reservation(property="CLOUD"))
        await self.until(lambda: self.sees("cloud-1", job), "the job runs, and the engine knows it")
        await self.engine.hold("cloud-1", "ann")
        await self.until(lambda: self.life("cloud-1") == "held", "it is held")
        assert self.nodes()["cloud-1"]["offline"]
        assert self.runs_on(job) == ["cloud-1"]
        await self.engine.unhold("cloud-1")
        await self.until(lambda: self.life("cloud-1") == "up", "it is up")
        assert not self.nodes()["cloud-1"]["offline"]
        await self.engine.freeze("cloud", "ann")
        await self.engine.vacate("cloud-1", "ann")
        await self.until(lambda: self.job(job)["state"] == "Q", "the job waits again")
        await self.until(lambda: self.engine.explain_job(job) is not None, "its reason")
        launched = self.world.launched
        assert launched == 1, "a frozen pool launches nothing"
        await self.engine.restore("cloud")
        await self.until(lambda: self.sees("cloud-2", job), "a new node has it")
        assert self.nodes()["cloud-1"]["offline"]
        await self.engine.drain("cloud", "ann")
        await self.until(lambda: self.nodes().get("cloud-2", {}).get("offline"), "it is held")
        await self.until(lambda: list(self.nodes()) == ["cloud-2"], "the empty one goes")
        assert self.runs_on(job) == ["cloud-2"]
        self.over(job)
        await self.until(lambda: not self.engine.status()["nodes"], "all are gone")
        self.check_static()

    def test_steering(self) -> Any:
        """See `steered`."""
        return self.run_story(self.steered())

    async def away(self) -> None:
        """The server is away: nothing is launched or destroyed, and the status says why; then it goes on."""
        job = self.torque.submit(2, reservation=Reservation(property="CLOUD"))
        self.begin(Reservation(property="CLOUD"), age=10.0)
        await self.until(lambda: self.sees("cloud-1", job), "the job runs")
        self.torque.stop()
        self.over(job)
        launched = self.world.launched
        await self.until(lambda: self.engine.status()["engine"]["rule"] == "silent", "it says that nobody answers")
        assert "onnection refused" in self.engine.status()["scheduler"]["fault"]
        for _ in range(20):
            await task.deferLater(reactor, 0.1)
        assert len(self.world.living("cloud")) == launched == self.world.launched
        assert all(machine.ending is None for machine in self.world.machines.values())
        self.torque.start()
        await self.until(lambda: not self.engine.status()["scheduler"]["fault"], "it answers again")
        waiting = self.torque.submit(2, reservation=Reservation(property="CLOUD"))
        await self.until(lambda: self.runs_on(waiting), "the other job runs")
        self.over(waiting)
        await self.until(lambda: not self.engine.status()["nodes"], "all are gone")
        self.check_static()

    def test_server_away(self) -> Any:
        """See `away`."""
        return self.run_story(self.away())

    def run_story(self, story: Any) -> Any:
        return Deferred.fromCoroutine(story)


class TestWithMaui(_Story):
    """Maui keeps nodes for queues and accounts."""

    maui = True


class TestAlone(_Story):
    """Properties have to do."""

    maui = False


del _Story
