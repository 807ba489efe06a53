"""The service on a clock: discovers, plans, runs, keeps its book, and goes on after whatever goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from asyncluster.elastic.desk import Desk
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Commands, Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord, Steer
from asyncluster.errors import CloudError, CommandFailedError, RefusedError, StoreError
from asyncluster.interfaces import IReadinessCheck
from asyncluster.model.supply import Flavor, Instance, Order, Pool
from asyncluster.testing.elastic_fakes import FakeCloud, FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World

COMMANDS = Commands(("up", "{0}", "{1}", "{2}"), ("gone", "{0}"), ("added", "{0}"), ("removed", "{0}"))


class Site:
    """An engine, its world and its clock; `hooks` is what commands were run."""

    def __init__(self, faults: Faults | None = None, most: int = 3, least: int = 0, check: Any = None) -> None:
        self.check = check
        self.clock = Clock()
        self.pool = Pool("p", "fake", Flavor(4), most=most, least=least)
        self.world = World(Random(1), (self.pool,), faults or Faults())
        self.book = MemoryBook()
        self.options = Options(max_idle_time=100.0, missing_time=40.0, realm="r", commands=COMMANDS)
        self.hooks: list[tuple[str, ...]] = []
        self.engine = self.start()

    def run(self, argv: tuple[str, ...], environment: Any, limit: float) -> Deferred[None]:
        self.hooks.append(argv)
        assert environment["ASYNCLUSTER_NODE"].startswith("p-")
        if argv[0] == "added":
            return maybeDeferred(self._fails)
        return maybeDeferred(lambda: None)

    def _fails(self) -> None:
        raise CommandFailedError("added ended with 3: no such zone")

    def start(self) -> Engine:
        engine = Engine(
            self.clock, FakeScheduler(self.world), [self.pool], {"p": FakeCloud(self.world, "p")}, self.book,  # type: ignore[arg-type] # a Clock has no threads
            self.options, check=self.check, hooks=self, wall=lambda: self.clock.seconds() + 1e9,
            think=lambda situation: maybeDeferred(plan, situation),
        )  # fmt: skip
        engine.startService()
        return engine

    def until(self, done: Callable[[], bool], seconds: float = 3000.0) -> float:
        begin = self.clock.seconds()
        while not done():
            assert self.clock.seconds() - begin < seconds, self.engine.status()
            self.clock.advance(1.0)
            self.world.pass_to(self.clock.seconds(), self.engine.renews)
        return self.clock.seconds() - begin

    def up(self) -> int:
        return sum(node["life"] == "up" for node in self.engine.status()["nodes"].values())


def test_from_a_waiting_job_to_nothing_left() -> None:
    """A node is launched, runs the job, idles, is held, removed, destroyed; hooks run in order, a bad one is shown."""
    site = Site()
    job = site.world.submit(2, 30.0)
    site.engine.wake()
    site.until(lambda: site.up() == 1)
    node = site.engine.status()["nodes"]["p-1"]
    assert "no such zone" in node["fault"]
    site.until(lambda: job not in site.world.works)
    site.until(lambda: not site.engine.status()["nodes"])
    assert [argv[0] for argv in site.hooks] == ["up", "added", "added", "added", "removed", "gone"]
    assert site.hooks[0] == ("up", "p-1", "10.0.0.1", "p-1")
    assert site.world.living("p") == []
    assert site.world.wrongs == []
    site.until(lambda: not [key for key in site.book.kept if key.startswith("node/")])


@pytest.mark.parametrize("ends", [False, True])
def test_nodes_end_with_the_master_where_they_are_to(ends: bool) -> None:
    """None is left in the cloud, one that is on its way included, and the book says that they are going."""
    site = Site()
    site.engine._options = attrs.evolve(site.options, end_with_master=ends)
    site.world.submit(2, 3000.0)
    site.world.submit(2, 3000.0)
    site.engine.wake()
    site.until(lambda: bool(site.world.living("p")))
    over: list[object] = []
    site.engine.stopService().addBoth(over.append)
    site.until(lambda: bool(over))
    assert {machine.ending is not None for machine in site.world.living("p")} == {ends}
    lives = {value["life"] for key, value in site.book.kept.items() if key.startswith("node/")}
    assert (lives == {"destroying"}) is ends


class Late:
    """A readiness check that finds something missing so often, and then something else."""

    def __init__(self) -> None:
        self.answers = ["the port"] * 5 + ["its key"] * 5

    def check(self, name: str, address: str) -> Deferred[str]:
        return succeed(self.answers.pop() if self.answers else "")


def test_what_is_waited_for_is_told_once_and_when_it_changes() -> None:
    """However often a node is looked at that is not ready."""
    told: list[str] = []

    def hear(event: LogEvent) -> None:
        if event.get("log_namespace") == "asyncluster.elastic.engine" and event["log_level"] is not LogLevel.debug:
            told.append(formatEvent(event))

    globalLogPublisher.addObserver(hear)
    try:
        site = Site(check=Late())
        site.world.submit(2, 30.0)
        site.engine.wake()
        site.until(lambda: site.up() == 1)
    finally:
        globalLogPublisher.removeObserver(hear)
    assert [line.partition(":")[0] for line in told if "check" in line] == ["check its configuration p-1"]
    assert [line for line in told if "not ready" in line] == ["p-1 is not ready: its key", "p-1 is not ready: the port"]


class Never:
    """A readiness check that no node passes."""

    def check(self, name: str, address: str) -> Deferred[str]:
        return succeed("its key")


def test_a_node_that_is_given_up_is_a_warning_with_its_cause() -> None:
    """Once for each node that goes because something is wrong with it; one that nobody needs is none."""
    told: list[str] = []

    def hear(event: LogEvent) -> None:
        if event.get("log_namespace") == "asyncluster.elastic.engine" and event["log_level"] is LogLevel.warn:
            told.append(formatEvent(event))

    globalLogPublisher.addObserver(hear)
    try:
        site = Site(check=Never(), most=1)
        job = site.world.submit(2, 30.0)
        site.engine.wake()
        site.until(lambda: "p-2" in site.engine.status()["nodes"])
        site.check.check = lambda name, address: succeed("")
        site.until(lambda: job not in site.world.works and not site.engine.status()["nodes"], 10_000.0)
    finally:
        globalLogPublisher.removeObserver(hear)
    (line,) = [line for line in told if "given up" in line]
    assert line.startswith("p-1 of pool p is given up: not of use")
    assert "max_launch_time is 1200" in line
    assert "(max_launch_time is 1200): its key" in line


class Stubborn(FakeCloud):
    """Does not end one of its nodes, and never answers about another."""

    def destroy(self, instance: Instance) -> Deferred[None]:
        """As its world has it, for the others."""
        if instance.name == "p-1":
            return fail(CloudError("it is locked"))
        return Deferred() if instance.name == "p-2" else super().destroy(instance)


def test_a_node_that_cannot_be_ended_keeps_no_other() -> None:
    """One is refused, one is not answered: the rest end with the master all the same, and it comes to its end."""
    site = Site(most=5, least=5)
    site.until(lambda: site.up() == 5)
    site.engine._options = attrs.evolve(site.options, end_with_master=True)
    site.engine._clouds = {"p": Stubborn(site.world, "p")}
    over: list[object] = []
    site.engine.stopService().addBoth(over.append)
    site.until(lambda: bool(over))
    assert {machine.name for machine in site.world.living("p") if machine.ending is None} == {"p-1", "p-2"}


def test_a_wake_need_not_wait_for_the_interval() -> None:
    """New work long before the next look is served at once; without a wake it waits."""
    site = Site()
    site.until(lambda: site.clock.seconds() > 61.0)
    site.world.submit(1, 5.0)
    site.engine.wake()
    assert site.until(lambda: bool(site.world.machines)) < 5.0


def test_nothing_is_launched_that_is_not_in_the_book() -> None:
    """A disk that is full: no create call, and the status says why; it heals by itself."""
    site = Site()
    site.book.broken = OSError("disk full")
    site.world.submit(1, 5.0)
    site.until(lambda: "disk full" in site.engine.status()["engine"]["fault"])
    assert site.world.machines == {}
    site.book.broken = None
    site.until(lambda: bool(site.world.machines))
    assert site.engine.status()["engine"]["fault"] == ""


def test_a_database_that_is_away_keeps_nobody_from_looking_after_nodes() -> None:
    """Wishes are answered, what is idle goes, nothing is launched; what waits is written when the database is back."""
    site = Site()
    job = site.world.submit(4, 200.0)
    site.until(lambda: site.up() == 1)
    site.book.away = True
    site.until(lambda: job not in site.world.works)
    site.until(lambda: not site.engine.status()["nodes"])
    refused: list[Any] = []
    site.engine.freeze("p", "ann").addErrback(refused.append)
    site.until(lambda: bool(refused))
    assert refused[0].check(StoreError)
    assert "kept once its database is back" in refused[0].getErrorMessage()
    assert site.engine.status()["pools"]["p"]["mode"] == "frozen"
    site.engine.restore("p").addErrback(refused.append)
    machines = len(site.world.machines)
    site.world.submit(4, 5.0)
    site.engine.wake()
    site.until(lambda: "nothing is launched" in site.engine.status()["engine"]["fault"])
    begin = site.clock.seconds()
    site.until(lambda: site.clock.seconds() > begin + 100.0)
    assert (len(site.world.machines), len(site.book.waits)) == (machines, 1), "and not one more for each attempt"
    site.book.come_back()
    site.until(lambda: len(site.world.machines) > machines and not site.engine.status()["engine"]["fault"])
    site.until(lambda: not site.world.works and not site.engine.status()["nodes"])


@pytest.mark.parametrize("ends", [False, True])
def test_a_master_whose_database_is_away_can_be_stopped(ends: bool) -> None:
    """In the middle of a plan that waits for the book, too; its nodes end with it where they are to."""
    site = Site(least=1)
    site.until(lambda: site.up() == 1)
    site.engine._options = attrs.evolve(site.options, end_with_master=ends)
    site.book.away = True
    site.world.submit(4, 5.0)
    site.world.submit(4, 5.0)
    site.engine.wake()
    site.until(lambda: bool(site.book.waits))
    over: list[object] = []
    site.engine.stopService().addBoth(over.append)
    site.until(lambda: bool(over), seconds=100.0)
    assert all(machine.ending is not None for machine in site.world.machines.values()) is ends


def test_a_silent_scheduler_stops_everything_and_is_named() -> None:
    """Two minutes without an answer: the idle node stays; it goes when the scheduler is back."""
    site = Site()
    site.world.submit(1, 5.0)
    site.until(lambda: site.up() == 1)
    site.world.faults.silence = 1.0
    site.until(lambda: site.engine.status()["engine"]["rule"] == "silent")
    begin = site.clock.seconds()
    site.until(lambda: site.clock.seconds() > begin + 200.0)
    assert site.up() == 1
    assert site.engine.status()["scheduler"]["fault"]
    site.world.faults.silence = 0.0
    site.until(lambda: not site.engine.status()["nodes"])


def test_nothing_is_begun_on_the_last_words_of_a_scheduler_that_is_away() -> None:
    """However new they are: what waited then may have been served, or deleted, since."""
    site = Site()
    site.engine.freeze("p", "anna")
    site.world.submit(1, 5.0)
    site.until(lambda: "frozen" in site.engine.status()["pools"]["p"]["rule"])
    site.world.faults.silence = 1.0
    site.until(lambda: bool(site.engine.status()["scheduler"]["fault"]))
    assert site.engine.status()["scheduler"]["age"] < site.options.max_snapshot_age / 2
    site.engine.restore("p")
    begin = site.clock.seconds()
    site.until(lambda: site.clock.seconds() > begin + 5.0)
    assert site.engine.status()["engine"]["rule"] == "silent"
    assert site.world.machines == {}
    site.world.faults.silence = 0.0
    site.until(lambda: bool(site.world.machines))


@pytest.mark.parametrize("after", [0.5, 2.0, 20.0, 47.0, 70.0, 150.0, 200.0])
def test_a_killed_master_finds_its_nodes_again(after: float) -> None:
    """It is never told to stop; the next one takes over what is in the book, and nothing is left in the end."""
    site = Site(least=1)
    site.world.submit(4, 60.0)
    site.engine.wake()
    site.until(lambda: site.clock.seconds() >= after)
    for call in site.clock.getDelayedCalls():
        call.cancel()
    site.engine = site.start()
    site.until(lambda: not site.world.works)
    site.until(lambda: site.up() == 1 and len(site.engine.status()["nodes"]) == 1)
    site.until(lambda: len(site.world.living("p")) == 1)
    assert site.world.wrongs == []


def test_faults_of_every_kind_and_still_the_work_is_done() -> None:
    """Refusals, lost replies, duplicates, lies: in the end all is run and nothing is left."""
    faults = Faults(
        capacity=0.2, refused=0.2, lost_reply=0.2, no_answer=0.2, duplicate=0.2, stillborn=0.2, lie=0.5, gap=0.1,
        silence=0.2, lag=20.0,
    )  # fmt: skip
    site = Site(faults)
    for _ in range(6):
        site.world.submit(2, 50.0)
    site.until(lambda: not site.world.works, 30_000.0)
    site.world.faults = Faults()
    site.until(lambda: not site.engine.status()["nodes"] and not site.world.living("p"), 30_000.0)
    assert site.world.wrongs == []


def test_people_steer_and_the_book_remembers() -> None:
    """Requests, hold, delete, drain; an unknown name is refused with those that are known; modes outlive a restart."""
    site = Site()
    site.engine.launch("p", 2, "ann")
    site.until(lambda: site.up() == 2)
    site.engine.hold("p-1", "ann")
    site.until(lambda: site.engine.status()["nodes"]["p-1"]["life"] == "held")
    site.engine.unhold("p-1")
    site.until(lambda: site.up() == 2)
    site.engine.set_auto(False)
    site.engine.delete("p-2", "ann")
    site.until(lambda: "p-2" not in site.engine.status()["nodes"])
    wrong: list[Any] = []
    site.engine.freeze("q", "ann").addErrback(wrong.append)
    assert wrong[0].check(RefusedError)
    assert "there are: p" in wrong[0].getErrorMessage()
    stopped: list[object] = []
    site.engine.stopService().addCallback(stopped.append)
    assert stopped == [None]
    assert site.clock.getDelayedCalls() == []
    site.engine = site.start()
    assert site.engine.status()["engine"]["auto"] is False
    settled: list[object] = []
    site.engine.drain("p", "ann")
    site.until(lambda: not site.engine.status()["nodes"])
    site.engine.settled().addCallback(settled.append)
    assert settled == [None]


def test_a_preview_does_nothing_and_says_why() -> None:
    """What the next tick would launch, with its cause."""
    site = Site()
    site.until(lambda: site.engine.status()["scheduler"]["age"] is not None)
    site.world.submit(1, 5.0)
    site.clock.advance(12.0)
    made: list[Any] = []
    before = len(site.world.machines)
    site.engine.preview().addCallback(made.append)
    assert len(site.world.machines) == before
    assert all(action.cause for action in made[0].actions)
    assert site.engine.explain_pool("p") is not None


def test_the_engine_knows_no_test_helper() -> None:
    """What ships does not import what is there for tests."""
    folder = Path(sys.modules["asyncluster.elastic.engine"].__file__ or "").parent
    assert not any("asyncluster.testing" in path.read_text() for path in folder.glob("*.py"))


@implementer(IReadinessCheck)
class Readiness:
    """Says what it is told to, and counts how often it was asked."""

    missing = "it has not registered"
    asked = 0

    def check(self, name: str, address: str) -> Deferred[str]:
        self.asked += 1
        return maybeDeferred(lambda: self.missing)


def test_a_node_that_makes_itself_known_is_looked_at_at_once() -> None:
    """Not after the pause of a check that found it missing; other names, and nodes that are up, are not looked at."""
    site = Site(check=Readiness(), least=1)
    site.until(lambda: site.check.asked == 1)
    site.clock.advance(0.1)
    site.check.missing = ""
    site.engine.arrived("somebody")
    assert site.check.asked == 1
    site.engine.arrived("p-1")
    site.clock.pump([0.0] * 3)
    assert (site.check.asked, site.engine.status()["nodes"]["p-1"]["life"]) == (2, "enabled")
    site.until(lambda: site.up() == 1)
    site.engine.arrived("p-1")
    assert site.check.asked == 2


def test_the_cloud_of_a_node_that_fell_silent_is_asked_soon() -> None:
    """So that what is known to be gone is given up and replaced, long before anything counts as missing."""
    site = Site(Faults(lag=8.0), least=1)  # for so long the cloud lists what is gone
    site.until(lambda: site.up() == 1)
    (machine,) = site.world.living("p")
    machine.ended = site.clock.seconds()
    site.engine.parted("somebody")
    site.engine.parted("p-1")
    site.until(lambda: "p-1" not in site.engine.status()["nodes"], seconds=10.0)


class Slow(FakeCloud):
    """Answers a launch when it is told to."""

    def __init__(self, world: World, pool: str) -> None:
        super().__init__(world, pool)
        self.asked: list[tuple[Order, Deferred[Instance]]] = []

    def launch(self, order: Order) -> Deferred[Instance]:
        """Not yet."""
        answer: Deferred[Instance] = Deferred()
        self.asked.append((order, answer))
        return answer

    def refuse(self) -> None:
        """All that is asked for now."""
        asked, self.asked = self.asked, []
        for _, answer in asked:
            answer.errback(CloudError("500 internal error"))


class SlowSite(Site):
    """Many nodes are wanted at once, and the cloud takes its time."""

    def __init__(self, at_once: int = 20, work: int = 30) -> None:
        self.at_once = at_once
        super().__init__(most=30)
        for _ in range(work):
            self.world.submit(4, 3000.0)
        self.engine.wake()
        self.until(lambda: len(self.cloud.asked) == min(at_once, work))

    def start(self) -> Engine:
        self.cloud = Slow(self.world, "p")
        self.pool = attrs.evolve(self.pool, spawn_rate=60.0)
        self.options = attrs.evolve(self.options, at_once=self.at_once)
        engine = Engine(
            self.clock, FakeScheduler(self.world), [self.pool], {"p": self.cloud}, self.book,  # type: ignore[arg-type] # a Clock has no threads
            self.options, wall=lambda: self.clock.seconds() + 1e9,
            think=lambda situation: maybeDeferred(plan, situation),
        )  # fmt: skip
        engine.startService()
        return engine

    @property
    def record(self) -> dict[str, Any]:
        return self.book.kept.get("pool/p", {})


def test_a_master_that_is_stopped_in_a_burst_is_no_failure_of_the_pool() -> None:
    """What was asked for is looked for at the next start; what was not is forgotten, and nobody is asked any more."""
    site = SlowSite()
    before = list(site.cloud.asked)
    over: list[object] = []
    site.engine.stopService().addBoth(over.append)
    site.until(lambda: bool(over))
    assert site.cloud.asked == before
    assert "failures" not in site.record
    assert "retry_at" not in site.record
    kept = {key.removeprefix("node/") for key in site.book.kept if key.startswith("node/")}
    assert kept == {order.name for order, _ in before}
    site.engine = site.start()
    site.until(lambda: bool(site.cloud.asked))


def test_a_request_that_was_not_begun_is_still_one() -> None:
    """A person's nodes are asked for by the next master."""
    site = SlowSite(2, work=0)
    site.engine.launch("p", 5, "ann")
    site.until(lambda: len(site.cloud.asked) == 2)
    over: list[object] = []
    site.engine.stopService().addBoth(over.append)
    site.until(lambda: bool(over))
    assert (site.book.kept["pool/p"]["asked"], site.book.kept["pool/p"]["asked_by"]) == (3, "ann")


