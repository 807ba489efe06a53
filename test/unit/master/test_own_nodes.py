"""Nodes that people start themselves: what a program may say that has a person's password, and is not our daemon."""

from __future__ import annotations

import string
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock, call

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from asyncluster.config.fields import node_name
from asyncluster.errors import RefusedError
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.for_nodes import NodePerspective
from asyncluster.master.service import Master
from asyncluster.model.messages import Beat, Code, Held, Outcome, Output, Result, Started, StepDone, Task, encode_batch
from asyncluster.model.node import NodeFacts, mark_of, of_person
from asyncluster.model.peer import Peer, Role
from asyncluster.model.seat import Begin
from asyncluster.node.seat import Seat
from asyncluster.node.seat_service import SeatKeeper
from asyncluster.node.yielding import Yielding
from asyncluster.testing.played import Wire

FACTS = NodeFacts("jane_desk", "desk.example.org", 2, 2, 1 << 30, "3.11", session="s", pool="grid")


@pytest.fixture
def master() -> Iterator[Master]:
    """With a task of Bob's that waits; Jane's nodes are her own."""
    clock = Clock()
    made = Master(clock)  # type: ignore[arg-type]  # the clock is enough
    made.is_person = lambda name: name != "nodes"
    made.startService()
    wire = Wire(Peer(Role.CLIENT, "bob", "unix"))
    bob = ClientPerspective(made, wire)  # type: ignore[arg-type]  # a link, nearly
    assert bob.verb("open_job", ({},)).result == 1
    bob.messages([Code(1, 0, 0, b"code"), Task(1, 0, 1, 0, b"the payload of bob")])
    yield made
    made.stopService()


def join(master: Master, account: str, facts: NodeFacts, *held: Held) -> tuple[NodePerspective, Wire]:
    wire = Wire(Peer(Role.NODE, account, "10.0.0.7"))
    node = NodePerspective(master, wire)  # type: ignore[arg-type]  # a link, nearly
    node.verb("register", (attrs.asdict(facts), encode_batch(list(held))))
    return node, wire


def heard(wire: Wire) -> list[Any]:
    return [each for each in wire.down if isinstance(each, Task)]


def test_it_serves_that_person_only() -> None:
    """And belongs to no pool, whatever it says; its name shows whose it is, and is no machine's."""
    facts = of_person(FACTS, "jane")
    assert (facts.serves, facts.pool, facts.name, facts.slots) == ("jane", "", "jane_desk", 2)
    for name in ("desk", "bob_desk", "jane", "jane.example.org", "xjane_desk"):
        with pytest.raises(ValueError, match=r"begins with jane_ .* such as jane_desk$"):
            of_person(attrs.evolve(FACTS, name=name), "jane")
    with pytest.raises(ValueError, match="begins with EXAMPLE--5Cj--C3--B6e_ "):
        of_person(FACTS, "EXAMPLE\\jöe")


@settings(deadline=None)
@given(st.lists(st.text("ab-_.@4F0ä", min_size=1, max_size=6), min_size=2, max_size=6, unique=True))
@example(["a-b", "a_b", "a@b", "a--5Fb", "a", "a-", "a-_", "a_", "a--"])
def test_nobodys_nodes_can_have_the_names_of_anothers(people: list[str]) -> None:
    """However alike the names of two persons are, none's mark begins as the other's; it can be configured."""
    marks = [mark_of(person) for person in people]
    for person, mark in zip(people, marks, strict=True):
        assert [other for other in marks if other.startswith(mark)] == [mark]
        if person[0] in string.ascii_letters + string.digits:
            assert node_name(mark) == mark


def test_most_people_are_called_as_they_are() -> None:
    """At the begin of their nodes' names."""
    assert [mark_of(name) for name in ("jane", "jane-doe", "j.d-2")] == ["jane_", "jane-doe_", "j.d-2_"]


def test_it_gets_no_task_of_another(master: Master) -> None:
    """Though it says that it serves everybody; a node of the site gets it."""
    _, wire = join(master, "jane", FACTS)
    assert heard(wire) == []
    _, wire = join(master, "nodes", attrs.evolve(FACTS, name="a"))
    assert len(heard(wire)) == 1


