"""Nodes at which somebody sits: what they get, and what is said of tasks that wait for them."""

from __future__ import annotations

import pytest

from asyncluster.model.messages import EVERYTHING, Cancel, Outcome, Recall
from asyncluster.model.node import NodeState


@pytest.mark.parametrize("way", ["pause", "return"])
def test_it_gets_nothing_until_the_session_ends(desk, way):
    """Whatever held it before still does; a hold of an administrator's is not undone by a session that ends."""
    desk.node("a")
    desk.take(desk.board.occupy("a", "jane", way))
    desk.job()
    desk.submit(0)
    desk.dispatch()
    assert not desk.sent("a")
    assert desk.board.explain(1, 0).reason == "every node that fits is in use: node a is in use by jane"
    (view,) = desk.board.node_views()
    assert (view.state, view.user, view.in_use) == (NodeState.HELD, "jane", way)
    assert desk.board.why_taken("a").startswith("jane uses it: ")
    assert desk.board.why_taken("b") == ""
    desk.take(desk.board.hold("a", True))
    desk.take(desk.board.occupy("a", "", way))
    desk.dispatch()
    assert not desk.sent("a")
    desk.take(desk.board.hold("a", False))
    desk.dispatch()
    assert desk.sent("a")
    (view,) = desk.board.node_views()
    assert (view.state, view.user, view.in_use) == (NodeState.BUSY, "", "")


@pytest.mark.parametrize("way", ["nice", "go on"])
def test_it_works_on_where_it_may(desk, way):
    """Modest or not, it gets tasks; who sits there is shown."""
    desk.node("a")
    desk.take(desk.board.occupy("a", "jane", way))
    desk.job()
    desk.submit(0)
    desk.dispatch()
    assert desk.sent("a")
    assert desk.board.node_views()[0].user == "jane"


def test_paused_tasks_stay_and_say_so(desk):
    """What was not begun comes back; what runs is paused, which its explanation says."""
    desk.node("a")
    desk.job()
    desk.submit(0, 1)
    desk.dispatch()
    desk.started("a", 0)
    desk.sent("a")
    desk.take(desk.board.occupy("a", "jane", "pause"))
    assert desk.sent("a") == [Recall(EVERYTHING)]
    assert desk.board.explain(1, 0).reason.endswith("it is paused there while jane uses that machine")
    desk.take(desk.board.occupy("a", "", "pause"))
    assert "paused" not in desk.board.explain(1, 0).reason


def test_returned_tasks_charge_nothing(desk):
    """They end there and begin anew elsewhere, in the same attempt count of losses: none."""
    desk.node("a")
    desk.job()
    desk.submit(0)
    desk.dispatch()
    desk.started("a", 0)
    desk.sent("a")
    desk.told()
    desk.take(desk.board.occupy("a", "jane", "return"))
    assert desk.sent("a") == [Recall(EVERYTHING), Cancel(1, [0], True)]
    desk.answer("a", 0, outcome=Outcome.CANCELLED)
    assert desk.told() == []
    assert desk.board.counters.lost == 0
    desk.node("b")
    desk.dispatch()
    assert [each.seq for each in desk.sent("b") if hasattr(each, "attempt")] == [0]


def test_the_reason_names_who_sits_where(desk):
    """Beside the nodes that are busy, and shortened where there are many."""
    for number in range(8):
        desk.node(f"n{number}")
        desk.take(desk.board.occupy(f"n{number}", f"user{number}", "pause"))
    desk.node("free")
    desk.job()
    desk.submit(0, 1, 2, 3)
    desk.dispatch()
    reason = desk.board.explain(1, 3).reason
    assert "all 1 slots that fit are in use, on free; node n0 is in use by user0, node n1 by user1" in reason
    assert "n4 by user4 and 3 more" in reason


def test_a_node_that_is_not_there_is_not_in_use(desk):
    """Its session is told of when it has registered."""
    assert desk.board.occupy("a", "jane", "pause") == []


def test_what_is_paused_uses_no_hours(desk):
    """Its cores count as at work again when it goes on."""
    desk.node("a", 2)
    desk.job(1, "ann")
    desk.submit(0, 1)
    desk.dispatch()
    ann = desk.board.owners.of("ann")
    assert desk.board.owners.cores_at_work(ann) == 2
    desk.take(desk.board.occupy("a", "jane", "pause"))
    assert desk.board.owners.cores_at_work(ann) == 0
    assert not desk.board.owners.cores_by_owner()
    desk.take(desk.board.occupy("a", "", "pause"))
    assert desk.board.owners.cores_by_owner() == {"ann": 2}
