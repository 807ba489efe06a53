"""Steps go no way round what holds for tasks: bars, limits, nodes that are in use; and their time is charged."""

from __future__ import annotations

import pytest

from asyncluster.model.job import JobSpec
from asyncluster.model.messages import STEPS, Cancel, Held, Job, Step, StepDone, Task
from asyncluster.model.node import NodeFacts


def kinds(messages):
    return [type(message) for message in messages]


def end(desk, owner):
    for some in desk.board.owners.end(owner):
        desk.take(some)


def limits(desk, slots, bar):
    ann = desk.board.owners.of("ann")
    desk.take(desk.board.owners.limit(ann, slots, None))
    desk.take(desk.board.owners.bar(ann, bar))
    return ann


@pytest.mark.parametrize(("slots", "bar"), [(None, "outside opening hours of ann"), (0, ""), (2, "")])
def test_no_step_goes_where_its_owner_may_have_no_more_slots(desk, slots, bar):
    """Its client is told that it went well, as where no slot is free; it precedes the first task that is given out."""
    desk.node("a")
    desk.job()
    ann = limits(desk, slots, bar)
    desk.step()
    assert desk.sent("a") == []
    assert desk.told() == [StepDone(1, 0, "", "")]
    desk.submit(0)
    desk.take(desk.board.owners.limit(ann, None, None))
    desk.take(desk.board.owners.bar(ann, ""))
    desk.dispatch()
    assert kinds(desk.sent("a"))[1] is Step


@pytest.mark.parametrize("way", ["pause", "return"])
def test_no_step_goes_where_somebody_sits(desk, way):
    """Nor to a node on hold; others apply it at once."""
    for name in "abc":
        desk.node(name)
    desk.take(desk.board.occupy("a", "jane", way))
    desk.take(desk.board.hold("b", True))
    desk.job()
    desk.step()
    assert [kinds(desk.sent(name)) for name in "abc"] == [[], [], [Job, Step]]
    desk.stepped("c")
    assert desk.told()[-1] == StepDone(1, 0, "", "")


def test_steps_of_who_is_disabled_end(desk):
    """Where they run nobody waits for them any more; those of others go on."""
    desk.node("a", slots=2)
    desk.job()
    desk.job(2, "bob")
    desk.step()
    desk.step(job=2)
    desk.sent("a")
    ann = limits(desk, None, "the account ann is disabled")
    assert desk.told() == []
    end(desk, ann)
    assert desk.sent("a") == [Cancel(1, [STEPS], True)]
    assert desk.told() == [StepDone(1, 0, "", "")]
    assert desk.told(2) == []


@pytest.mark.parametrize("what", ["vacate", "occupy"])
def test_steps_end_where_tasks_do(desk, what):
    """On a node that is to be empty; applied there before a task already, or alone."""
    desk.node("a")
    desk.job()
    desk.step()
    desk.sent("a")
    desk.take(desk.board.vacate("a") if what == "vacate" else desk.board.occupy("a", "jane", "return"))
    assert Cancel(1, [STEPS], True) in desk.sent("a")
    assert desk.told() == [StepDone(1, 0, "", "")]


def test_a_node_that_comes_back_to_a_bar_is_rid_of_the_step(desk):
    """It may have begun it, or not heard of it."""
    desk.node("a")
    desk.job()
    desk.step()
    desk.sent("a")
    desk.take(desk.board.away("a"))
    ann = limits(desk, None, "the account ann is disabled")
    end(desk, ann)
    assert desk.sent("a") == []
    facts = NodeFacts("a", "host", 1, 1, 1 << 30, "3.11", "*")
    desk.take(desk.board.rejoin(facts, [], desk.now))
    assert not {Job, Step}.intersection(kinds(desk.sent("a")))
    assert desk.told() == [StepDone(1, 0, "", "")]


