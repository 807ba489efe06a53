"""The own queue as a scheduler: what the elastic engine gives up is waited for no longer."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.task import Clock

from asyncluster.master.own_queue import OwnQueue, Registered
from asyncluster.master.service import Master
from asyncluster.model.batch import Demand
from asyncluster.model.messages import Leaving
from asyncluster.model.node import NodeFacts, NodeState
from asyncluster.model.peer import Peer, Role
from asyncluster.model.supply import Reservation


class Link:
    """A node's link that leads nowhere."""

    peer = Peer(Role.NODE, "nodes", "10.0.0.1")

    def __init__(self) -> None:
        self.sent: list[object] = []

    def send(self, message: object) -> None:
        self.sent.append(message)

    def send_now(self, messages: object) -> None: ...

    def abort(self) -> None: ...


def test_a_node_that_is_away_and_given_up_is_gone_at_once() -> None:
    """Not after the time for which a broken link may be mended; who comes and goes is told."""
    master = Master(reactor=Clock())  # type: ignore[arg-type]  # the clock is all of it that is used
    told: list[tuple[str, str]] = []
    master.attendance.came = lambda name: told.append(("came", name))
    master.attendance.went = lambda name: told.append(("went", name))
    queue, ready, link = OwnQueue(master), Registered(master), Link()
    missing: list[Any] = []
    master.attach_node(NodeFacts("p-1", "host", 1, 1, 1, "3.11", session="s"), [], link)  # type: ignore[arg-type]  # no real link
    ready.check("p-1", "").addCallback(missing.append)
    master.detach_node("p-1", link, "it broke")  # type: ignore[arg-type]  # no real link
    ready.check("p-1", "").addCallback(missing.append)
    assert (missing[0], "not registered" in missing[1]) == ("", True)
    assert [view.name for view in master.board.node_views()] == ["p-1"]
    queue.remove_node("p-1", Reservation())
    assert master.board.node_views() == []
    queue.remove_node("p-1", Reservation())
    master.reactor.advance(3600.0)  # type: ignore[attr-defined]  # the clock
    assert told == [("came", "p-1"), ("went", "p-1")]


def test_a_vacated_node_stays_held_until_it_is_let_go_or_removed() -> None:
    """Only removing it dismisses it."""
    master = Master(reactor=Clock())  # type: ignore[arg-type]  # the clock is all of it that is used
    queue, link = OwnQueue(master), Link()
    master.attach_node(NodeFacts("p-1", "host", 1, 1, 1, "3.11", session="s"), [], link)  # type: ignore[arg-type]  # no real link
    queue.vacate("p-1", "ann asks for it")
    assert [view.state for view in master.board.node_views()] == [NodeState.HELD]
    assert link.sent == []
    queue.unhold("p-1")
    assert [view.state for view in master.board.node_views()] == [NodeState.IDLE]
    queue.remove_node("p-1", Reservation())
    assert [type(message) for message in link.sent] == [Leaving]
    queue.vacate("nobody", "it is not there")


def test_a_node_of_a_pool_gets_nothing_before_it_is_enabled() -> None:
    """Held from the moment in which it registers, on a new connection too; what nobody launched is not touched."""
    master = Master(reactor=Clock())  # type: ignore[arg-type]  # the clock is all of it that is used
    master.attendance.withheld = lambda facts: facts.pool == "p"
    queue, link = OwnQueue(master), Link()
    facts = NodeFacts("p-1", "host", 1, 1, 1, "3.11", session="s", pool="p")
    master.attach_node(facts, [], link)  # type: ignore[arg-type]  # no real link
    assert [view.state for view in master.board.node_views()] == [NodeState.HELD]
    master.attach_node(facts, [], Link())  # type: ignore[arg-type]  # no real link
    assert [view.state for view in master.board.node_views()] == [NodeState.HELD]
    queue.enable("p-1")
    assert [view.state for view in master.board.node_views()] == [NodeState.IDLE]
    master.attach_node(attrs.evolve(facts, name="desk", pool=""), [], Link())  # type: ignore[arg-type]  # no real link
    assert {view.name: view.state for view in master.board.node_views()}["desk"] is NodeState.IDLE


def test_it_tells_from_where_nodes_of_pools_come() -> None:
    """By which one of two instances for one order is known to be the node's; of the others nobody asks."""
    master = Master(reactor=Clock())  # type: ignore[arg-type]  # the clock is all of it that is used
    queue = OwnQueue(master)
    facts = NodeFacts("p-1", "host", 1, 1, 1, "3.11", session="s", pool="p")
    for each in (facts, attrs.evolve(facts, name="desk", pool="")):
        master.attach_node(each, [], Link())  # type: ignore[arg-type]  # no real link
    told: list[Demand] = []
    queue.snapshot().addCallback(told.append)
    assert [(demand.addresses, len(demand.nodes)) for demand in told] == [({"p-1": "10.0.0.1"}, 2)]
