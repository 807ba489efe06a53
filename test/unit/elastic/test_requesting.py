"""What is promised of nodes that are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.errors import RefusedError
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Flavor, Listing, Pool

NOW = 1000.0


def desk(*lives: Life, answers: bool = True, **more: Any) -> Desk:
    """One of a pool of two that has nodes in these states."""
    made = Desk(Options(), [Pool("p", "fake", Flavor(1), **{"most": 2, **more})])
    if answers:
        made.heard(Demand((), (), NOW))
    made.listed(Listing("p", (), NOW))
    for number, life in enumerate(lives):
        made.nodes[f"p-{number}"] = NodeRecord(f"p-{number}", "p", "", life, 0.0, 0.0)
    return made


@pytest.mark.parametrize(
    ("made", "count", "taken", "words"),
    [
        (desk(), 2, 2, ["2 nodes more in pool p"]),
        (desk(Life.UP, Life.UP), 5, 0, ["can have no more nodes", "nothing is begun, nor kept", "2 of at most 2"]),
        (desk(Life.UP), 5, 1, ["1 node more in pool p; 4 are not begun, nor kept: it has 1 of at most 2 nodes"]),
        (desk(Life.UP, Life.DESTROYING), 1, 1, ["0 of them now and the rest when it can: it has 2 of at most 2"]),
        (desk(most=9, spawn_rate=2.0), 5, 5, ["5 nodes more", "2 of them now", "may begin 2 nodes a minute"]),
        (desk(answers=False), 1, 1, ["0 of them now", "begins none while the scheduler has not answered yet"]),
    ],
)
def test_no_more_is_promised_than_can_be_and_what_becomes_of_the_rest_is_said(
    made: Desk, count: int, taken: int, words: list[str]
) -> None:
    """What the pool has no place for is not kept; what only waits is, and its reason is told."""
    promise = made.request("p", count, "ann", NOW)
    assert (promise.taken, made.pools["p"].asked) == (taken, taken)
    assert all(word in promise.text for word in words), promise.text


def test_what_was_asked_for_before_has_its_place() -> None:
    """Two requests in one breath are not promised the same two nodes; a pool that is frozen promises none."""
    made = desk()
    assert [made.request("p", 2, "ann", NOW).taken, made.request("p", 1, "ann", NOW).taken] == [2, 0]
    assert "2 more asked for before" in made.request("p", 1, "ann", NOW).text
    made.freeze("p", "ann")
    with pytest.raises(RefusedError, match="restore it first"):
        made.request("p", 1, "ann", NOW)
