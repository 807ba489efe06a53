"""Who may pause a job and ask about its tasks, on whatever link it was opened; and what is written down of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet.task import Clock

from asyncluster.elastic.actions import Reason
from asyncluster.errors import RefusedError
from asyncluster.jobs.recovery import recover
from asyncluster.master.for_clients import ClientPerspective
from asyncluster.master.ledger import Ledger
from asyncluster.master.service import Master
from asyncluster.model.journal import Entry, Kind, StoredJob
from asyncluster.model.messages import Code, Outcome, Result, Task
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role


class Link:
    """A client's link that leads nowhere."""

    connected = True
    last_heard = 0.0

    def __init__(self, name: str, admin: bool = False) -> None:
        self.peer = Peer(Role.CLIENT, name, "here", admin)

    reading_held = False

    def keep_payloads(self, room: object, spoiled: object) -> None: ...

    def send(self, message: object) -> None: ...

    def send_now(self, messages: object) -> None: ...

    send_all = send_now

    def abort(self) -> None: ...


class Book:
    """A journal in memory; safe when it is told so."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[Callable[[], object]] = []

    def open_job(self, job: StoredJob) -> None: ...

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def rewrite(self, job: int, entries: Sequence[Entry]) -> None: ...

    def drop_job(self, job: int) -> None: ...

    def when_durable(self, callback: Callable[[], object]) -> None:
        self.waiting.append(callback)

    def settle(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


class House:
    """A master with a journal, in which ann has job 1 with one task."""

    def __init__(self) -> None:
        self.book = Book()
        self.master = Master(reactor=Clock())  # type: ignore[arg-type]  # the clock is all of it that is used
        self.master.begin_with(Ledger(self.book), "realm", 1, [])
        ann = self.client("ann")
        ann.verb("open_job", ({"reconnect": 60.0},))
        self.book.settle()
        ann.messages([Code(1, 0, 0, b"f", Need(retries=1)), Task(1, 0, 0, 0, b"")])
        ann.lost("it went home")

    def client(self, name: str, admin: bool = False) -> ClientPerspective:
        return ClientPerspective(self.master, Link(name, admin))  # type: ignore[arg-type]  # no real link is needed

    def kinds(self) -> list[int]:
        return [entry.kind for entry in self.book.entries]


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize(("name", "admin"), [("ann", False), ("root", True)])
def test_an_owner_and_an_administrator_may_steer_a_job(house: House, name: str, admin: bool) -> None:
    """From any link; the answer comes when the journal has it."""
    client = house.client(name, admin)
    done: Any = client.verb("pause_job", (1,))
    assert not done.called
    house.book.settle()
    assert done.called
    told: Any = client.verb("explain", (1, 0))
    assert (told["state"], "paused" in told["reason"]) == ("queued", True)
    client.verb("resume_job", (1,))
    assert house.kinds()[-2:] == [Kind.PAUSED, Kind.PAUSED]
    assert not recover(house.book.entries)[1].paused
    told = client.verb("explain", (1, 0))
    assert told["reason"] == "no node is present"


@pytest.mark.parametrize("verb", [("pause_job", (1,)), ("resume_job", (1,)), ("explain", (1, 0))])
def test_nobody_else_may(house: House, verb: tuple[str, tuple[int, ...]]) -> None:
    """In the words for a job that is not there."""
    with pytest.raises(RefusedError, match="you have no job 1 here"):
        house.client("bob").verb(*verb)
    with pytest.raises(RefusedError, match="you have no job 2 here"):
        house.client("bob").verb(verb[0], (2, *verb[1][1:]))
    assert Kind.PAUSED not in house.kinds()


def test_a_master_that_stops_or_rests_says_so(house: House) -> None:
    """Of tasks that wait, before anything that nodes are the reason of."""
    house.master._resting = True
    told: Any = house.client("ann").verb("explain", (1, 0))
    assert "started anew" in told["reason"]
    house.master.draining = True
    told = house.client("ann").verb("explain", (1, 0))
    assert "is stopping" in told["reason"]


def test_a_charged_attempt_is_written_down(house: House) -> None:
    """Before anything else becomes of the task."""
    board = house.master.board
    board.join(NodeFacts("a", "host", 1, 1, 1, "3.11"), 0.0)
    board.dispatch(0.0)
    house.master.act(board.results("a", [Result(1, 0, 1, 1, b"")], 0.0))
    assert house.kinds()[-1] == Kind.TRIED
    assert recover(house.book.entries)[1].tries == {0: 1}


def test_a_task_that_is_over_is_explained_from_its_result(house: House) -> None:
    """As long as its client may still be told of it."""
    desk = house.master.reception.desks.get(1)
    assert desk is not None
    outcomes = (Outcome.VALUE, Outcome.EXCEPTION, Outcome.CANCELLED, Outcome.LOST)
    desk.deliver([Result(1, 100 + number, 1, outcome, b"lost twice") for number, outcome in enumerate(outcomes)])
    told: list[Any] = [house.client("ann").verb("explain", (1, 100 + number)) for number in range(4)]
    assert [each["state"] for each in told] == ["done", "failed", "cancelled", "failed"]
    assert told[3]["reason"] == "lost twice"


def test_a_client_that_goes_before_its_job_is_written_down_leaves_none(house: House) -> None:
    """It was not told the number, so nobody can come back for that job; what waits for the disk does no harm later."""
    bob = house.client("bob")
    opened: Any = bob.verb("open_job", ({"reconnect": 60.0},))
    assert not opened.called
    assert [view.owner for view in house.master.reception.jobs(house.client("root", True).link.peer)] == ["ann", "bob"]
    bob.lost("killed")
    assert [view.owner for view in house.master.reception.jobs(house.client("root", True).link.peer)] == ["ann"]
    house.book.settle()
    assert [view.owner for view in house.master.reception.jobs(house.client("root", True).link.peer)] == ["ann"]


class Engine:
    """Says of batch jobs what it is told to say."""

    def __init__(self, **reasons: Reason) -> None:
        self.reasons = reasons
        self.faults: dict[str, str] = {}

    def silent(self) -> dict[str, str]:
        return self.faults

    def explain_job(self, job: str) -> Reason | None:
        return self.reasons.get(f"job{job}")


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ({}, "no node is present. The elastic engine has not looked at it yet"),
        (
            {"job1": Reason("frozen", "pool p is frozen")},
            "no node is present. The elastic engine says: pool p is frozen",
        ),
        ({"job1": Reason("free", "p-1 has room for it")}, "no node is present"),
    ],
)
def test_what_the_engine_does_about_a_waiting_task_is_said_too(
    house: House, reasons: dict[str, Reason], told: str
) -> None:
    """In one sentence more, where the task waits for room; a task that waits for a person is not the engine's."""
    house.master.engine = Engine(**reasons)  # type: ignore[assignment]  # what is asked of it
    ann: Any = house.client("ann")
    assert ann.verb("explain", (1, 0))["reason"] == told
    ann.verb("pause_job", (1,))
    house.book.settle()
    assert "engine" not in ann.verb("explain", (1, 0))["reason"]