def test_refusals_of_one_tick_are_one_failure() -> None:
    """Ten in a row are not ten at once: the pool is tried again after seconds."""
    site = SlowSite(30)
    site.cloud.refuse()
    site.clock.advance(2.0)
    assert site.record["failures"] == 1
    assert site.record["retry_at"] - 1e9 - site.clock.seconds() <= 5.0


def test_launches_that_wait_are_not_begun_in_a_pool_that_is_paused() -> None:
    """Once the cloud refuses, those behind are not asked for, and begin when it is tried again."""
    site = SlowSite(5)
    site.cloud.refuse()
    site.clock.advance(0.0)
    assert site.cloud.asked == []
    assert site.engine.status()["nodes"] == {}
    site.until(lambda: len(site.cloud.asked) == 5)


def test_a_node_of_a_pool_that_is_no_more_is_not_steered() -> None:
    """It would be promised and never done: who asks is told what to do instead; the wish is not written down."""
    desk = Desk(Options(), [Pool("p", "fake", Flavor(1))])
    lost = NodeRecord("old-1", "old", "t", Life.UP, 0.0, 0.0, instance="i-17")
    desk.nodes["old-1"] = lost
    for wish in Steer:
        with pytest.raises(RefusedError, match=r"pool old, which is not in asyncluster.yaml any more.*i-17") as error:
            desk.steer("old-1", wish, "ann")
        assert "put the pool back" in str(error.value)
    assert desk.nodes == {"old-1": lost}


