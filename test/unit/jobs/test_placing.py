"""What fits where, on the board: slots, memory, gpus, features, and nodes that are emptied for one task."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.jobs.placing import Kinds, NodeKind, Room, beside, room_of, times
from asyncluster.model.messages import Code, Held, Outcome, Recall, Task
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts
from asyncluster.model.refusal import read

Desk = Any  # the fixture's class lives in conftest.py, which is not importable

VALUE, EXCEPTION, LOST, REFUSED, CANCELLED, RETURNED, UNPREPARED, LIMIT, DEPENDENCY, STAYS = Outcome
GIB = 1 << 30


def join(desk: Desk, name: str = "a", slots: int = 4, cores: int = 4, memory: int = 8 * GIB, **more: Any) -> None:
    desk.take(desk.board.join(NodeFacts(name, "host", slots, cores, memory, "3.11", **more), desk.now))


def need(desk: Desk, code: int, job: int = 1, **needs: Any) -> None:
    desk.take(desk.board.code(Code(job, code, 0, b"g", Need(**needs))))


def refusal(desk: Desk) -> tuple[str, tuple[str, ...]]:
    """The one sentence in which one task was refused, and which of its needs that is about."""
    (result,) = desk.told()
    assert result.outcome == REFUSED
    return read(result.payload)


@pytest.mark.parametrize(
    ("cores", "slots", "has", "takes"),
    [(1, 8, 4, 1), (1, 2, 8, 1), (2, 4, 4, 2), (2, 2, 8, 1), (5, 2, 8, 2), (2, 8, 4, 4), (8, 2, 8, 2), (3, 2, 4, 2)],
)
def test_cores_are_counted_in_slots(cores: int, slots: int, has: int, takes: int) -> None:
    """A slot stands for cores/slots of its node; a part of a slot is a whole one, and one core is one slot."""
    assert Room(cores).on(slots, has) == (takes, 0, 0)


def test_the_plain_need_has_no_room_of_its_own() -> None:
    """Retries do not decide where a task may run; features and a time limit do, but take no room."""
    assert room_of(Need(retries=2, wait=True)) is None
    timed = room_of(Need(time_limit=3.0))
    assert timed is not None
    assert not timed.bulky
    assert timed.on(4, 8) == (1, 0, 0)
    room = room_of(Need(features=("x",)))
    assert room is not None
    assert not room.bulky
    assert room_of(Need(memory=1)) != room_of(Need(memory=2))


def test_what_is_left_beside_something() -> None:
    """Nothing of what it is short of; of the rest what exceeds its part."""
    assert times((5, 10, 1), (2, 3, 0)) == 2
    assert times((5, 10, 1), (2, 3, 2)) == 0
    assert times((-1, 10, 1), (1, 0, 0)) == 0
    assert beside((8, 100, 0), (1, 10, 1)) == (7, 90, 0)
    assert beside((2, 100, 3), (4, 0, 1)) == (0, 100, 2)


def test_kinds_are_counted() -> None:
    """A kind is there until its last node has left."""
    kinds, kind = Kinds(), NodeKind("*", "3.11", 4, GIB, 0, frozenset())
    assert not kinds.lack("3.12")
    kinds.add(kind)
    kinds.add(kind)
    kinds.drop(kind)
    assert kinds.lack("3.12")
    assert kinds.cannot("ann", "3.11", Room(5))
    assert not kinds.cannot("ann", "3.12", Room(5))  # no node of that Python is here, which is another reason
    kinds.drop(kind)
    assert not kinds
    assert not kinds.cannot("ann", "3.11", Room(5))


def test_a_wide_task_takes_its_slots(desk: Desk) -> None:
    """Others get what is left, and it is shown as in use."""
    desk.job()
    need(desk, 1, cores=3)
    join(desk)
    desk.submit(0, 1, code=1)
    desk.dispatch()
    assert desk.given() == [0]
    assert desk.board.node_views()[0].running == 3
    desk.answer("a", 0)
    desk.dispatch()
    assert desk.given() == [1]


def test_memory_and_gpus_are_never_given_twice(desk: Desk) -> None:
    """However many slots are free; and not ahead either."""
    desk.job()
    need(desk, 1, memory=3 * GIB)
    need(desk, 2, gpus=1)
    join(desk, slots=8, cores=8, gpus=2)
    desk.submit(*range(5), code=1)
    desk.submit(*range(10, 15), code=2)
    desk.dispatch()
    assert sorted(desk.given()) == [0, 1, 10, 11]
    desk.answer("a", 0)
    desk.answer("a", 11, outcome=EXCEPTION)
    desk.dispatch()
    assert sorted(desk.given()) == [2, 12]


def test_tasks_with_needs_are_not_sent_ahead(desk: Desk) -> None:
    """Plain ones are, and so are those that only ask for features."""
    desk.job()
    need(desk, 1, memory=1)
    need(desk, 2, features=("x",))
    join(desk, slots=2, features=("x", "y"))
    desk.submit(0, 1, 2, 3, code=1)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.take(desk.board.cancel(1, [2, 3]))
    desk.submit(4, 5, 6, code=2)
    desk.dispatch()
    assert desk.given() == [4]


def test_features_decide_which_node(desk: Desk) -> None:
    """All of them are wanted; others go elsewhere meanwhile, from the same job."""
    desk.job()
    need(desk, 1, features=("x", "y"))
    join(desk, "a", features=("x",))
    join(desk, "b", features=("y", "x", "z"), slots=1)
    desk.submit(0, 1, 2, code=1)
    desk.submit(3, 4)
    desk.dispatch()
    assert sorted(desk.given("a")) == [3, 4]
    assert desk.given("b") == [0, 1]  # one of them ahead


def test_a_node_is_emptied_for_a_wide_task(desk: Desk) -> None:
    """The first that is too full when its turn comes gets nothing else; other nodes go on with the rest."""
    desk.job(1)
    desk.job(2, "bob")
    need(desk, 1, cores=4)
    join(desk, "a")
    join(desk, "b")
    desk.submit(*range(10), job=2)
    desk.dispatch()
    running = {name: desk.given(name) for name in "ab"}
    desk.submit(0, code=1)
    desk.submit(*range(20, 60), job=2)
    desk.dispatch()
    (kept,) = [name for name, node in desk.board._nodes.items() if node.reserved]
    other = "b" if kept == "a" else "a"
    text = desk.board.explain(1, 0).reason
    assert text.startswith(f"node {kept} is being emptied for it: 0 of 4 slots")
    for _ in range(20):  # the other one is given more whenever something ends there
        seq = running[other].pop(0)
        desk.answer(other, seq, job=2)
        desk.dispatch()
        running[other] += desk.given(other)
        assert desk.given(kept) == []
    while running[kept]:
        assert desk.given(kept) == []
        desk.answer(kept, running[kept].pop(), job=2)
        desk.dispatch()
    assert desk.given(kept)[0] == 0
    assert not desk.board.dispatcher._reserved


def test_a_wide_task_goes_to_another_node_that_is_free_first(desk: Desk) -> None:
    """And the one that was being emptied is for all again, at once."""
    desk.job(1)
    desk.job(2, "bob")
    need(desk, 1, cores=2)
    join(desk, "a", slots=2, cores=2)
    desk.submit(0, 1, job=2)
    desk.dispatch()
    desk.submit(0, code=1)
    desk.submit(2, job=2)
    desk.dispatch()
    desk.answer("a", 0, job=2)
    desk.dispatch()
    assert desk.given("a") == [0, 1]
    join(desk, "b", slots=2, cores=2)
    desk.dispatch()
    assert (desk.given("b"), desk.given("a")) == ([0], [2])


@pytest.mark.parametrize("end", ["cancel", "pause", "close", "leave"])
def test_a_node_is_kept_for_nothing_that_does_not_wait(desk: Desk, end: str) -> None:
    """The wide task is cancelled, its job paused or closed, or the node leaves: others go on."""
    desk.job(1)
    desk.job(2, "bob")
    need(desk, 1, cores=2)
    join(desk, "a", slots=2, cores=2)
    desk.submit(0, 1, job=2)
    desk.dispatch()
    desk.submit(0, code=1)
    desk.submit(2, 3, job=2)
    desk.dispatch()
    desk.answer("a", 0, job=2)
    desk.dispatch()
    assert desk.given("a") == [0, 1]
    if end == "cancel":
        desk.take(desk.board.cancel(1, [0]))
    elif end == "pause":
        desk.take(desk.board.pause(1, True))
    elif end == "close":
        desk.take(desk.board.close(1))
    else:
        desk.leave("a")
        join(desk, "a", slots=1, cores=1)
    desk.dispatch()
    assert desk.given("a")[0] in (1, 2)
    assert not desk.board.dispatcher._reserved


def test_a_node_whose_gpu_is_waited_for_is_not_idle(desk: Desk) -> None:
    """Only what the waiting task needs besides is kept free."""
    desk.job(1)
    desk.job(2, "bob")
    need(desk, 1, gpus=1)
    join(desk, gpus=1)
    desk.submit(0, 1, code=1)
    desk.dispatch()
    assert desk.given() == [0]
    desk.submit(*range(10), job=2)
    desk.dispatch()
    assert len(desk.given()) == 2
    desk.answer("a", 0)
    desk.dispatch()
    assert desk.given()[0] == 1


def test_what_is_more_urgent_goes_before_a_wide_task(desk: Desk) -> None:
    """A node that is kept for it is still given tasks of higher priority; a wide one of those takes it over."""
    desk.job(1)
    desk.job(2, "bob")
    desk.job(3, "cat", priority=5)
    need(desk, 1, cores=4)
    need(desk, 1, job=3, cores=3)
    join(desk)
    desk.submit(0, 1, 2, 3, job=2)
    desk.dispatch()
    desk.submit(0, code=1)
    desk.dispatch()
    assert "emptied" in desk.board.explain(1, 0).reason
    desk.answer("a", 0, job=2)
    desk.submit(10, job=3)
    desk.dispatch()
    assert desk.given() == [0, 1, 2, 3, 10]
    desk.submit(11, job=3, code=1)
    desk.dispatch()
    assert "emptied" in desk.board.explain(3, 11).reason
    assert desk.board.explain(1, 0).reason == "jobs of priority 5 go first; this one has 0"
    desk.answer("a", 1, 2, 3, job=2)
    desk.dispatch()
    assert desk.given() == [11]


def test_a_task_that_does_not_fit_holds_up_no_other_of_its_job(desk: Desk) -> None:
    """Each need of a job has a line of its own."""
    desk.job()
    need(desk, 1, features=("x",), wait=True)
    join(desk)
    desk.submit(0, code=1)
    desk.submit(1, 2)
    desk.dispatch()
    assert desk.given() == [1, 2]
    assert [view.queued for view in desk.board.job_views()] == [1]


def test_many_nodes_without_room_are_asked_once(desk: Desk) -> None:
    """Until something changes there, or something new is queued."""
    desk.job()
    need(desk, 1, cores=2)
    for name in "abc":
        join(desk, name, slots=2, cores=2)
    desk.submit(0, 1, 2)
    desk.dispatch()
    desk.submit(3, code=1)
    desk.dispatch()
    desk.dispatch()
    assert len(desk.board.dispatcher._passing) == 3
    assert not desk.board.dispatcher._idle
    desk.submit(4)
    desk.dispatch()
    assert sum(len(desk.given(name)) for name in "abc") == 4


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"cores": 64}, "needs 64 cores; the largest node, b, has 8"),
        ({"memory": 64 * GIB}, "needs 64 GiB of memory; the largest node, a, has 16 GiB"),
        ({"gpus": 2}, "needs 2 gpus; the largest node, b, has 1"),
        ({"features": ("y", "big")}, "needs the feature big; nodes here have x, y"),
        ({"features": ("y", "x")}, "needs x, y on one node; each is here, but no node has all of it"),
        ({"cores": 8, "memory": 16 * GIB}, "needs 8 cores, 16 GiB of memory on one node; each is here"),
    ],
)
def test_what_no_node_has_is_refused_at_once(desk: Desk, needs: dict[str, Any], words: str) -> None:
    """It names what is missing and the best there is; with wait=True it waits for the same reason."""
    desk.job()
    join(desk, "a", cores=4, memory=16 * GIB, features=("x",))
    join(desk, "b", cores=8, gpus=1, features=("y",))
    join(desk, "c", cores=1000, memory=1000 * GIB, gpus=9, serves="bob", features=("big",))  # another's
    need(desk, 1, **needs)
    need(desk, 2, **needs, wait=True)
    desk.submit(0, code=1)
    text, about = refusal(desk)
    assert text.startswith(words)
    assert about == tuple(needs)
    assert "wait=True" in text
    desk.submit(1, code=2)
    assert desk.told() == []
    assert desk.board.explain(1, 1).reason.startswith(words)
    assert desk.board.why_stuck(1).startswith(words)


def test_the_python_of_a_job_may_be_waited_for(desk: Desk) -> None:
    """With wait=True a task is queued though no node here runs the Python of its job."""
    desk.job(python="3.12")
    join(desk)
    need(desk, 1, wait=True)
    desk.submit(0)
    text, about = refusal(desk)
    assert "Python 3.12" in text
    assert about == ()
    desk.submit(0, code=1)
    assert desk.told() == []
    assert "Python 3.12" in desk.board.explain(1, 0).reason


def test_without_nodes_everything_waits(desk: Desk) -> None:
    """Also what the first node cannot run; and what could be run until the last large node left."""
    desk.job()
    need(desk, 1, cores=64)
    desk.submit(0, code=1)
    assert desk.told() == []
    join(desk)
    desk.dispatch()
    assert desk.board.explain(1, 0).reason == "needs 64 cores; the largest node, a, has 4"


@pytest.mark.parametrize("needs", [{"cores": 0}, {"memory": -1}, {"retries": -1}, {"features": ("a b",)}])
def test_a_need_that_cannot_be_is_told_to_each_task(desk: Desk, needs: dict[str, Any]) -> None:
    """The code is not taken on, also after a restart; tasks of other codes go on."""
    desk.job()
    need(desk, 1, **needs)
    need(desk, 1)  # the first of a number counts
    desk.submit(0, code=1)
    assert refusal(desk)[0] == f"task 0 asks for what cannot be: {Need(**needs).fault()}"
    desk.submit(0)
    assert desk.told() == []
    assert [code.code for code in desk.board.as_recovered(1).codes] == [0, 1]


def test_a_recall_respects_needs(desk: Desk) -> None:
    """What the idle node may not run stays; what is too large to be sent ahead is not asked for either."""
    desk.job()
    need(desk, 1, features=("x",))
    join(desk, "a", slots=1, features=("x",))
    desk.submit(*range(6), code=1)
    desk.dispatch()
    desk.answer("a", 0, wall=3000)
    desk.dispatch()
    desk.sent("a")
    join(desk, "b", slots=2)
    desk.tick()
    assert desk.sent("a") == []
    join(desk, "c", slots=2, features=("x",))
    desk.tick()
    assert desk.sent("a") == [Recall(2)]


def test_node_views_tell_what_nodes_have(desk: Desk) -> None:
    """Cores, memory, gpus and features as the node said."""
    join(desk, gpus=2, features=("x",))
    (view,) = desk.board.node_views()
    assert (view.cores, view.memory, view.gpus, view.features) == (4, 8 * GIB, 2, ("x",))


def test_a_node_that_comes_back_holds_what_its_tasks_need(desk: Desk) -> None:
    """Memory and slots of what it claims are in use again."""
    desk.job()
    need(desk, 1, cores=2, memory=GIB)
    join(desk)
    desk.submit(0, code=1)
    desk.dispatch()
    (task,) = [message for message in desk.sent() if isinstance(message, Task)]
    recovered = desk.board.as_recovered(1)
    fresh = type(desk)()
    spec = desk.board._jobs[1].spec
    fresh.take(fresh.board.restore(spec, recovered))

    facts = NodeFacts("a", "host", 4, 4, 8 * GIB, "3.11")
    fresh.take(fresh.board.rejoin(facts, [Held(1, [1], 0, [(0, task.attempt)])], 0.0))
    assert fresh.board._nodes["a"].free == (2, 7 * GIB, 0)
    fresh.answer("a", 0)
    assert fresh.board._nodes["a"].free == (4, 8 * GIB, 0)
