"""Which tasks of a node run, and which were only sent there ahead."""

from __future__ import annotations

from typing import Any

from asyncluster.jobs.working import SPARE
from asyncluster.model.messages import Code
from asyncluster.model.need import Need

Desk = Any  # the fixture's class lives in conftest.py, which is not importable


def counts(desk: Desk, job: int = 1) -> tuple[int, int]:
    """How many tasks of the job are queued, and how many run."""
    view = desk.board.job_view(job)
    assert view is not None
    assert view in desk.board.job_views()
    return view.queued, view.running


def states(desk: Desk, *seqs: int, job: int = 1) -> list[str]:
    """How they are explained."""
    return [desk.board.explain(job, seq).state for seq in seqs]


def test_what_waits_at_a_node_does_not_run(desk: Desk) -> None:
    """A node of one slot is given two tasks, and works at the first."""
    desk.job()
    desk.node("a", slots=1)
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert len(desk.board._jobs[1].running) == 2
    assert counts(desk) == (2, 1)
    assert states(desk, 0, 1, 2) == ["running", "queued", "queued"]
    ahead = desk.board.explain(1, 1)
    assert (ahead.reason, ahead.node) == ("node a was sent it ahead, and begins it when a slot there is free", "a")
    assert desk.board.explain(1, 2).node == ""
    desk.answer("a", 0)
    assert states(desk, 1) == ["running"]


def test_what_a_node_says_is_believed(desk: Desk) -> None:
    """It may have begun a later task; of an attempt that is over it means nothing."""
    desk.job()
    desk.node("a", slots=2)
    desk.submit(0, 1, 2)
    desk.dispatch()
    desk.started("a", 2)
    assert states(desk, 0, 1, 2) == ["running", "queued", "running"]
    assert counts(desk) == (1, 2)
    desk.started("a", 1, attempt=7)
    assert counts(desk) == (1, 2)


def test_a_cancelled_task_keeps_its_slot(desk: Desk) -> None:
    """Until the node is rid of it nothing behind it runs, and it counts for nobody."""
    desk.job()
    desk.node("a", slots=1)
    desk.submit(0, 1)
    desk.dispatch()
    desk.take(desk.board.cancel(1, [0]))
    assert counts(desk) == (1, 0)
    desk.answer("a", 0)
    assert counts(desk) == (0, 1)


def test_large_tasks_and_several_jobs(desk: Desk) -> None:
    """No more run than there are slots for, whosever they are."""
    desk.job(1)
    desk.job(2)
    desk.take(desk.board.code(Code(2, 1, 0, b"g", Need(cores=3))))
    desk.node("a", slots=4)
    desk.submit(0, job=2, code=1)
    desk.dispatch()
    desk.submit(0, 1, job=1)
    desk.dispatch()
    assert (counts(desk, 1)[1], counts(desk, 2)[1]) == (1, 1)


def test_notes_of_begun_tasks_do_not_pile_up(desk: Desk) -> None:
    """Those that are over are sifted out."""
    desk.job()
    desk.node("a", slots=1)
    for seq in range(3 * SPARE):
        desk.submit(seq)
        desk.dispatch()
        desk.started("a", seq)
        desk.answer("a", seq)
    (share,) = desk.board._jobs[1].shares.values()
    assert len(share.begun) <= SPARE + 1


class Unwalked(dict[int, Any]):
    """Says when somebody goes through it."""

    walked = 0

    def __iter__(self) -> Any:
        Unwalked.walked += 1
        return super().__iter__()


def test_looking_does_not_go_through_what_nodes_hold(desk: Desk) -> None:
    """Of one job, of two that share nodes, and where there is one that was cancelled: that one's node only."""
    desk.job(1)
    desk.job(2, owner="bob")
    for name in "abc":
        desk.node(name, slots=4)
    desk.submit(*range(30), job=1)
    desk.submit(*range(30), job=2)
    desk.dispatch()
    nodes = desk.board._nodes.values()
    assert all(node.held > node.slots for node in nodes)
    one_by_one = counts(desk), counts(desk, 2)
    for node in nodes:
        for share in node.shares.values():
            share.tasks = Unwalked(share.tasks)
    Unwalked.walked = 0
    assert (counts(desk), counts(desk, 2)) == one_by_one
    assert sum(running for _, running in one_by_one) == 12
    assert Unwalked.walked == 0
    job = desk.board._jobs[1]
    desk.take(desk.board.cancel(1, [next(iter(job.running))]))
    assert counts(desk)[1] + counts(desk, 2)[1] == 11
    shares = max(len(node.shares) for node in nodes)
    assert 0 < Unwalked.walked <= 6 * shares
