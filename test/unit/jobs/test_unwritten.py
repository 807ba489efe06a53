"""What a killed master had given out before it was written down: nodes have it, the new master's book does not yet."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.jobs import shipment
from asyncluster.jobs.board import Board
from asyncluster.jobs.recovery import Recovered
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Cancel, Held, Step
from asyncluster.model.node import NodeFacts

FACTS = NodeFacts("a", "host", 1, 1, 0, "3.11")


def test_a_task_that_nobody_has_heard_of(desk: Any) -> None:
    """It is not cancelled: its client will say it again, and that one would be taken for cancelled, too."""
    desk.job()
    desk.submit(0, 1)
    desk.take(desk.board.cancel(1, [0, 1]))
    desk.take(desk.board.rejoin(FACTS, [Held(1, [0], 0, [(1, 1), (2, 1)])], desk.now))
    assert [message.seqs for message in desk.sent() if isinstance(message, Cancel)] == [[1]]
    desk.told()
    desk.submit(2)
    desk.dispatch()
    desk.answer("a", 2)
    assert desk.ended() == [(2, 0)]


def test_a_step_that_was_answered_to_another(desk: Any) -> None:
    """A node that has it is asked once more, so that somebody hears how it went."""
    desk.job()
    desk.node()
    desk.board.away("a")
    desk.step()
    assert desk.sent() == []
    desk.take(desk.board.rejoin(FACTS, [Held(1, [0], 1, [])], desk.now))
    assert [message.step for message in desk.sent() if isinstance(message, Step)] == [0]
    desk.stepped("a")
    assert [(done.step, done.node) for done in desk.told()] == [(0, "a"), (0, "")]


def test_steps_behind_a_refused_one_are_refused_with_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none of them is taken on by a master that is started anew."""
    monkeypatch.setattr(shipment, "MOST_STEPS", 1)
    board = Board()
    board.open(JobSpec(1, "ann"))
    texts = [
        message.error
        for number in range(3)
        for action in board.step(Step(1, number, 0, b""))
        for message in action.messages  # type: ignore[union-attr]  # all go to the client
    ]
    assert texts[0] == ""
    assert texts[1] == texts[2]
    assert "may have 1 steps" in texts[2]
    after = Board()
    after.restore(JobSpec(2, "ann"), Recovered(steps=[Step(2, 0, 0, b""), Step(2, 2, 0, b"")]))
    assert [step.step for step in after.as_recovered(2).steps] == [0]
