"""What listings leave out: the cloud is asked for it, and only what it says ends a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from asyncluster.elastic import reconcile
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.elastic.seeking import MOST, answered, sought
from asyncluster.elastic.tending import PATIENCE, Tending
from asyncluster.errors import NoAnswerError
from asyncluster.interfaces import ICloud, ILooking
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Pool, Sought

OPTIONS = Options(realm="r", misses=3, missing_time=60.0, max_listing_age=1e9, max_snapshot_age=1e9)
STEP = 40.0


def instance(number: int) -> Instance:
    """One of ours that runs."""
    return Instance(f"i-{number}", f"p-{number}", InstanceState.ACTIVE, owner="r", token=f"t{number}", pool="p")


def record(number: int, life: Life = Life.UP, **more: Any) -> NodeRecord:
    """The book has it."""
    plain = NodeRecord(f"p-{number}", "p", f"t{number}", life, 0.0, 0.0, instance=f"i-{number}", started=1.0)
    return attrs.evolve(plain, **more)


@implementer(ICloud)
class Hiding:
    """A cloud whose listings show nothing."""

    pool = "p"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def list(self) -> Deferred[Listing]:
        """Nothing."""
        return succeed(Listing("p", (), self.clock.seconds()))


@implementer(ILooking)
class Asked(Hiding):
    """That can be asked for one.  has: what it finds; fault: why it cannot be asked."""

    def __init__(self, clock: Clock, *has: Instance) -> None:
        super().__init__(clock)
        self.has = has
        self.fault: Exception | None = None
        self.sought: list[Sequence[Sought]] = []

    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """What it has."""
        self.sought.append(sought)
        return fail(self.fault) if self.fault else succeed(list(self.has))


class Book:
    """A pool that may have one node, which is up, and a job that waits for another."""

    def __init__(self, kind: type[Hiding], *args: Any, **more: Any) -> None:
        self.clock = Clock()
        self.clock.advance(100.0)
        self.cloud = kind(self.clock, *args)
        self.desk = Desk(OPTIONS, [Pool("p", "played", Flavor(1), most=1, prefix="p-")])
        self.desk.nodes["p-1"] = record(1, **more)
        tending = Tending(self.clock, {"p": self.cloud}, self.desk, OPTIONS, lambda: 0.0)  # type: ignore[dict-item]  # half a cloud
        self.tending = tending

    def tick(self, times: int = 1) -> list[str]:
        """So many listings and plans: what was launched."""
        launched: list[str] = []
        for _ in range(times):
            self.clock.advance(STEP)
            now = self.clock.seconds()
            job = BatchJob("1", BatchState.QUEUED, (Chunk(1, 1),), submitted=0.0)
            self.desk.heard(Demand((job,), (BatchNode("p-1", NodeState.ERROR, 1, 1),), now))
            self.tending.list("p").addCallback(self.desk.listed)
            self.clock.advance(PATIENCE)
            situation = self.desk.situation(self.clock.seconds())
            actions = self.desk.merge(situation, plan(situation))
            launched += [action.node for action in actions if action.do.value == "launch"]
        return launched


def test_one_that_lives_and_is_hidden_is_kept() -> None:
    """Three listings in a row without it, and six: it is asked for, and nothing is launched beside it."""
    book = Book(Asked, instance(1))
    assert book.tick(6) == []
    assert book.desk.nodes["p-1"].life is Life.UP
    assert book.cloud.sought == [(Sought("p-1", "t1", "i-1"),)] * 2  # type: ignore[attr-defined]  # an Asked


def test_one_whose_cloud_has_not_answered_is_kept() -> None:
    """Neither said to be there nor to be gone; when it is gone for certain, the record goes too."""
    book = Book(Asked)
    book.cloud.fault = NoAnswerError("503")  # type: ignore[attr-defined]  # as above
    book.tick(6)
    assert book.desk.nodes["p-1"].life is Life.UP
    book.cloud.fault = None  # type: ignore[attr-defined]
    book.tick()
    assert book.desk.nodes["p-1"].life is not Life.UP


def test_one_that_is_gone_goes_after_as_many_listings_as_are_set() -> None:
    """Not before; the same with a cloud that cannot be asked for one."""
    for book in (Book(Asked), Book(Hiding)):
        book.tick(2)
        assert book.desk.nodes["p-1"].life is Life.UP
        book.tick()
        assert book.desk.nodes["p-1"].life is not Life.UP


def test_a_launch_of_which_nothing_was_heard_is_looked_for_by_its_order() -> None:
    """The cloud has made it and lists it too late: it is not launched a second time."""
    book = Book(Asked, instance(1), life=Life.INTENDED, instance="", started=None)
    assert book.tick(5) == []
    assert book.desk.nodes["p-1"].instance == "i-1"
    assert book.cloud.sought[0] == (Sought("p-1", "t1"),)  # type: ignore[attr-defined]  # an Asked


def test_who_is_asked_for() -> None:
    """Ours that are missing for the last time but one, a bounded number; none whose launch is under way."""
    listing = Listing("p", (instance(1),), 500.0)
    records = [record(1, missed=9), record(2, missed=1), record(3, missed=2)]
    records += [record(5, Life.GONE, missed=9), record(6, Life.INTENDED, missed=9, doing="LAUNCH", instance="")]
    assert [each.name for each in sought(listing, records, OPTIONS)] == ["p-3"]
    many = [record(number, missed=5) for number in range(10, 10 + 2 * MOST)]
    assert len(sought(listing, many, OPTIONS)) == MOST


@pytest.mark.parametrize("id", ["i-1", ""])
def test_a_listing_is_completed(id: str) -> None:
    """By what was found; what was not is gone; nothing is listed twice."""
    asked = [Sought("p-1", "t1", id), Sought("p-2", "t2", "i-2")]
    full = answered(Listing("p", (), 1.0), asked, [instance(1)])
    assert (full.instances, full.gone) == ((instance(1),), {"p-2"})
    assert answered(full, asked, [instance(1)]).instances == (instance(1),)


def test_nothing_is_matched_where_nobody_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after nearly every listing, however long it is: this is done on the reactor."""
    monkeypatch.delattr(reconcile, "match")
    listing = Listing("p", tuple(map(instance, range(1000))), 500.0)
    assert sought(listing, [record(1), record(2, missed=1), record(3, Life.GONE, missed=9)], OPTIONS) == ()


