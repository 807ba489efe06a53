"""Values that stay with the master until their client asks or forgets, and batches with dependencies in them."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from asyncluster.jobs.board import Board
from asyncluster.jobs.dependencies import BIG
from asyncluster.jobs.recovery import Recovered
from asyncluster.master.arrivals import by_kind
from asyncluster.master.desks import Desk
from asyncluster.master.reception import Reception
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import After, Code, Message, Outcome, Result, Task, Value
from asyncluster.model.node import NodeFacts

LARGE = b"x" * (BIG + 1)


class Link:
    """Notes what it carries."""

    def __init__(self) -> None:
        self.carried: list[Message] = []

    def send_all(self, messages: Any) -> None:
        self.carried += messages

    def send(self, *messages: Message) -> None:
        self.carried += messages

    send_now = send_all

    def outcomes(self) -> list[tuple[int, int]]:
        """Of the results since the last question."""
        carried, self.carried = self.carried, []
        return [(each.seq, each.outcome) for each in carried if isinstance(each, Result)]


class Place:
    """A reception with one open job and one node, and what the node was given."""

    def __init__(self) -> None:
        self.board, self.link = Board(), Link()
        self.reception = Reception(Clock(), self.board, self.act, 60.0)
        self.reception.open_job(JobSpec(1, "ann", reconnect=10), self.link)  # type: ignore[arg-type]  # a link, as far as a desk needs one
        self.board.code(Code(1, 0, 0, b"f"))
        self.board.join(NodeFacts("a", "h", 4, 4, 0, "3.11"), 0.0)

    def act(self, actions: Any) -> None:
        for action in actions:
            if hasattr(action, "job"):
                self.reception.tell(action.job, action.messages)

    def send(self, *messages: Any) -> None:
        self.act(self.board.submit_linked(1, messages))
        self.board.dispatch(0.0)

    def answer(self, seq: int, payload: bytes = LARGE) -> None:
        self.act(self.board.results("a", [Result(1, seq, 1, 0, payload)], 0.0))
        self.board.dispatch(0.0)

    @property
    def desk(self) -> Desk:
        desk = self.reception.desks.get(1)
        assert desk is not None
        return desk


def plain(seq: int) -> Task:
    """A task."""
    return Task(1, seq, 0, 0, b"")


def test_a_value_stays_is_wanted_and_forgotten() -> None:
    """Only where a task needs it, and only a large one; what is gone is refused in words."""
    place = Place()
    place.send(plain(0), plain(1), plain(2), After(1, 3, [0, 1], [2]), plain(3))
    place.answer(0)
    place.answer(1, b"small")
    place.answer(2)
    assert place.link.outcomes() == [(0, Outcome.STAYS), (1, 0), (2, 0)]
    place.reception.want(1, [0, 0])
    assert place.link.carried == [Value(1, 0, LARGE)]
    place.link.carried.clear()
    place.reception.taken(1, 3)
    place.answer(3, b"")
    place.send(After(1, 4, [0], []), plain(4))  # it may still be named
    place.answer(4, b"")
    assert place.link.outcomes() == [(3, 0), (4, 0)]
    place.reception.forget(1, [0, 99])
    place.reception.want(1, [0])
    assert place.link.outcomes() == [(0, Outcome.REFUSED)]
    place.send(After(1, 5, [0], []), plain(5))
    assert place.link.outcomes() == [(5, Outcome.DEPENDENCY)]


def test_what_stays_is_told_again_on_a_new_link() -> None:
    """Whether the client had said that it knows or not; the value itself is not sent."""
    place = Place()
    place.send(plain(0), plain(1), After(1, 2, [0, 1], []), plain(2))
    place.answer(0)
    place.reception.taken(1, 1)
    place.answer(1)
    link = Link()
    place.desk.serve(link)  # type: ignore[arg-type]  # as above
    place.desk.hand_out()
    assert link.outcomes() == [(0, Outcome.STAYS), (1, Outcome.STAYS)]
    assert place.desk.take(2) == []  # the journal keeps them until they are forgotten
    assert place.desk.forget([0, 1]) == [0, 1]


def test_what_a_killed_master_left() -> None:
    """A value that stayed stays."""
    place = Place()
    recovered = Recovered()
    recovered.results = {0: Result(2, 0, 1, 0, LARGE), 1: Result(2, 1, 1, 0, LARGE)}
    recovered.stays = {0}
    stored = type("Stored", (), {"job": 2, "opened": 0.0, "spec": {"owner": "ann", "reconnect": 10}})
    place.reception.begin_with(place.reception.ledger, 3, [(stored, recovered)])  # type: ignore[list-item]  # enough of one
    desk = place.reception.desks.get(2)
    assert desk is not None
    assert [(each.seq, each.outcome) for each in desk.owed] == [(0, Outcome.STAYS), (1, 0)]
    assert desk.results() == recovered.results


def test_runs_with_dependencies() -> None:
    """A job's tasks stay in one run with what they depend on; another job's are as ever."""
    batch: list[Message] = [plain(0), After(1, 1, [0], []), plain(1), Task(2, 0, 0, 0, b""), plain(2)]
    assert [(kind, job, len(list(run))) for (kind, job), run in by_kind(batch)] == [
        (After, 1, 3),
        (Task, 2, 1),
        (After, 1, 1),
    ]


def test_a_value_is_wanted_of_a_task_that_has_not_ended() -> None:
    """It ended at a master that was killed before that was written down: the value comes when it has ended again.

    Until then nothing is said: an end that never was would get into the journal.
    """
    place = Place()
    place.send(plain(0), plain(1), After(1, 2, [0], []), plain(2))
    place.link.carried.clear()
    place.reception.want(1, [0, 1])
    assert place.link.carried == []
    assert not place.desk.owed
    place.answer(0)
    assert [type(each) for each in place.link.carried] == [Result, Value]
    assert place.link.carried[1] == Value(1, 0, LARGE)
    place.answer(1)
    assert len(place.link.carried) == 3, "what does not stay comes whole, and once"
    assert not place.desk.wanted


def test_what_was_wanted_on_another_link() -> None:
    """Its client asks again; nothing is sent twice."""
    place = Place()
    place.send(plain(0), After(1, 1, [0], []), plain(1))
    place.reception.want(1, [0])
    link = Link()
    place.desk.serve(link)  # type: ignore[arg-type]  # as above
    place.answer(0)
    assert link.outcomes() == [(0, Outcome.STAYS)]
    assert not any(isinstance(each, Value) for each in link.carried)
