"""Orders about very many tasks: a piece a turn, and others are served in between."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Board
from asyncluster.master import desks, turns
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.service import Master, MasterOptions
from asyncluster.master.turns import in_turns, ranges_of
from asyncluster.model.messages import After, Cancel, Code, Held, Outcome, Result, Task
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role
from asyncluster.wire.link import Link

SLICE = 4


class Carrier:
    """A link that notes what it carries; it has room when the test says so."""

    def __init__(self, role: Role = Role.CLIENT) -> None:
        self.peer = Peer(role, "ann", "here", admin=False)
        self.carried: list[Any] = []
        self.for_room: list[Any] = []
        self.received = 0
        self.connected = True
        self.reading_held = False

    def keep_payloads(self, room: object, spoiled: object) -> None: ...

    def send_all(self, messages: list[Any]) -> None:
        self.carried += messages

    send_now = send_all

    def when_room(self, callback: Any) -> None:
        self.for_room.append(callback)

    def has_room(self) -> None:
        due, self.for_room = self.for_room, []
        for callback in due:
            callback()

    def abort(self) -> None:
        self.connected = False

    @property
    def results(self) -> list[int]:
        return [message.seq for message in self.carried if isinstance(message, Result)]

    @property
    def given(self) -> list[int]:
        return [message.seq for message in self.carried if isinstance(message, Task)]


class House:
    """A master with one node of two slots, and a client with one job."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.master = Master(cast("Any", self.clock), MasterOptions(1e6, 1e6), Board())
        self.node, self.link = Carrier(Role.NODE), Carrier()
        self.master.attach_node(NodeFacts("n", "h", 2, 2, 0, "3.11"), list[Held](), cast("Any", self.node))
        self.client = ClientPerspective(self.master, cast("Any", self.link))
        self.job: int = self.ask("open_job", {"reconnect": 10.0, "detached": True})[0]
        self.client.messages([Code(self.job, 0, 0, b"")])

    def ask(self, verb: str, *args: Any) -> list[Any]:
        """What is answered, once it is."""
        answers: list[Any] = []
        maybeDeferred(self.client.verb, verb, args).addBoth(answers.append)
        return answers

    def submit(self, *messages: After | Task) -> None:
        self.client.messages(list(messages))
        self.turn()

    def turn(self) -> None:
        """One of the reactor: what is due by now, without what comes of that."""
        due = [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]
        for call in due:
            if call.active():
                self.clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)

    def end(self, *seqs: int) -> None:
        self.master.results("n", [Result(self.job, seq, 1, 0, b"") for seq in seqs])

    def task(self, seq: int) -> Task:
        return Task(self.job, seq, 0, 0, b"")


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """Small slices."""
    monkeypatch.setattr(turns, "SLICE", SLICE)
    monkeypatch.setattr(desks, "SLICE", SLICE)
    return House()


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("verb", ["cancel_job", "drop_tasks"])
def test_many_are_cancelled_in_slices(house: House, verb: str, named: bool) -> None:
    """The answer comes after the last; others are heard meanwhile, and nothing of the job is given out."""
    house.submit(*(house.task(seq) for seq in range(11)))
    begun = len(house.node.given)
    assert 0 < begun <= SLICE
    answers = house.ask(verb, house.job, list(range(11)) if named or verb == "drop_tasks" else [])
    for done in (SLICE, 2 * SLICE):
        assert answers == []
        assert house.ask("job_info", house.job)[0]["cancelled"] == done
        house.end(0)  # the node has a free slot
        house.master.act(house.master.board.tick(1.0))
        assert "is being cancelled" in house.master.board.why_stuck(house.job)
        house.turn()
    assert answers == [11]
    assert len(house.node.given) == begun
    assert [each.cut for each in house.node.carried if isinstance(each, Cancel)] == [verb == "cancel_job"]
    house.submit(house.task(11))
    assert house.node.given[begun:] == [11]


def test_what_comes_meanwhile_was_not_meant(house: House) -> None:
    """A task that is submitted after the order, and before it is done, is run when it is."""
    house.submit(*(house.task(seq) for seq in range(9)))
    before = len(house.node.given)
    answers = house.ask("cancel_job", house.job, [])
    house.client.messages([house.task(9)])
    house.master.act(house.master.board.results("n", [], 0.0))
    assert len(house.node.given) == before
    for _ in range(4):
        house.turn()
    assert answers == [9]
    house.end(*house.node.given)
    house.turn()
    assert house.node.given[before:] == [9]