def test_what_is_unknown_gets_a_name_of_its_own() -> None:
    """Neither one of the book's, nor of what has just been matched, nor of another that is unknown."""
    twice = [attrs.evolve(instance(number), id=f"i-{number}-{again}") for number in (1, 2, 3) for again in "ab"]
    listing = Listing("p", (instance(3), *twice), 500.0)
    matched = reconcile.match(listing, [record(3)], frozenset({"p-1"}), "r", 500.0)
    assert [stray.name for stray in matched.strays] == [
        "p-1~i-1-a", "p-1~i-1-b", "p-2", "p-2~i-2-b", "p-3~i-3-a", "p-3~i-3-b",
    ]  # fmt: skip


def test_what_has_ended_is_no_report() -> None:
    """A cloud may list it for an hour: another master's, and one that is only named like ours."""
    theirs, named = attrs.evolve(instance(1), owner="they"), attrs.evolve(instance(2), ours=False, owner="")
    for each in (theirs, named):
        told = reconcile.match(Listing("p", (each,), 500.0), [], frozenset(), "r", 500.0).reports
        assert (len(told), "left alone" in told[0]) == (1, True)
        ended = attrs.evolve(each, state=InstanceState.GONE)
        assert reconcile.match(Listing("p", (ended,), 500.0), [], frozenset(), "r", 500.0).reports == ()
