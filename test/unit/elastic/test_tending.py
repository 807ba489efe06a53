"""Leases that stand in a cloud are renewed by what it lists; flavors are asked until they are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.elastic.requesting import request
from asyncluster.elastic.status import status
from asyncluster.elastic.tending import Tending, due_for_renewal
from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.interfaces import ICloud, ILeasing
from asyncluster.model.batch import BatchJob, BatchState, Chunk, Demand
from asyncluster.model.supply import ANY, Flavor, Instance, InstanceState, Listing, Pool

NOW = 1_000_000.0
OPTIONS = Options(lease=600.0, realm="r", max_listing_age=1e9)


def instance(number: int, left: float, state: InstanceState = InstanceState.ACTIVE) -> Instance:
    """One whose lease is over in so many seconds."""
    return Instance(f"i-{number}", f"p-{number}", state, owner="r", token=f"t{number}", expires=NOW + left)


def desk(*lives: Life, pool: Pool | None = None) -> Desk:
    """A book with p-1, p-2 …"""
    made = Desk(OPTIONS, [pool or Pool("p", "aws", Flavor(2))])
    for number, life in enumerate(lives, 1):
        made.nodes[f"p-{number}"] = NodeRecord(f"p-{number}", "p", f"t{number}", life, 0.0, 0.0, instance=f"i-{number}")
    return made


@implementer(ICloud, ILeasing)
class Cloud:
    """Notes what is renewed."""

    pool = "p"

    def __init__(self) -> None:
        self.renewed: list[tuple[list[str], float]] = []
        self.answer: Deferred[Any] | None = None
        self.fault: Exception | None = None
        self.flavors: list[Flavor | Exception] = []

    def flavor(self) -> Deferred[Flavor]:
        """The next of `flavors`."""
        told = self.flavors.pop(0)
        return fail(told) if isinstance(told, Exception) else succeed(told)

    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """Notes it."""
        self.renewed.append(([each.id for each in instances], expires))
        if self.fault is not None:
            return fail(self.fault)
        return self.answer or succeed(None)


def tending(book: Desk, cloud: Cloud, clock: Clock | None = None) -> Tending:
    """On a clock."""
    return Tending(clock or Clock(), {"p": cloud}, book, OPTIONS, lambda: NOW)  # type: ignore[dict-item]  # half a cloud


def test_half_of_the_lease_is_over() -> None:
    """Only then; not of what goes, is gone, is of no book, or has no lease in the cloud."""
    listed = (
        instance(1, 299.0),
        instance(2, 301.0),
        instance(3, -50.0),
        instance(4, 100.0),
        instance(5, 100.0, InstanceState.DELETING),
        attrs.evolve(instance(6, 100.0), expires=0.0),
        instance(7, 100.0),
        attrs.evolve(instance(1, 100.0), id="i-99"),
    )
    book = desk(Life.UP, Life.UP, Life.LAUNCHING, Life.DESTROYING, Life.UP, Life.UP)
    assert [each.id for each in due_for_renewal(Listing("p", listed, 0.0), book, 600.0, NOW)] == ["i-1", "i-3"]


def test_a_clock_that_was_set_back() -> None:
    """What was written before is far ahead now; on the machines' clocks it is over long before it would be renewed."""
    listed = (instance(1, 600.0 + 3600.0), instance(2, 650.0))
    due = due_for_renewal(Listing("p", listed, 0.0), desk(Life.UP, Life.UP), 600.0, NOW)
    assert [each.id for each in due] == ["i-1"]


def test_renewed_together_and_again_when_it_failed() -> None:
    """Once at a time; what fails is tried with the next listing."""
    cloud, clock = Cloud(), Clock()
    tends = tending(desk(Life.UP, Life.UP), cloud, clock)
    listing = Listing("p", (instance(1, 10.0), instance(2, 20.0)), 0.0)
    cloud.fault = NoAnswerError("503")
    tends.listed(listing)
    cloud.fault, cloud.answer = None, Deferred()
    tends.listed(listing)
    tends.listed(listing)
    assert cloud.renewed == [(["i-1", "i-2"], NOW + 600.0)] * 2
    clock.advance(OPTIONS.action_limit + 1)  # it never answers
    cloud.answer = None
    tends.listed(listing)
    tends.listed(Listing("p", (instance(1, 599.0), instance(2, 599.0)), 1.0))
    assert len(cloud.renewed) == 3
    tends.stop()