def test_of_a_chain_all_are_cancelled(house: House) -> None:
    """Not one fails for another's sake, in whatever slice that was."""
    job = house.job
    house.submit(house.task(0))
    for seq in range(1, 12):
        house.submit(After(job, seq, [], [seq - 1]), house.task(seq))
    answers = house.ask("cancel_job", job, [])
    for _ in range(4):
        house.turn()
    assert answers == [12]
    ends = [message for message in house.link.carried if isinstance(message, Result)]
    assert sorted(each.seq for each in ends) == list(range(12))
    assert {each.outcome for each in ends} == {Outcome.CANCELLED}


def test_a_job_that_is_forgotten_while_it_is_cancelled(house: House) -> None:
    """What is left was cancelled with it; who asked is answered."""
    house.submit(*(house.task(seq) for seq in range(9)))
    answers = house.ask("cancel_job", house.job, [])
    house.ask("detach", house.job, 10)
    house.ask("forget_job", house.job)
    for _ in range(4):
        house.turn()
    assert answers == [SLICE]


def test_an_ended_job_is_handed_out_as_there_is_room(house: House) -> None:
    """From the first to the last, with those that come meanwhile behind them; its tasks are gathered in slices."""
    house.submit(*(house.task(seq) for seq in range(12)))
    house.ask("detach", house.job, 13)
    while len(house.link.results) < 10:
        house.end(*house.node.given[len(house.link.results) : 10])
        house.turn()
    link = Carrier()
    house.client = ClientPerspective(house.master, cast("Any", link))
    answers = house.ask("attach", house.job)
    house.end(10)
    while not answers:
        assert link.results == []
        house.turn()
    assert answers[0]["tasks"] == [[0, 11]]
    assert link.results == list(range(SLICE))
    house.turn()
    assert len(link.results) == SLICE
    link.has_room()
    house.end(11)
    assert len(link.results) == 2 * SLICE
    link.has_room()
    assert link.results == house.link.results == list(range(12))
    assert link.for_room == []


def test_a_client_that_comes_back_is_given_what_there_is_room_for(house: House) -> None:
    """And nothing twice."""
    house.submit(*(house.task(seq) for seq in range(10)))
    house.client.lost("cut")
    for _ in range(10):
        house.end(*house.node.given)
        house.turn()
    link = Carrier()
    house.client = ClientPerspective(house.master, cast("Any", link))
    house.ask("resume", house.job)
    assert link.results == list(range(SLICE))
    for _ in range(2):
        link.has_room()
    assert link.results == list(range(10))


def test_who_goes_while_it_attaches(house: House) -> None:
    """It is forgotten, and nothing is sent; so is a job that is forgotten meanwhile."""
    house.submit(*(house.task(seq) for seq in range(10)))
    house.ask("detach", house.job, 11)
    answers = house.ask("attach", house.job)
    house.ask("forget_job", house.job)
    for _ in range(6):
        house.turn()
    assert [each.type for each in answers] == [RefusedError]
    assert house.link.for_room == []


@given(st.lists(st.integers(0, 60)))
def test_ranges(numbers: list[int]) -> None:
    """The same as of the whole, in whatever order and however often they are named."""
    clock, found = Clock(), list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "SLICE", SLICE)
        in_turns(cast("Any", clock), ranges_of(numbers)).addCallback(found.append)
        clock.pump([0.0] * 2 * (len(numbers) + 1))
    firsts, lasts = found[0]
    there = set(numbers)
    assert firsts == sorted(seq for seq in there if seq - 1 not in there)
    assert lasts == sorted(seq for seq in there if seq + 1 not in there)


class Transport:
    def registerProducer(self, _producer: object, _streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def loseConnection(self) -> None: ...


class Broker:
    """Takes what it is given."""

    def __init__(self) -> None:
        self.transport, self.batches = Transport(), 0

    def hold(self) -> None: ...

    push = hold

    def send_batch(self, _batch: bytes) -> None:
        self.batches += 1


def test_a_link_says_when_nothing_waits_there() -> None:
    """Not at once, not while the peer takes nothing, and not when it is over."""
    clock, broker, told = Clock(), Broker(), list[str]()
    link = Link(cast("Any", clock), cast("Any", broker), cast("Any", None), cast("Any", None))
    link.when_room(lambda: told.append("idle"))
    assert told == []
    clock.advance(0)
    assert told == ["idle"]
    link.pause()
    link.send_all([Task(1, 0, 1, 0, b"")])
    link.when_room(lambda: told.append("sent"))
    clock.pump([0.0] * 3)
    assert (told, broker.batches) == (["idle"], 0)
    link.resume()
    clock.pump([0.0] * 3)
    assert (told, broker.batches) == (["idle", "sent"], 1)
    link.pause()
    link.when_room(lambda: told.append("never"))
    link.lost("cut")
    link.resume()
    clock.pump([0.0] * 3)
    assert told == ["idle", "sent"]
