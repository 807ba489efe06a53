"""Two instances for one order: the one on which the node runs stays while it runs something."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from asyncluster.elastic.actions import Do, Plan
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord, Why
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchNode, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Pool

NOW = 10_000.0
ORDER = "r-1-p-1"
FIRST = Instance("i-A", "p-1", InstanceState.ACTIVE, owner="r", token=ORDER, address="10.0.0.1", pool="p")
SECOND = attrs.evolve(FIRST, id="i-B", address="10.0.0.2")
KNOWN = NodeRecord("p-1", "p", ORDER, Life.UP, 0.0, 0.0, instance="i-A", address="10.0.0.1", started=1.0)
STRAY = NodeRecord("p-1~i-B", "p", ORDER, Life.STRAY, NOW - 9e3, NOW - 9e3, instance="i-B", address="10.0.0.2")
BUSY = BatchNode("p-1", NodeState.BUSY, 4, 4, jobs=("7",))
IDLE = BatchNode("p-1", NodeState.IDLE, 4)
HELD = BatchNode("p-1", NodeState.HELD, 4)


def decided(
    node: BatchNode | None, at: str = "", known: NodeRecord = KNOWN, first: Instance | None = FIRST
) -> tuple[Plan, Mapping[str, NodeRecord]]:
    """The plan, and the book after it.  at: from where the node has registered."""
    demand = Demand((), (node,) if node else (), NOW - 1.0, {"p-1": at} if at else {})
    listed = (first, SECOND) if first is not None else (SECOND,)
    records = {"p-1": known, "p-1~i-B": STRAY}
    pools = (Pool("p", "aws", Flavor(4), least=1, most=2),)
    made = plan(Situation(NOW, Options(realm="r"), pools, demand, {"p": Listing("p", listed, NOW - 1.0)}, records))
    after = {name: record for name, record in {**records, **made.nodes}.items() if record is not None}
    return made, after


def ended(made: Plan) -> list[str]:
    """Nodes whose instances are ended."""
    return [action.node for action in made.actions if action.do is Do.DESTROY]


@pytest.mark.parametrize("node", [BUSY, IDLE, HELD])
def test_it_runs_on_the_one_that_the_book_holds(node: BatchNode) -> None:
    """The other one is ended at once, whatever the node does."""
    made, after = decided(node, "10.0.0.1")
    assert ended(made) == ["p-1~i-B"]
    assert after["p-1"].life is Life.UP


@pytest.mark.parametrize("node", [BUSY, IDLE, HELD])
def test_it_runs_on_the_other_one(node: BatchNode) -> None:
    """That is the node's from now on; the first one is found as a stray, and goes."""
    made, after = decided(node, "10.0.0.2")
    assert ended(made) == []
    assert {name: (each.life, each.instance, each.address) for name, each in after.items()} == {
        "p-1": (Life.UP, "i-B", "10.0.0.2")
    }
    demand = Demand((), (node,), NOW - 1.0, {"p-1": "10.0.0.2"})
    pools = (Pool("p", "aws", Flavor(4), least=1, most=2),)
    listings = {"p": Listing("p", (FIRST, SECOND), NOW - 1.0)}
    here = Situation(NOW, Options(realm="r"), pools, demand, listings, after)
    assert ended(plan(here)) == ["p-1~i-A"]


@pytest.mark.parametrize("at", ["", "192.0.2.7"], ids=["not told", "neither of the two"])
@pytest.mark.parametrize("node", [BUSY, IDLE])
def test_nobody_can_tell_where_it_runs(node: BatchNode, at: str) -> None:
    """It is held, and neither of the two is ended before it is empty and unknown to its scheduler; then both are."""
    made, after = decided(node, at)
    assert [(action.do, action.node) for action in made.actions] == [(Do.HOLD, "p-1")]
    assert (after["p-1"].life, after["p-1"].why) == (Life.RETIRING, Why.FAULT)
    assert "i-A and i-B" in after["p-1"].cause
    for life in (Life.RETIRING, Life.HOLDING, Life.EMPTY):
        made, after = decided(node, at, attrs.evolve(KNOWN, life=life, since=NOW, why=Why.FAULT))
        assert ended(made) == []
        assert after["p-1~i-B"].life is Life.STRAY
    for life in (Life.REMOVED, Life.DESTROYING, Life.GONE):
        made, _ = decided(None, "", attrs.evolve(KNOWN, life=life, since=NOW, why=Why.FAULT))
        assert "p-1~i-B" in ended(made)


@pytest.mark.parametrize("node", [None, attrs.evolve(BUSY, state=NodeState.ERROR)], ids=["not come", "not heard"])
def test_who_has_not_come_is_waited_for(node: BatchNode | None) -> None:
    """It may come from either, and may be running something all the while."""
    life, began = (Life.LAUNCHING, NOW) if node is None else (Life.UP, 1.0)
    made, after = decided(node, known=attrs.evolve(KNOWN, life=life, started=began))
    assert ended(made) == []
    assert after["p-1~i-B"].life is Life.STRAY
    assert after["p-1"].instance == "i-A"


@pytest.mark.parametrize("state", [InstanceState.GONE, InstanceState.ERROR, None], ids=["gone", "in error", "unlisted"])
def test_the_first_one_is_over(state: InstanceState | None) -> None:
    """What is left of the two is the node's, and is not ended as a stray would be."""
    first = attrs.evolve(FIRST, state=state) if state is not None else None
    for node in (BUSY, IDLE):
        made, after = decided(node, first=first)
        assert ended(made) == []
        assert "i-B" in {record.instance for record in after.values() if record.life in {Life.UP, Life.STRAY}}
    made, after = decided(BUSY, "10.0.0.2", first=first)
    assert (ended(made), after["p-1"].instance) == ([], "i-B")


def test_a_step_that_is_under_way_is_waited_for() -> None:
    """It is about the instance that the book holds."""
    made, after = decided(BUSY, "10.0.0.2", attrs.evolve(KNOWN, doing=Do.HOLD.name))
    assert (ended(made), after["p-1"].instance, after["p-1~i-B"].life) == ([], "i-A", Life.STRAY)


def test_what_is_taken_already_is_dropped() -> None:
    """The plan that took it was not kept whole."""
    _, after = decided(BUSY, known=attrs.evolve(KNOWN, instance="i-B"))
    assert set(after) - {"p-1~i-A"} == {"p-1"}


def test_while_the_scheduler_is_silent_neither_is_ended() -> None:
    """Nor once its grace is over: it may run anything."""
    listings = {"p": Listing("p", (FIRST, SECOND), NOW - 1.0)}
    records = {"p-1": KNOWN, "p-1~i-B": STRAY}
    pools = (Pool("p", "aws", Flavor(4), most=2),)
    made = plan(Situation(NOW, Options(realm="r"), pools, Demand((), (IDLE,), 1.0), listings, records))
    assert ended(made) == []
