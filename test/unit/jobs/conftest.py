"""A desk at which a test plays clients and nodes against one board."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from asyncluster.jobs.board import Action, Board, NoteLoss, NoteTried, ToClient, ToNode
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Code, Message, Outcome, Result, Started, Step, StepDone, Task
from asyncluster.model.node import NodeFacts


class Desk:
    """Sends events, keeps what came out, by receiver, until it is asked for."""

    def __init__(self) -> None:
        self.board = Board()
        self.now = 100.0
        self.noted: list[NoteLoss | NoteTried] = []
        self._sent: dict[str, list[Message]] = {}
        self._told: dict[int, list[Message]] = {}

    def take(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, ToNode):
                self._sent.setdefault(action.node, []).extend(action.messages)
            elif isinstance(action, NoteLoss | NoteTried):
                self.noted.append(action)
            else:
                assert isinstance(action, ToClient)
                self._told.setdefault(action.job, []).extend(action.messages)

    def job(self, number: int = 1, owner: str = "ann", **options: object) -> None:
        self.board.open(JobSpec(number, owner, **options))  # type: ignore[arg-type]  # options of the test
        self.take(self.board.code(Code(number, 0, 0, b"f")))

    def node(self, name: str = "a", slots: int = 1, python: str = "3.11", serves: str = "*") -> None:
        self.take(self.board.join(NodeFacts(name, "host", slots, slots, 1 << 30, python, serves), self.now))

    def submit(self, *seqs: int, job: int = 1, code: int = 0) -> None:
        self.take(self.board.submit(job, [Task(job, seq, 0, code, b"") for seq in seqs]))

    def step(self, number: int = 0, job: int = 1) -> None:
        self.take(self.board.step(Step(job, number, 1, b"")))

    def stepped(self, node: str, number: int = 0, error: str = "", job: int = 1) -> None:
        self.take(self.board.step_done(node, StepDone(job, number, "", error)))

    def dispatch(self) -> None:
        self.take(self.board.dispatch(self.now))

    def tick(self, after: float = 0.05) -> None:
        self.now += after
        self.take(self.board.tick(self.now))

    def answer(
        self,
        node: str,
        *seqs: int,
        job: int = 1,
        attempt: int = 1,
        outcome: int = Outcome.VALUE,
        payload: bytes = b"",
        wall: int = 1_000_000,
    ) -> None:
        results = [Result(job, seq, attempt, outcome, payload, wall) for seq in seqs]
        self.take(self.board.results(node, results, self.now))

    def started(self, node: str, seq: int, attempt: int = 1, job: int = 1) -> None:
        self.take(self.board.started(node, Started(job, seq, attempt)))

    def leave(self, node: str, reason: str = "link lost") -> None:
        self.take(self.board.leave(node, reason, self.now))

    def sent(self, node: str = "a") -> list[Message]:
        """What this node was sent since the last question."""
        return self._sent.pop(node, [])

    def given(self, node: str = "a") -> list[int]:
        """The numbers of the tasks among that."""
        return [message.seq for message in self.sent(node) if isinstance(message, Task)]

    def told(self, job: int = 1) -> list[Message]:
        """What the client of this job was told since the last question."""
        return self._told.pop(job, [])

    def ended(self, job: int = 1) -> list[tuple[int, int]]:
        """(number, outcome) of the results among that."""
        return [(message.seq, message.outcome) for message in self.told(job) if isinstance(message, Result)]


@pytest.fixture
def desk() -> Desk:
    """A board with nothing on it."""
    return Desk()