def test_who_waits_is_told_what_keeps_nodes_from_coming(house: House) -> None:
    """Programs ask by another verb than people do, and hear the same: what the cloud's last word was, on one line."""
    engine = Engine(job1=Reason("unlisted", "pool p begins none"))
    house.master.engine = engine  # type: ignore[assignment]  # what is asked of it
    ann: Any = house.client("ann")
    ann.jobs.add(1)
    assert ann.verb("stuck", (1,)) == "no node is present. The elastic engine says: pool p begins none"
    engine.faults = {"p": "squeue -v gave no answer: squeue: error: no host\nsqueue: fatal: no configuration\n"}
    told = ann.verb("stuck", (1,))
    assert told == ann.verb("explain", (1, 0))["reason"]
    assert told.endswith(
        'the cloud of pool p does not answer: "squeue: fatal: no configuration"; see `asyncluster pool check p`'
    )
    engine.reasons = {"job1": Reason("launch", "p-1 of pool p is launched for it")}
    assert "does not answer" not in ann.verb("stuck", (1,))
    ann.verb("pause_job", (1,))
    house.book.settle()
    assert "engine" not in ann.verb("stuck", (1,))


@pytest.mark.parametrize("words", [("explain", "node", "desk"), ("hold", "desk"), ("delete", "desk", True)])
def test_a_node_that_no_pool_launched(house: House, words: tuple[object, ...]) -> None:
    """It was never launched nor given up: that is said of it, and not the other."""
    facts = NodeFacts("desk", "host", 1, 1, 1, "3.11")
    house.master.attendance.join(facts, [], Link("desk"))  # type: ignore[arg-type]  # no real link is needed
    with pytest.raises(RefusedError, match="desk came by itself"):
        house.client("root", True).verb("elastic", words)


@pytest.mark.parametrize("words", [("hold", "desk"), ("delete", "desk", True)])
def test_a_node_that_is_in_the_book_was_launched(house: House, words: tuple[object, ...]) -> None:
    """Though its own configuration names no pool: the engine is asked."""
    house.master.engine = engine = Engine()  # type: ignore[assignment]  # what is asked of it
    engine.nodes = {"desk": None}  # type: ignore[attr-defined]
    facts = NodeFacts("desk", "host", 1, 1, 1, "3.11")
    house.master.attendance.join(facts, [], Link("desk"))  # type: ignore[arg-type]  # no real link is needed
    asked: list[object] = []
    for verb in ("hold", "delete"):
        setattr(engine, verb, lambda name, *more: asked.append(name))
    house.client("root", True).verb("elastic", words)
    assert asked == ["desk"]


def test_a_job_where_there_are_no_pools(house: House) -> None:
    """Who asks why it waits learns by which question that is told."""
    with pytest.raises(RefusedError, match=r"explain task 24\.0"):
        house.client("ann").verb("elastic", ("explain", "job", "24"))
