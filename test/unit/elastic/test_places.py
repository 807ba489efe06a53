"""A pool that was moved: what it launched in its old place is there, and the new one knows nothing of it."""

from __future__ import annotations

import json
from random import Random

import attrs
import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from asyncluster.config.elastic_explain import loads
from asyncluster.elastic.actions import Do
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord, PoolRecord, from_plain, to_plain
from asyncluster.elastic.situation import Situation
from asyncluster.elastic.tending import due_for_renewal
from asyncluster.errors import RefusedError
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import ANY, Flavor, Instance, InstanceState, Listing, Pool
from asyncluster.testing.elastic_fakes import FakeCloud, FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World

OLD, NEW = "aws, region_name eu-west-1", "aws, region_name us-east-2"
OPTIONS = Options(max_idle_time=100.0, missing_time=40.0, realm="r")
NOW = 10_000.0


class Site:
    """Two regions, one scheduler, one book, and one master after the other, each with its file."""

    def __init__(self) -> None:
        self.clock, self.book = Clock(), MemoryBook()
        pool = Pool("p", "fake", Flavor(4), least=1, most=1)
        self.pools = {place: attrs.evolve(pool, place=place) for place in (OLD, NEW)}
        self.worlds = {place: World(Random(1), (pool,), Faults()) for place in (OLD, NEW)}
        self.scheduler = FakeScheduler(self.worlds[OLD])
        self.engine: Engine | None = None

    def start(self, place: str) -> Engine:
        """A master whose file says so."""
        if self.engine is not None:
            self.engine.stopService()
            self.clock.advance(1.0)
        self.engine = Engine(
            self.clock, self.scheduler, [self.pools[place]], {"p": FakeCloud(self.worlds[place], "p")}, self.book,  # type: ignore[arg-type] # a Clock has no threads
            OPTIONS, wall=lambda: self.clock.seconds() + 1e9, think=lambda situation: maybeDeferred(plan, situation),
        )  # fmt: skip
        self.engine.startService()
        return self.engine

    def pass_time(self, seconds: float) -> None:
        """In steps of one; leases are not what is looked at here."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            for world in self.worlds.values():
                world.pass_to(self.clock.seconds(), lambda name: True)


def test_a_pool_that_is_moved_loses_nothing() -> None:
    """Its idle node is not given up for gone, and is looked after again once the pool is back."""
    site = Site()
    engine = site.start(OLD)
    site.pass_time(200.0)
    assert engine.nodes["p-1"].life is Life.UP
    engine = site.start(NEW)
    site.pass_time(1500.0)
    (left,) = site.worlds[OLD].living("p")
    assert (left.name, left.ending) == ("p-1", None)
    assert engine.nodes["p-1"].life is Life.UP
    (report,) = engine.status()["engine"]["reports"]
    assert "p-1 of pool p were launched in aws, region_name eu-west-1" in report
    assert "drain it before you move it" in report
    reason = engine.explain_node("p-1")
    assert reason is not None
    assert reason.rule == "orphan"
    assert "move the pool back" in reason.text
    with pytest.raises(
        RefusedError, match=r"launched in aws, region_name eu-west-1.*in aws, region_name us-east-2 now"
    ):
        raise site_failure(engine)
    assert [machine.name for machine in site.worlds[NEW].living("p")] == ["p-2"], "the pool goes on where it is now"
    engine = site.start(OLD)
    engine.drain("p", "ann")
    site.pass_time(300.0)
    assert site.worlds[OLD].living("p") == []
    assert set(engine.nodes) == {"p-2"}


@pytest.mark.parametrize("pools", [[], ["q"], [NEW]], ids=["none", "another", "moved"])
def test_nobody_renews_what_nobody_looks_after(pools: list[str]) -> None:
    """Neither as a tag nor for whoever hears the master: it ends when one lease is over, as is written."""
    configured = [Pool("p", "aws", Flavor(4), place=NEW) if name == NEW else Pool(name, "aws", ANY) for name in pools]
    desk = Desk(OPTIONS, [attrs.evolve(POOL, place=OLD)])
    desk.nodes["p-1"] = RECORD
    listing = Listing("p", (attrs.evolve(SHOWN, expires=2000.0),), NOW)
    assert desk.renews("p-1")
    assert due_for_renewal(listing, desk, 1800.0, 1500.0) == listing.instances
    left = Desk(OPTIONS, configured)
    left.nodes["p-1"] = RECORD
    assert not left.renews("p-1")
    assert due_for_renewal(listing, left, 1800.0, 1500.0) == ()


def site_failure(engine: Engine) -> Exception:
    """What is said to whoever wants the node deleted."""
    failed: list[Exception] = []
    engine.delete("p-1", "ann").addErrback(lambda failure: failed.append(failure.value))
    return failed[0]


def situation(record: NodeRecord, pool: Pool, *listed: Instance) -> Situation:
    """One node that the scheduler shows idle."""
    nodes = (BatchNode("p-1", NodeState.IDLE, 4),)
    listings = {"p": Listing("p", listed, NOW - 1.0)}
    return Situation(NOW, OPTIONS, (pool,), Demand((), nodes, NOW - 1.0), listings, {"p-1": record})


RECORD = NodeRecord("p-1", "p", "t1", Life.UP, 0.0, 0.0, instance="i-1", place=OLD)
SHOWN = Instance("i-1", "p-1", InstanceState.ACTIVE, owner="r", token="t1", pool="p")
POOL = Pool("p", "aws", Flavor(4), least=1, place=NEW)


@pytest.mark.parametrize("instance", ["i-1", ""])
@pytest.mark.parametrize("place", [OLD, ""])
def test_what_the_cloud_lists_is_here_however_that_is_written(place: str, instance: str) -> None:
    """A place may only be said in other words: nothing that runs is taken for made twice, or for a stray."""
    made = plan(situation(attrs.evolve(RECORD, place=place, instance=instance), POOL, SHOWN))
    after = made.nodes["p-1"]
    assert after is not None
    assert (after.place, after.life, after.instance) == (NEW, Life.UP, "i-1")
    assert (made.reports, made.actions, set(made.nodes)) == ((), (), {"p-1"})


@pytest.mark.parametrize(
    "changes", [{"token": "t2"}, {"id": "i-2"}, {"ours": False}], ids=["token", "instance", "not ours"]
)
def test_another_instance_proves_nothing(changes: dict[str, str]) -> None:
    """The record stays where it was."""
    made = plan(situation(RECORD, POOL, attrs.evolve(SHOWN, **changes)))
    after = made.nodes["p-1"]
    assert after is not None
    assert (after.place, after.life, after.missed) == (OLD, Life.UP, 0)
    assert len([report for report in made.reports if "were launched in" in report]) == 1


def test_an_earlier_releases_nodes_are_here() -> None:
    """Nobody wrote down where they are: they are judged as they always were, and the book keeps what is found."""
    made = plan(situation(attrs.evolve(RECORD, place="", missed=2, missed_since=1.0, missed_seen=2.0), POOL))
    after = made.nodes["p-1"]
    assert after is not None
    assert after.life is Life.EMPTY
    desk = Desk(OPTIONS, [POOL])
    desk.nodes["p-1"] = attrs.evolve(RECORD, place="")
    here = situation(desk.nodes["p-1"], POOL, SHOWN)
    desk.demand, desk.listings = here.demand, dict(here.listings)
    moment = desk.situation(NOW)
    desk.merge(moment, plan(moment))
    kept = desk.unsaved(0.0)["node/p-1"]
    assert kept is not None
    assert from_plain(NodeRecord, json.loads(json.dumps(kept)), 0.0, NOW).place == NEW
    assert "place" not in to_plain(attrs.evolve(RECORD, place=""), 0.0)


def test_a_stray_is_where_it_was_found() -> None:
    """As is whatever is launched (see the first test)."""
    stray = plan(situation(RECORD, attrs.evolve(POOL, place=OLD), SHOWN, attrs.evolve(SHOWN, id="i-7", name="p-7")))
    found = next(record for record in stray.nodes.values() if record is not None and record.instance == "i-7")
    assert found.place == OLD


CONFIGS = {
    "aws": (
        "{image_id: ami-1, instance_type: m5.large, region_name: eu-west-1, access_key_id: AKIA1, "
        "secret_access_key: hush}",
        OLD,
    ),
    "openstack": (
        "{auth_url: 'https://me:hush@keystone:5000/v3', project: lab, region_name: one, username: a, password: hush, "
        "image_uuid: 7ee0fb35-9c3c-4f4f-9d52-4bd6a1e1b0a6, flavor: small}",
        "openstack, auth_url https://keystone:5000/v3, project lab, region_name one",
    ),
    "local": ("{cores: 2}", "local"),
    "batch": ("{system: slurm}", "batch, system slurm"),
}


AWS = (
    "image_id: ami-1, instance_type: {type}, region_name: eu-west-1, access_key_id: {key}, secret_access_key: {secret}"
)


def configured(type: str = "small", key: str = "AKIA1", secret: str = "hush") -> Pool:
    """A pool of AWS, of which its cloud tells what a node has."""
    config = AWS.format(type=type, key=key, secret=secret)
    (found,) = loads(f"cloud:\n  p:\n    type: aws\n    quantity: {{max: 1}}\n    config: {{{config}}}\n", "x").pools
    assert found.pool.asks
    return found.pool


@pytest.mark.parametrize("changes", [{"type": "large"}, {"key": "AKIA2"}])
def test_a_changed_config_is_tried_anew(changes: dict[str, str]) -> None:
    """What the old nodes taught is forgotten, and so is the limit that stopped the pool: it is another node's, now."""
    job = BatchJob("1", BatchState.QUEUED, (Chunk(1, 1, 100 << 30),))
    before, after = configured(), configured(**changes)
    learned = attrs.evolve(before, flavor=Flavor(4, 8 << 30)), attrs.evolve(after, flavor=Flavor(4, 512 << 30))
    listings = {"p": Listing("p", (), NOW - 1.0)}
    here = Situation(NOW, OPTIONS, learned[:1], Demand((job,), (), NOW - 1.0), listings)
    record = attrs.evolve(plan(here).pools["p"], memory=8 << 30, stopped="cores: 20 of 20 are used")
    kept = from_plain(PoolRecord, json.loads(json.dumps(to_plain(record, 0.0))), 0.0, NOW)
    same = plan(attrs.evolve(here, pool_records={"p": kept}))
    assert [action.do for action in same.actions] == []
    made = plan(attrs.evolve(here, pools=learned[1:], pool_records={"p": kept}))
    assert (made.pools["p"].memory, made.pools["p"].stopped, made.pools["p"].changed) == (0, "", NOW)
    assert [action.do for action in made.actions] == [Do.LAUNCH]


def test_a_new_password_is_no_change() -> None:
    """It is no part of what is written into the book, not as a hash either."""
    assert configured(secret="other") == configured()


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_place_as_the_file_has_it(kind: str) -> None:
    """In words that a person knows again, without who we are there: that may change any day."""
    config, place = CONFIGS[kind]
    text = f"cloud:\n  p:\n    type: {kind}\n    quantity: {{max: 1}}\n    config: {config}\n"
    (found,) = loads(text, "x.yaml").pools
    assert found.pool.place == place
    assert "hush" not in repr(found.pool)
