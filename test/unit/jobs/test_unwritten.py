"""What a killed master had given out before it was written down: nodes have it, the new master's book does not yet."""

from __future__ import annotations

from typing import Any

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
