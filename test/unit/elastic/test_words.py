"""How reasons are said."""

from __future__ import annotations

import pytest

from asyncluster.elastic import machine
from asyncluster.elastic.actions import Do
from asyncluster.elastic.demand import Shape
from asyncluster.elastic.records import Life, NodeRecord, Steer
from asyncluster.elastic.words import needs
from asyncluster.model.batch import Chunk


def test_memory_is_told_in_the_unit_in_which_it_was_asked_for() -> None:
    """3000 GiB are not 3072000 MiB."""
    assert needs(Shape("", "", (Chunk(1, 1, 3000 << 30),))) == "1 core, 3000 GiB"


@pytest.mark.parametrize(
    ("life", "steer", "do", "cause"),
    [
        (Life.UP, Steer.HOLD, Do.HOLD, "asked for by ann"),
        (Life.UP, Steer.VACATE, Do.VACATE, "asked for by ann"),
        (Life.HELD, Steer.NOTHING, Do.UNHOLD, "a person lets it work again"),
        (Life.RETIRING, Steer.NOTHING, Do.HOLD, "job 1 waits"),
    ],
)
def test_what_a_person_asked_for_is_told_as_such(life: Life, steer: Steer, do: Do, cause: str) -> None:
    """Not with the cause for which the node was launched."""
    record = NodeRecord("p-1", "p", "t", life, 0.0, 0.0, cause="job 1 waits", steer=steer, steered="ann")
    assert machine.step(record, 0.0) is do
    assert machine.order(record, do)[1].cause == cause
