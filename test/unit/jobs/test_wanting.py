"""Nodes on hold, nodes that may come, and what the queue wants of whoever provides nodes."""

from __future__ import annotations

from asyncluster.jobs.placing import NodeKind
from asyncluster.model.batch import BatchState, Chunk
from asyncluster.model.messages import EVERYTHING, Cancel, Code, Held, Outcome, Recall, Result, Task
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts, NodeState


def kind(cores: int = 8, python: str = "3.11") -> NodeKind:
    return NodeKind("*", python, cores, 1 << 34, 0, frozenset({"fast"}))


def special(desk, need: Need, *seqs: int, code: int = 5) -> None:
    desk.take(desk.board.code(Code(1, code, 0, b"g", need)))
    desk.take(desk.board.submit(1, [Task(1, seq, 0, code, b"") for seq in seqs]))


def test_hold_gives_nothing_more(desk):
    """A held node finishes what it has, gives back what it has not begun, and gets nothing until it is let go."""
    desk.node("a")
    desk.job()
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert desk.board.node_views()[0].state is NodeState.BUSY
    desk.sent("a")
    desk.take(desk.board.hold("a", True))
    assert [type(each) for each in desk.sent("a")] == [Recall]
    assert desk.board.node_views()[0].state is NodeState.HOLDING
    desk.take(
        desk.board.results("a", [Result(1, 1, 1, Outcome.RETURNED, b""), Result(1, 0, 1, Outcome.VALUE, b"v")], 0)
    )
    desk.take(desk.board.results("a", [Result(1, 2, 1, Outcome.RETURNED, b"")], 0))
    desk.dispatch()
    assert desk.board.node_views()[0].state is NodeState.HELD
    assert not desk.sent("a")
    assert "held: a" in desk.board.explain(1, 1).reason
    desk.take(desk.board.hold("a", False))
    desk.dispatch()
    assert desk.board.node_views()[0].state is NodeState.BUSY


def test_vacate_has_what_runs_begin_anew_elsewhere(desk):
    """What runs ends there and is queued again without a charge; the node is held, and may be let go again."""
    desk.node("a", slots=2)
    desk.job()
    desk.submit(0, 1)
    desk.dispatch()
    desk.started("a", 0)
    desk.started("a", 1)
    desk.sent("a")
    desk.told()
    desk.take(desk.board.vacate("a"))
    assert desk.sent("a") == [Recall(EVERYTHING), Cancel(1, [0, 1], True)]
    desk.answer("a", 1)  # it was just done
    desk.answer("a", 0, outcome=Outcome.CANCELLED)
    assert [(each.seq, each.outcome) for each in desk.told()] == [(1, Outcome.VALUE)]
    assert desk.board.node_views()[0].state is NodeState.HELD
    assert desk.noted == []
    desk.dispatch()
    assert desk.given("a") == []
    desk.node("b")
    desk.dispatch()
    assert desk.given("b") == [0]
    desk.take(desk.board.hold("a", False))
    desk.submit(2, 3)
    desk.dispatch()
    assert desk.given("a") != []
    assert desk.board.vacate("nobody") == []


def test_what_a_user_cancels_on_a_vacated_node_stays_cancelled(desk):
    """It is not begun anew; nor is what the node calls cancelled later, of another attempt."""
    desk.node("a", slots=2)
    desk.job()
    desk.submit(0)
    desk.dispatch()
    desk.take(desk.board.vacate("a"))
    desk.take(desk.board.cancel(1, [0]))
    desk.answer("a", 0, outcome=Outcome.CANCELLED)
    assert desk.ended() == [(0, Outcome.CANCELLED)]
    desk.node("b")
    desk.dispatch()
    assert desk.given("b") == []


def test_a_node_that_was_away_when_it_was_vacated_hears_of_it(desk):
    """The order is said again when it is back with what it has."""
    desk.node("a")
    desk.job()
    desk.submit(0)
    desk.dispatch()
    desk.take(desk.board.away("a"))
    desk.sent("a")
    desk.take(desk.board.vacate("a"))
    assert desk.sent("a") == []
    desk.take(desk.board.rejoin(NodeFacts("a", "host", 1, 1, 1 << 30, "3.11"), [Held(1, [0], 0, [(0, 1)])], 0.0))
    assert Cancel(1, [0], True) in desk.sent("a")
    desk.answer("a", 0, outcome=Outcome.CANCELLED)
    assert desk.ended() == []


def test_holding_twice_or_nobody_is_nothing(desk):
    """It is no fault to hold what is held, or what is not there."""
    desk.node("a")
    assert desk.board.hold("b", True) == []
    desk.take(desk.board.hold("a", True))
    assert desk.board.hold("a", True) == []
    assert not desk.sent("a")  # nothing was there to give back


def test_what_a_pool_could_run_is_not_refused(desk):
    """A task too large for all nodes present waits, where nodes that may come are large enough."""
    desk.node("a")
    desk.job()
    special(desk, Need(cores=4), 0)
    assert desk.told(1)[0].outcome == Outcome.REFUSED
    desk.board.expect([kind()])
    special(desk, Need(cores=4), 1)
    assert not desk.told(1)
    special(desk, Need(cores=9), 2, code=6)
    assert desk.told(1)[0].outcome == Outcome.REFUSED


def test_another_python_that_may_come(desk):
    """Functions of a Python that no node has wait, where a pool's nodes have it."""
    desk.node("a")
    desk.job(python="3.12")
    desk.board.expect([kind(python="3.12")])
    desk.submit(0)
    assert not desk.told(1)


def test_demand_counts_what_is_alike(desk):
    """A hundred tasks that need the same are one batch job with a count; another need is another one."""
    desk.job(priority=3)
    desk.submit(*range(100))
    special(desk, Need(cores=2, memory=1 << 20, features=("fast",), time_limit=60.0), 100, 101)
    plain, wide = desk.board.demand(7.0).jobs
    assert (plain.count, plain.chunks, plain.priority, plain.walltime) == (100, (Chunk(),), 3, 0.0)
    assert (wide.count, wide.chunks, wide.walltime) == (2, (Chunk(1, 2, 1 << 20, 0, ("fast",)),), 60.0)
    assert plain.id != wide.id
    assert desk.board.demand(7.0).seen == 7.0


def test_demand_of_what_cannot_run_now(desk):
    """Tasks of a paused job are held: no node would help."""
    desk.job()
    desk.submit(0)
    desk.take(desk.board.pause(1, True))
    assert [job.state for job in desk.board.demand(0.0).jobs] == [BatchState.HELD]


def test_nodes_in_demand(desk):
    """A node shows its slots as cores, and which jobs it has something of."""
    desk.node("a", slots=4)
    desk.job()
    desk.submit(0, 1)
    desk.dispatch()
    (node,) = desk.board.demand(0.0).nodes
    assert (node.name, node.cores, node.used, node.jobs, node.state) == ("a", 4, 2, ("1",), NodeState.BUSY)
    assert not desk.board.demand(0.0).jobs