def test_a_flavor_is_asked_until_it_is_known() -> None:
    """A price of the file stays; somebody is told; nothing is begun before."""
    pool = Pool("p", "aws", attrs.evolve(ANY, price=0.5), most=3, asks=True)
    book, cloud = desk(pool=pool), Cloud()
    told: list[Flavor] = []
    tends = tending(book, cloud)
    tends.learned = lambda name, flavor: told.append(flavor)
    job = BatchJob("1", BatchState.QUEUED, (Chunk(1, 5000),), submitted=0.0)
    book.heard(Demand((job,), (), 1.0))
    listing = Listing("p", (), 1.0)
    book.listed(listing)
    cloud.flavors = [NoAnswerError("503"), Flavor(8, 1 << 34, 0, 0.3)]
    tends.listed(listing)
    assert (told, book.configured[0].unknown) == ([], True)
    made = plan(book.situation(1.0))
    assert (made.actions, made.reasons.jobs["1"].rule != "launch") == ((), True)
    book.heard(Demand((attrs.evolve(job, chunks=(Chunk(1, 2),)),), (), 1.0))
    assert "before its cloud has said what a node of it has" in plan(book.situation(1.0)).reasons.jobs["1"].text
    tends.listed(listing)
    tends.listed(listing)
    assert book.configured[0].flavor == Flavor(8, 1 << 34, 0, 0.5)
    assert told == [Flavor(8, 1 << 34, 0, 0.3)]
    assert [action.node for action in plan(book.situation(1.0)).actions] == ["p-1"]


def test_why_a_flavor_is_not_known_is_told_everywhere() -> None:
    """Of the pool, of its reason, of jobs that wait and to who asks for a node; not any more once it is known."""
    pool = Pool("p", "aws", ANY, most=3, asks=True)
    book, cloud = desk(pool=pool), Cloud()
    tends = tending(book, cloud)
    book.heard(Demand((BatchJob("1", BatchState.QUEUED, (Chunk(1, 2),), submitted=0.0),), (), 1.0))
    listing = Listing("p", (), 1.0)
    book.listed(listing)
    said = "[cloud] p.config.instance_type: t9.none: EC2 said no"
    cloud.flavors = [CloudError(said), Flavor(8)]
    tends.listed(listing)
    book.merge(situation := book.situation(1.0), made := plan(situation))
    assert status(book, 1.0, "", {})["pools"]["p"]["fault"] == said
    assert said in made.reasons.pools["p"].text
    assert said in made.reasons.jobs["1"].text
    assert said in request(situation, pool, 1, "admin")[1].text
    tends.listed(listing)
    assert status(book, 1.0, "", {})["pools"]["p"]["fault"] == ""
    assert said not in plan(book.situation(1.0)).reasons.pools["p"].text


def test_what_a_cloud_tells_is_no_change_of_the_configuration() -> None:
    """Else a pool that its cloud's quota has stopped would be tried anew at every start."""
    pool = Pool("p", "aws", ANY, most=3, asks=True)
    book = desk(pool=pool)
    book.heard(Demand((), (), 1.0))
    book.listed(Listing("p", (), 1.0))
    book.merge(situation := book.situation(1.0), plan(situation))
    book.pools["p"] = attrs.evolve(book.pools["p"], stopped="cores: 20 of 20 are used")
    book.learn("p", Flavor(8))
    book.merge(situation := book.situation(2.0), plan(situation))
    assert book.pools["p"].stopped


def test_a_master_that_stops_gives_up_in_silence() -> None:
    """Nothing is wrong with a cloud whose answer nobody waits for any more."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    cloud = Cloud()
    cloud.answer = Deferred()
    tends = tending(desk(Life.UP), cloud)
    tends.start()
    tends.listed(Listing("p", (instance(1, 100.0),), 0.0))
    tends.stop()
    globalLogPublisher.removeObserver(events.append)
    assert cloud.answer.called
    assert [event for event in events if event["log_level"] is LogLevel.warn] == []


def test_helpers_begin_and_end_with_it() -> None:
    """Before and after everything else."""
    helper = Service()
    tends = Tending(Clock(), {}, desk(), OPTIONS, lambda: NOW, [helper])
    tends.start()
    assert helper.running
    tends.stop()
    assert not helper.running