def test_the_time_of_steps_is_their_owners(desk):
    """Whether anybody waits for them or not, also after their job was closed; no task has ended by it."""
    desk.node("a")
    desk.board.open(JobSpec(1, "ann"))
    desk.step()
    for step in (0, STEPS):
        desk.take(desk.board.step_done("a", StepDone(1, step, "a", "", 4_000)))
    desk.take(desk.board.close(1))
    desk.take(desk.board.step_done("a", StepDone(1, STEPS, "a", "", 2_000)))
    desk.take(desk.board.step_done("a", StepDone(7, STEPS, "a", "", 2_000)))
    spent = desk.board.counters.spent
    assert list(spent) == [("a", 1)]
    one = spent["a", 1]
    assert (one.owner, one.tasks, one.wall, one.core_wall) == ("ann", 0, 10_000, 10_000)
    assert desk.board.owners.of("ann").spent == 10_000
    assert desk.told() == [StepDone(1, 0, "a", ""), StepDone(1, 0, "", "")]


@pytest.mark.parametrize("closed", [False, True])
def test_a_node_charges_nobody_whose_job_it_was_not_given(desk, closed):
    """Neither bob's own node nor one of the site's that came later; open or closed, whatever they say it took."""
    desk.node("a")
    desk.node("bob_laptop", serves="bob")
    desk.job()
    desk.step()
    desk.node("late")
    desk.job(2, "bob")
    desk.step(job=2)
    if closed:
        for job in (1, 2):
            desk.take(desk.board.close(job))
    for name in ("bob_laptop", "late"):
        desk.take(desk.board.step_done(name, StepDone(1, STEPS, name, "", 1 << 53)))
    assert desk.board.counters.spent == {}
    assert desk.board.owners.of("ann").spent == 0
    for name, job in (("a", 1), ("bob_laptop", 2)):
        desk.take(desk.board.step_done(name, StepDone(job, STEPS, name, "", 4_000)))
    assert {key: each.owner for key, each in desk.board.counters.spent.items()} == {
        ("a", 1): "ann",
        ("bob_laptop", 2): "bob",
    }


def test_a_node_that_serves_another_now_charges_for_no_former_job(desk):
    """It was the site's when it was given that job, and its name is a person's own node's when it tells of it."""
    desk.node("a")
    desk.job()
    desk.step()
    desk.take(desk.board.close(1))
    desk.node("a", serves="bob")
    desk.take(desk.board.step_done("a", StepDone(1, STEPS, "a", "", 4_000)))
    assert desk.board.counters.spent == {}


def test_of_closed_jobs_on_many_nodes_fewer_are_remembered(desk, monkeypatch):
    """The last one always is."""
    monkeypatch.setattr("asyncluster.jobs.stepping.HAD", 3)
    for name in "abcd":
        desk.node(name)
    for job in (1, 2):
        desk.job(job)
        desk.step(job=job)
        desk.take(desk.board.close(job))
    for job in (1, 2):
        desk.take(desk.board.step_done("a", StepDone(job, STEPS, "a", "", 4_000)))
    assert list(desk.board.counters.spent) == [("a", 2)]


def test_a_task_brings_the_step_that_was_not_tried(desk):
    """Behind a limit of slots: in order, and once."""
    desk.node("a", slots=4)
    desk.job()
    limits(desk, 2, "")
    desk.step(0)
    desk.step(1)
    desk.submit(0, 1)
    desk.dispatch()
    sent = desk.sent("a")
    assert [message.step for message in sent if isinstance(message, Step)] == [0, 1]
    assert kinds(sent)[-1] is Task


def test_a_node_that_comes_back_on_hold_goes_on_with_its_step(desk):
    """Nobody waits for it any more, and nothing of what it does is ended: tasks on hold go on, too."""
    desk.node("a")
    desk.job()
    desk.step()
    desk.sent("a")
    desk.take(desk.board.away("a"))
    desk.take(desk.board.hold("a", True))
    desk.take(desk.board.rejoin(NodeFacts("a", "host", 1, 1, 1 << 30, "3.11", "*"), [Held(1, [0], 1, [])], desk.now))
    assert Cancel not in kinds(desk.sent("a"))
    assert desk.told() == [StepDone(1, 0, "", "")]