def test_it_cannot_say_that_it_has_a_task_of_another(master: Master) -> None:
    """Else the answer to it would be believed."""
    node, _ = join(master, "jane", FACTS, Held(1, [0], 0, [(0, 1)]))
    node.messages([Started(1, 0, 1), Output(1, 0, 1, "jane_desk/1", b"no"), Result(1, 0, 1, Outcome.VALUE, b"no")])
    (view,) = master.board.job_views()
    assert (view.queued, view.running, view.done) == (1, 0, 0)
    _, wire = join(master, "nodes", attrs.evolve(FACTS, name="a"))
    assert len(heard(wire)) == 1


def test_nobody_logs_in_there(master: Master) -> None:
    """So no password is tried, and nobody sits at it, whatever it says.  A node of the site has a seat."""
    master.seating = seating = Mock()
    node, _ = join(master, "jane", FACTS)
    assert node.verb("seat", ("begin", "bob", "a guess")) == {"refused": IsOwn(), "rule": "node"}
    for args in (("claim", []), ("use", "bob", "pause"), ("left", 1, 0.0, "left"), ()):
        with pytest.raises(RefusedError, match="it is a node of jane's own"):
            node.verb("seat", args)
    node.messages([Beat(0)])
    assert seating.mock_calls == []
    node, _ = join(master, "nodes", attrs.evolve(FACTS, name="desk"))
    node.verb("seat", ("begin", "bob", "his password"))
    assert seating.verb.mock_calls == [call("desk", ("begin", "bob", "his password"))]


def test_its_own_seat_tells_why(master: Master) -> None:
    """Its program does, and its log, once, however often the link breaks."""
    master.seating = Mock()
    node, _ = join(master, "jane", FACTS)
    program = Mock(uid=0)
    keeper = SeatKeeper(master.reactor, Seat(FACTS.name, 0), Yielding("pause"), lambda _uid, _user: "", Mock())
    link = Mock(call=lambda name, *args: maybeDeferred(node.verb, name, args))
    with capturedLogs() as logged:
        for _ in range(3):
            keeper.linked(link)
            keeper.unlinked()
    assert [event["error"] for event in logged if "error" in event] == [IsOwn()]
    keeper.linked(link)
    for _ in range(2):
        keeper.asked(program, Begin("jane", "her password"))
    refusals = [told.args[0] for told in program.tell.mock_calls]
    assert [(each.rule, each.reason) for each in refusals] == [("node", IsOwn())] * 2


class IsOwn:
    """Whatever says that it is a node of Jane's own, and what mends it."""

    def __eq__(self, other: object) -> bool:
        return "of jane's own" in str(other) and "nodes' account" in str(other)

    def __hash__(self) -> int:
        return 0


def test_a_name_stays_with_its_account(master: Master) -> None:
    """Also while its node is away: who takes it would be taken for it."""
    node, _ = join(master, "nodes", attrs.evolve(FACTS, name="jane_desk"))
    for _ in range(2):
        with pytest.raises(RefusedError, match="another account's node"):
            join(master, "jane", FACTS)
        node.lost("the cable is out")
    join(master, "nodes", attrs.evolve(FACTS, name="jane_desk"))


def test_made_up_jobs_fill_no_memory(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted for each job of a link is of so many jobs at most; a node that tells of more begins anew."""
    monkeypatch.setattr("asyncluster.master.for_nodes.MOST_JOBS", 3)
    for told in (
        lambda number: Output(number, 0, 1, "jane_desk/1", b"x"),
        lambda number: Result(number, 0, 1, Outcome.VALUE, b"x"),
        lambda number: StepDone(number, 0, "", ""),
    ):
        node, wire = join(master, "jane", attrs.evolve(FACTS, name="jane_desk"))
        node.messages([told(number) for number in (7, 8, 9, 7, 8)])
        assert wire.connected
        node.messages([told(10)])
        assert not wire.connected
        node.lost("it was sent away")
