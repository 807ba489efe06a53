"""What the master says of itself."""

from __future__ import annotations

from twisted.internet.task import Clock

from asyncluster.master.service import Master
from asyncluster.model.node import NodeFacts, NodeState


def test_nodes_that_are_away_are_counted_apart() -> None:
    """The list of nodes marks them, and the status counts only those that are here, with their slots."""
    master = Master(Clock())
    for name in ("a", "b"):
        master.board.join(NodeFacts(name, "host", 2, 2, 1 << 30, "3.11"), 0.0)
    master.board.away("b")
    assert [(view.name, view.state, view.away) for view in master.board.node_views()] == [
        ("a", NodeState.IDLE, False),
        ("b", NodeState.ERROR, True),
    ]
    status = master.status()
    assert (status["nodes"], status["away"], status["slots"]) == (1, 1, 2)