class Unreadable(MemoryBook):
    """Its database has lost a page."""

    def load(self) -> Deferred[dict[str, dict[str, Any]]]:
        """Not to be had."""
        return fail(ValueError("Input data was truncated"))


def test_who_is_in_a_book_that_cannot_be_read_is_sent_away_by_nobody() -> None:
    """The lease of whoever is here is renewed; nothing is begun, whatever is asked for."""
    site = Site()
    site.book = Unreadable()
    told: list[LogEvent] = []
    globalLogPublisher.addObserver(told.append)
    engine = site.start()
    globalLogPublisher.removeObserver(told.append)
    assert "leases that stand in a cloud are not renewed" in " ".join(map(formatEvent, told))
    failed: list[Any] = []
    engine.ready.addErrback(failed.append)
    assert (len(failed), engine.renews("p-1")) == (1, True)
    engine.launch("p", 1, "ann")
    for _ in range(100):
        site.clock.advance(1.0)
    assert "truncated" in engine.status()["engine"]["fault"]
    assert site.world.machines == {}


def test_a_node_is_withheld_from_its_queue_until_it_is_enabled() -> None:
    """Only from the order on, only for its pool, and not after it is enabled, by the master that follows either."""
    site = Site(check=Readiness(), least=1)
    assert not site.engine.withholds("p-1", "p")
    site.until(lambda: site.check.asked == 1)
    assert [site.engine.withholds(*who) for who in (("p-1", "p"), ("p-1", "q"), ("x", "p"))] == [True, False, False]
    site.check.missing = ""
    site.until(lambda: site.up() == 1)
    assert not site.engine.withholds("p-1", "p")
    site.until(lambda: site.book.kept["node/p-1"]["life"] == "up")
    site.engine = site.start()
    assert not site.engine.withholds("p-1", "p")
    del site.book.kept["node/p-1"]["started"]
    for life in ("added", "held", "retiring", "holding"):
        site.book.kept["node/p-1"]["life"] = life
        assert site.start().withholds("p-1", "p")
