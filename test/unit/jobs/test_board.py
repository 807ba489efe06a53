"""The life of tasks on the board, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    Cancel,
    Close,
    Code,
    Job,
    Outcome,
    Recall,
    Result,
    Started,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.node import NodeState

Desk = Any  # the fixture's class lives in conftest.py, which is not importable

VALUE, EXCEPTION, LOST, REFUSED, CANCELLED, RETURNED, UNPREPARED, LIMIT, DEPENDENCY, STAYS = Outcome


def test_what_a_node_needs_comes_before_the_task_and_once(desk: Desk) -> None:
    """Job, steps in order and only the code called precede the first task; none of them is sent again."""
    desk.job()
    desk.board.code(Code(1, 1, 0, b"g"))
    desk.step(0)
    desk.step(1)
    desk.submit(0)
    desk.node()
    desk.dispatch()
    first = desk.sent()
    assert [type(message) for message in first] == [Job, Step, Step, Code, Task]
    assert [message.step for message in first[1:3]] == [0, 1]
    assert first[3].payload == b"f"
    desk.answer("a", 0)
    desk.submit(1)
    desk.submit(2, code=1)
    desk.dispatch()
    assert [type(message) for message in desk.sent()] == [Task, Code, Task]


def test_a_node_that_joins_again_is_told_everything_again(desk: Desk) -> None:
    """What a node knows is forgotten when it leaves."""
    desk.job()
    desk.node()
    desk.submit(0)
    desk.dispatch()
    desk.sent()
    desk.leave("a")
    desk.node()
    desk.dispatch()
    assert [type(message) for message in desk.sent()] == [Job, Code, Task]


def test_a_result_goes_to_the_client_at_once_and_is_forgotten(desk: Desk) -> None:
    """Values and exceptions pass unchanged, with their attempt; nothing of the task stays."""
    desk.job()
    desk.node(slots=2)
    desk.submit(0, 1)
    desk.dispatch()
    desk.answer("a", 0, payload=b"yes")
    desk.answer("a", 1, outcome=EXCEPTION, payload=b"no")
    told = desk.told()
    assert [(r.seq, r.attempt, r.outcome, r.payload) for r in told] == [(0, 1, VALUE, b"yes"), (1, 1, EXCEPTION, b"no")]
    (view,) = desk.board.job_views()
    assert (view.queued, view.running, view.done, view.failed) == (0, 0, 1, 1)
    desk.submit(0)  # the number is free again
    desk.dispatch()
    assert desk.given()[-1:] == [0]


def test_returned_tasks_go_to_the_front_in_their_order_and_charge_nothing(desk: Desk) -> None:
    """However often a task comes back unstarted it is run in the end, before those behind it."""
    desk.job(crash_limit=1)
    desk.node(slots=3)
    desk.submit(0, 1, 2, 3, 4, 5)
    desk.dispatch()
    assert desk.given() == [0, 1, 2, 3]
    for attempt in range(1, 5):
        desk.answer("a", 1, 2, outcome=RETURNED, attempt=attempt)
        desk.dispatch()
        assert desk.given() == [1, 2]
    assert desk.told() == []
    assert desk.board.counters.returned == 8


def test_a_lost_attempt_is_tried_again_until_the_limit(desk: Desk) -> None:
    """The last loss is answered LOST with a text that lists each place and how it ended."""
    desk.job(crash_limit=3)
    desk.node("a")
    desk.submit(7)
    for attempt, place in ((1, "a"), (2, "b")):
        desk.dispatch()
        desk.answer(place, 7, attempt=attempt, outcome=LOST, payload=b"worker 1 died of signal 11")
        assert desk.told() == []
        desk.leave(place)
        desk.node("b" if place == "a" else "c")
    desk.dispatch()
    (task,) = [message for message in desk.sent("c") if isinstance(message, Task)]
    assert task.attempt == 3
    desk.leave("c", "silent for 30 s")
    (result,) = desk.told()
    assert (result.seq, result.attempt, result.outcome) == (7, 3, LOST)
    text = result.payload.decode()
    assert "3 times" in text
    for line in ("attempt 1 on node a: worker 1 died of signal 11", "attempt 2 on node b", "node c: silent for 30 s"):
        assert line in text
    assert desk.board.queued == 0


def test_losses_are_forgotten_with_the_task(desk: Desk) -> None:
    """A number used again does not inherit losses."""
    desk.job(crash_limit=2)
    desk.node()
    for _ in range(3):
        desk.submit(0)
        desk.dispatch()
        desk.answer("a", 0, outcome=LOST)
        desk.dispatch()
        desk.answer("a", 0, attempt=2)
    assert desk.ended() == [(0, VALUE)] * 3


def test_a_node_that_leaves_loses_all_it_had(desk: Desk) -> None:
    """They are given to others, in their order and before what was queued."""
    desk.job()
    desk.node("a", slots=2)
    desk.submit(0, 1, 2, 3, 4)
    desk.dispatch()
    assert desk.given("a") == [0, 1, 2]
    desk.leave("a")
    desk.node("b", slots=4)
    desk.dispatch()
    assert desk.given("b") == [0, 1, 2, 3, 4]
    assert desk.board.counters.lost == 3


def test_what_a_worker_wrote_last_is_told_once(desk: Desk) -> None:
    """The stack of a crash is that of the last attempt; each one before it is a line."""
    desk.job(crash_limit=3)
    desk.node("a")
    desk.submit(7)
    for attempt in (1, 2, 3):
        desk.dispatch()
        how = f"worker 1 was killed by signal 11; the last it wrote to stderr:\nFatal error {attempt}\n  File x"
        desk.answer("a", 7, attempt=attempt, outcome=LOST, payload=how.encode())
    (result,) = desk.told()
    assert result.payload.decode().splitlines() == [
        "lost 3 times; it is not tried again:",
        "  attempt 1 on node a: worker 1 was killed by signal 11",
        "  attempt 2 on node a: worker 1 was killed by signal 11",
        "  attempt 3 on node a: worker 1 was killed by signal 11; the last it wrote to stderr:",
        "Fatal error 3",
        "  File x",
    ]


@pytest.mark.parametrize("change", [{"attempt": 2}, {"job": 9}, {"seqs": [5]}, {"node": "b"}, {"node": "nobody"}])
def test_answers_that_nobody_waits_for_are_counted_and_dropped(desk: Desk, change: dict[str, Any]) -> None:
    """Another attempt, an unknown job or number, a node that does not have it: refused, and the task goes on."""
    desk.job()
    desk.node("a")
    desk.submit(0)
    desk.dispatch()
    desk.node("b")
    wrong: dict[str, Any] = {"node": "a", "seqs": [0]} | change
    desk.answer(wrong.pop("node"), *wrong.pop("seqs"), **wrong)
    assert desk.told() == []
    assert desk.board.counters.refused == 1
    desk.answer("a", 0)
    desk.answer("a", 0)
    assert desk.ended() == [(0, VALUE)]
    assert desk.board.counters.refused == 2


def test_a_late_answer_of_an_old_attempt_is_refused(desk: Desk) -> None:
    """A node that comes back with what was given to another meanwhile is not heard."""
    desk.job()
    desk.node("a")
    desk.submit(0)
    desk.dispatch()
    desk.leave("a")
    desk.node("a")
    desk.dispatch()
    desk.answer("a", 0, attempt=1)
    assert desk.told() == []
    desk.answer("a", 0, attempt=2)
    assert desk.ended() == [(0, VALUE)]


def test_a_started_task_is_told_to_its_client(desk: Desk) -> None:
    """And to no other; the task goes on as before."""
    desk.job(1)
    desk.job(2, "bob")
    desk.node(slots=2)
    desk.submit(0)
    desk.submit(0, job=2)
    desk.dispatch()
    desk.started("a", 0)
    assert (desk.told(1), desk.told(2)) == ([Started(1, 0, 1)], [])
    desk.answer("a", 0)
    assert desk.ended() == [(0, VALUE)]
    assert desk.board.counters.refused == 0


@pytest.mark.parametrize(
    "change", [{"attempt": 2}, {"attempt": 0}, {"job": 9}, {"seq": 5}, {"node": "b"}, {"node": "c"}]
)
def test_a_forged_start_is_dropped(desk: Desk, change: dict[str, Any]) -> None:
    """Another attempt, an unknown job or number, a node that does not have it or is not there."""
    desk.job()
    desk.node("a")
    desk.submit(0)
    desk.dispatch()
    desk.node("b")
    desk.started(**({"node": "a", "seq": 0} | change))
    assert desk.told() == []
    assert desk.board.counters.refused == 1
    desk.started("a", 0)
    assert desk.told() == [Started(1, 0, 1)]


def test_a_late_start_is_dropped(desk: Desk) -> None:
    """After the task was answered, cancelled, closed with its job, returned, or given to another node."""
    desk.job()
    desk.node("a", slots=4)
    desk.submit(0, 1, 2)
    desk.dispatch()
    desk.answer("a", 0)
    desk.take(desk.board.cancel(1, [1]))
    desk.answer("a", 2, outcome=RETURNED)
    desk.told()
    for seq in (0, 1, 2):
        desk.started("a", seq)
    desk.dispatch()  # once more, as the second attempt
    desk.started("a", 2)
    desk.leave("a")
    desk.node("b", slots=4)
    desk.dispatch()
    desk.started("a", 2, attempt=2)
    desk.started("b", 2, attempt=2)
    assert desk.told() == []
    desk.started("b", 2, attempt=3)
    assert desk.told() == [Started(1, 2, 3)]
    desk.take(desk.board.close(1))
    desk.started("b", 2, attempt=3)
    assert desk.told() == []


def test_a_refusal_of_the_node_reaches_the_client(desk: Desk) -> None:
    """The node's sentence passes unchanged."""
    desk.job()
    desk.node()
    desk.submit(0)
    desk.dispatch()
    desk.answer("a", 0, outcome=REFUSED, payload=b"no module named x")
    (result,) = desk.told()
    assert (result.outcome, result.payload) == (REFUSED, b"no module named x")


def test_an_unknown_outcome_becomes_a_refusal(desk: Desk) -> None:
    """A newer node cannot make an older client stumble."""
    desk.job()
    desk.node()
    desk.submit(0)
    desk.dispatch()
    desk.answer("a", 0, outcome=77)
    (result,) = desk.told()
    assert result.outcome == REFUSED
    assert b"outcome 77" in result.payload


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task(1, -1, 0, 0, b""), "negative"),
        (Task(1, 3, 0, 8, b""), "code 8, which was never sent"),
        (Task(1, 3, 0, -8, b""), "code -8, which was never sent"),
        (Task(1, 1, 0, 0, b""), "exists already"),
        (Task(1, 0, 0, 0, b""), "exists already"),
    ],
)
def test_a_bad_task_is_refused_with_a_sentence_and_the_others_go_on(desk: Desk, task: Task, words: str) -> None:
    """Negative number, unknown code, number in use (running: 0, queued: 1)."""
    desk.job()
    desk.node()
    desk.submit(0)
    desk.dispatch()
    desk.answer("a", wall=1)
    desk.submit(1)
    desk.take(desk.board.submit(1, [Task(1, 10, 99, 0, b""), task, Task(1, 11, 0, 0, b"")]))
    (result,) = desk.told()
    assert (result.seq, result.outcome) == (task.seq, REFUSED)
    assert words in result.payload.decode()
    assert desk.board.queued == 3


def test_a_number_that_comes_twice_in_one_batch_is_refused_once(desk: Desk) -> None:
    """The first of the two is run."""
    desk.job()
    desk.submit(4, 4)
    assert desk.ended() == [(4, REFUSED)]
    assert desk.board.queued == 1


def test_orders_for_no_job_are_answered_or_ignored(desk: Desk) -> None:
    """Tasks and steps of a job that is not open are refused; the rest means nothing."""
    desk.submit(0, job=5)
    assert desk.ended(5) == [(0, REFUSED)]
    desk.step(job=5)
    (done,) = desk.told(5)
    assert done.node == ""
    assert "not open" in done.error
    assert desk.board.code(Code(5, 0, 0, b"")) == []
    assert desk.board.cancel(5, [1]) == []
    assert desk.board.close(5) == []
    assert desk.board.drain("nobody") == []
    assert desk.board.leave("nobody", "", 0.0) == []
    assert desk.board.step_done("nobody", StepDone(5, 0, "", "")) == []


def test_a_job_number_in_use_is_the_masters_fault(desk: Desk) -> None:
    """Jobs are numbered by the master, so this alone raises."""
    desk.job()
    with pytest.raises(ValueError, match="job 1 is open already"):
        desk.board.open(JobSpec(1, "bob"))


def test_the_first_code_of_a_number_counts(desk: Desk) -> None:
    """Nodes may have it already, so it cannot be changed."""
    desk.job()
    desk.board.code(Code(1, 0, 0, b"other"))
    desk.node()
    desk.submit(0)
    desk.dispatch()
    assert [message.payload for message in desk.sent() if isinstance(message, Code)] == [b"f"]


def test_cancelling_queued_tasks_answers_them_at_once(desk: Desk) -> None:
    """They never reach a node; unknown numbers are ignored."""
    desk.job()
    desk.submit(0, 1, 2)
    desk.take(desk.board.cancel(1, [1, 1, 99, -3]))
    assert desk.ended() == [(1, CANCELLED)]
    desk.node(slots=5)
    desk.dispatch()
    assert desk.given() == [0, 2]


def test_cancelling_a_running_task_frees_its_slot_only_when_the_node_answers(desk: Desk) -> None:
    """The client is told at once, the node is asked, its late answer is refused."""
    desk.job()
    desk.node()
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.take(desk.board.cancel(1, [0, 1]))
    assert desk.ended() == [(0, CANCELLED), (1, CANCELLED)]
    assert desk.sent() == [Cancel(1, [0, 1])]
    desk.dispatch()
    assert desk.given() == []
    desk.submit(0)
    assert desk.ended() == [(0, REFUSED)]  # a node is still busy with that number
    desk.answer("a", 0)
    desk.answer("a", 1, outcome=CANCELLED)
    assert desk.told() == []
    assert desk.board.counters.refused == 2
    desk.submit(0)
    desk.dispatch()
    assert desk.given() == [2, 0]


def test_all_tasks_of_a_job_are_ended(desk: Desk) -> None:
    """Queued and running, each told once; also what a node had been left to finish, unseen."""
    desk.job()
    desk.node()
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.take(desk.board.cancel(1, [0]))
    assert desk.sent() == [Cancel(1, [0])]
    desk.take(desk.board.cancel(1, None, cut=True))
    assert sorted(desk.ended()) == [(0, CANCELLED), (1, CANCELLED), (2, CANCELLED)]
    assert desk.sent() == [Cancel(1, [1, 0], cut=True)]
    view = desk.board.job_views()[0]
    assert (view.cancelled, view.failed, view.done, view.running + view.queued) == (3, 0, 0, 0)
    desk.answer("a", 0, outcome=CANCELLED)
    desk.answer("a", 1)
    assert desk.told() == []
    assert desk.board.job_views()[0].cancelled == 3


def test_a_cancelled_task_is_not_lost_with_its_node(desk: Desk) -> None:
    """It was answered already; its number is free when the node is gone."""
    desk.job()
    desk.node()
    desk.submit(0)
    desk.dispatch()
    desk.take(desk.board.cancel(1, [0]))
    desk.told()
    desk.leave("a")
    assert desk.told() == []
    assert desk.board.queued == 0
    desk.submit(0)
    assert desk.told() == []


def test_closing_a_job_forgets_it_everywhere(desk: Desk) -> None:
    """Nodes that know it are told; what runs keeps its slot until it is answered; nobody else is told."""
    desk.job()
    desk.job(2)
    desk.node("a")
    desk.node("b", serves="someone")
    desk.submit(0, 1, 2, 3)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.take(desk.board.close(1))
    assert desk.sent("a") == [Close(1)]
    assert desk.sent("b") == []
    assert desk.board.queued == 0
    desk.submit(0, job=2)
    desk.dispatch()
    assert desk.given() == []
    desk.answer("a", 0, 1)
    assert desk.told() == []
    desk.dispatch()
    assert desk.given() == [0]
    assert [view.job for view in desk.board.job_views()] == [2]


def test_a_step_is_applied_by_all_that_are_present(desk: Desk) -> None:
    """Each answer is passed on with the node's name, the last one is followed by the final word."""
    desk.job()
    for name in "abc":
        desk.node(name)
    desk.node("d", serves="bob")
    desk.node("e")
    desk.board.drain("e")
    desk.step()
    assert [type(message) for message in desk.sent("a")] == [Job, Step]
    assert desk.sent("d") == desk.sent("e") == []
    desk.stepped("a")
    desk.stepped("a")
    desk.stepped("d")
    desk.stepped("b", error="no module named x")
    assert desk.told() == [StepDone(1, 0, "a", ""), StepDone(1, 0, "b", "no module named x")]
    desk.leave("c")
    assert desk.told() == [StepDone(1, 0, "", "")]


def test_a_step_without_nodes_is_done_at_once(desk: Desk) -> None:
    """Nodes that join later apply it before their first task, and nobody waits for them."""
    desk.job()
    desk.step()
    assert desk.told() == [StepDone(1, 0, "", "")]
    desk.node()
    desk.submit(0)
    desk.dispatch()
    assert [type(message) for message in desk.sent()] == [Job, Step, Code, Task]
    desk.stepped("a")
    assert desk.told() == []


def test_a_step_out_of_turn_is_refused(desk: Desk) -> None:
    """Steps are numbered from 0 without gaps."""
    desk.job()
    desk.step(1)
    (done,) = desk.told()
    assert (done.step, done.node) == (1, "")
    assert "step 0 was due" in done.error


def test_no_node_runs_the_python_of_the_job(desk: Desk) -> None:
    """With nodes present, tasks are refused and both sides are named; with none they wait."""
    desk.job(python="3.11")
    desk.submit(0)
    assert desk.told() == []
    desk.node("a", python="3.12")
    desk.node("b", python="3.12")
    desk.submit(1)
    (result,) = desk.told()
    text = "the job's functions were pickled by Python 3.11; the nodes run 3.12: a, b"
    assert (result.outcome, result.payload.decode()) == (REFUSED, text)
    desk.dispatch()
    assert desk.given("a") == desk.given("b") == []
    desk.node("c", python="3.11")
    desk.submit(1)
    desk.dispatch()
    assert desk.given("c") == [0, 1]


def test_a_node_serves_its_owner_only(desk: Desk) -> None:
    """Tasks of others wait, however many slots are free."""
    desk.job(1, "ann")
    desk.job(2, "bob")
    desk.node("a", slots=5, serves="bob")
    desk.submit(0)
    desk.submit(0, job=2)
    desk.dispatch()
    assert [message.job for message in desk.sent() if isinstance(message, Task)] == [2]
    assert desk.board.queued == 1


def test_why_waiting_gives_one_reason(desk: Desk) -> None:
    """Each cause has its own sentence."""
    why = desk.board.why_waiting
    assert "not open" in why(1)
    desk.job(python="3.11")
    assert why(1) == ""
    desk.submit(*range(10))
    assert why(1) == "no node is present"
    desk.node("a", serves="bob")
    assert why(1) == "no node serves ann; those present serve only bob"
    desk.node("b", python="3.12")
    assert "pickled by Python 3.11" in why(1)
    desk.node("c")
    assert "next dispatch" in why(1)
    desk.dispatch()
    assert why(1) == "all 1 slots that fit are in use, on c"
    desk.job(2, priority=3)
    desk.submit(0, job=2)
    assert why(1) == "jobs of priority 3 go first; this one has 0"
    desk.board.drain("c")
    assert why(1) == "every node that fits is leaving: c"


def test_higher_priority_goes_first(desk: Desk) -> None:
    """A job of higher priority is served until it has nothing queued."""
    desk.job(1)
    desk.job(2, "bob", priority=5)
    desk.submit(0, 1, 2)
    desk.submit(0, 1, 2, job=2)
    desk.node(slots=4)
    desk.dispatch()
    assert [message.job for message in desk.sent() if isinstance(message, Task)] == [2, 2, 2, 1, 1]


def test_owners_take_turns_and_so_do_their_jobs(desk: Desk) -> None:
    """One who has two jobs gets no more than one who has one."""
    desk.job(1, "ann")
    desk.job(2, "ann")
    desk.job(3, "bob")
    for job in (1, 2, 3):
        desk.submit(*range(50), job=job)
    desk.node()
    order = []
    for _ in range(20):
        desk.dispatch()
        for message in desk.sent():
            if isinstance(message, Task):
                order.append(message.job)
                desk.answer("a", message.seq, job=message.job)
    assert order[:8] == [1, 3, 2, 3, 1, 3, 2, 3]


def test_free_slots_of_all_nodes_come_before_work_ahead(desk: Desk) -> None:
    """Three tasks for nodes of two slots and one: nobody waits behind another."""
    desk.job()
    desk.node("a", slots=2)
    desk.node("b")
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert (len(desk.given("a")), len(desk.given("b"))) == (2, 1)
    desk.submit(*range(3, 20))
    desk.dispatch()
    assert (len(desk.given("a")), len(desk.given("b"))) == (1, 1)


def test_few_tasks_are_spread_over_the_nodes(desk: Desk) -> None:
    """Equal nodes get equally much, and single tasks go to the emptiest."""
    desk.job()
    for name in "abc":
        desk.node(name, slots=4)
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert [len(desk.given(name)) for name in "abc"] == [1, 1, 1]
    desk.answer("b", *[1])
    for seq in range(3, 7):
        desk.submit(seq)
        desk.dispatch()
    assert sorted(len(desk.given(name)) for name in "abc") == [1, 1, 2]


def test_long_tasks_are_not_hoarded(desk: Desk) -> None:
    """Once they are known to be long, a node gets one more than it has slots."""
    desk.job()
    desk.node(slots=4)
    desk.submit(*range(100))
    desk.dispatch()
    assert desk.given() == [0, 1, 2, 3, 4]
    desk.answer("a", 0, 1)
    desk.dispatch()
    assert desk.given() == [5, 6]


def test_short_tasks_are_sent_ahead_in_batches(desk: Desk) -> None:
    """10 ms of work a slot; refilled when a quarter of that is free, not before."""
    desk.job()
    desk.node(slots=2)
    desk.submit(*range(2000))
    desk.dispatch()
    assert len(desk.given()) == 3
    desk.answer("a", 0, 1, 2, wall=100)
    desk.dispatch()
    assert len(desk.given()) == 202
    desk.answer("a", *range(3, 43), wall=100)
    desk.dispatch()
    assert desk.given() == []
    desk.answer("a", *range(43, 63), wall=100)
    desk.dispatch()
    assert len(desk.given()) == 60


def test_a_slot_that_would_run_dry_is_filled_at_once(desk: Desk) -> None:
    """The wait for a quarter does not apply when nothing is left ahead."""
    desk.job()
    desk.node(slots=8)
    desk.submit(*range(100))
    desk.dispatch()
    assert len(desk.given()) == 9
    desk.answer("a", 0)
    desk.dispatch()
    assert desk.given() == [9]


def test_an_owner_of_long_tasks_is_not_starved_by_short_ones(desk: Desk) -> None:
    """Its turn is kept until there is room for it."""
    desk.job(1, "ann")
    desk.job(2, "bob")
    desk.node(slots=2)
    desk.submit(*range(5000))
    desk.submit(*range(50), job=2)
    held: list[Task] = []
    finished = {1: 0, 2: 0}
    for _ in range(2000):
        desk.dispatch()
        held += [message for message in desk.sent() if isinstance(message, Task)]
        task = held.pop(0)
        finished[task.job] += 1
        desk.answer("a", task.seq, job=task.job, wall=50 if task.job == 1 else 5_000_000)
    assert finished[2] >= 5


def test_a_hoard_is_recalled_for_an_idle_node(desk: Desk) -> None:
    """Not before 20 ms, not more than the free slots, one at a time; what comes back goes to the idle node."""
    desk.job()
    desk.node("a")
    desk.submit(*range(6))
    desk.dispatch()
    desk.answer("a", 0, wall=3000)
    desk.dispatch()
    desk.dispatch()
    assert desk.given("a") == [0, 1, 2, 3, 4, 5]
    desk.node("b", slots=2)
    desk.tick(0.01)
    assert desk.sent("a") == []
    desk.tick(0.02)
    assert desk.sent("a") == [Recall(2)]
    desk.tick()
    assert desk.sent("a") == []
    desk.answer("a", 3, 4, outcome=RETURNED)
    desk.dispatch()
    assert desk.given("b") == [3, 4]


def test_a_recall_is_repeated_when_it_was_answered_or_forgotten(desk: Desk) -> None:
    """At once after something came back, else after a second: a node that could give nothing says nothing."""
    desk.job()
    desk.node("a")
    desk.submit(*range(6))
    desk.dispatch()
    desk.answer("a", 0, wall=3000)
    desk.dispatch()
    desk.sent("a")
    desk.node("b", slots=1)
    desk.tick()
    assert desk.sent("a") == [Recall(1)]
    desk.answer("a", 5, outcome=RETURNED)
    desk.dispatch()
    assert desk.given("b") == [5]
    desk.answer("b", 5, attempt=2)
    desk.tick()
    assert desk.sent("a") == [Recall(1)]
    desk.tick(0.9)
    assert desk.sent("a") == []
    desk.tick(0.2)
    assert desk.sent("a") == [Recall(1)]


def test_attempts_are_counted_by_the_board_alone(desk: Desk) -> None:
    """What a client writes into that field means nothing."""
    desk.job()
    desk.node()
    desk.take(desk.board.submit(1, [Task(1, 0, 41, 0, b"")]))
    desk.dispatch()
    assert [message.attempt for message in desk.sent() if isinstance(message, Task)] == [1]


def test_what_the_idle_node_may_not_run_is_not_recalled(desk: Desk) -> None:
    """Recalling for a node of another owner would send the tasks to and fro."""
    desk.job()
    desk.node("a")
    desk.submit(0, 1)
    desk.dispatch()
    desk.sent()
    desk.node("b", serves="bob")
    desk.tick(1.0)
    assert desk.sent("a") == []


def test_a_draining_node_gets_nothing_and_its_end_charges_nothing(desk: Desk) -> None:
    """It is holding while it has work, held when not; what it leaves behind is simply queued again."""
    desk.job(crash_limit=1)
    desk.node("a")
    desk.submit(0, 1, 2)
    desk.dispatch()
    assert desk.given("a") == [0, 1]
    desk.take(desk.board.drain("a"))
    assert desk.board.node_views()[0].state is NodeState.HOLDING
    desk.answer("a", 1, outcome=RETURNED)
    desk.dispatch()
    assert desk.given("a") == []
    desk.leave("a", "stopped")
    assert desk.told() == []
    desk.node("b", slots=3)
    desk.dispatch()
    assert desk.given("b") == [0, 1, 2]
    desk.answer("b", 0, 1, attempt=2)
    desk.answer("b", 2, attempt=1)
    desk.board.drain("b")
    assert desk.board.node_views()[0].state is NodeState.HELD
    assert [outcome for _, outcome in desk.ended()] == [VALUE] * 3


def test_views_tell_what_nodes_do(desk: Desk) -> None:
    """Slots in use, finished and lost attempts, idle or busy."""
    desk.job()
    desk.node("a", slots=2)
    assert desk.board.node_views()[0].state is NodeState.IDLE
    desk.submit(0, 1, 2, 3)
    desk.dispatch()
    desk.answer("a", 0)
    desk.answer("a", 1, outcome=LOST)
    desk.dispatch()
    (view,) = desk.board.node_views()
    assert (view.state, view.running, view.done, view.lost) == (NodeState.BUSY, 2, 1, 1)


def test_a_node_that_registers_anew_has_left_before(desk: Desk) -> None:
    """What the former one had is lost with it, and the new one starts empty."""
    desk.job()
    desk.node("a")
    desk.submit(0, 1)
    desk.dispatch()
    assert desk.given() == [0, 1]
    desk.node("a")
    assert desk.board.counters.lost == 2
    desk.dispatch()
    assert desk.given() == [0, 1]
    assert len(desk.board.node_views()) == 1


def test_an_idle_board_sends_nothing(desk: Desk) -> None:
    """Dispatch and ticks without a change give no action at all."""
    desk.job()
    desk.node()
    desk.dispatch()
    assert desk.board.dispatch(desk.now) == []
    assert desk.board.tick(desk.now) == []


def test_results_of_several_jobs_in_one_batch(desk: Desk) -> None:
    """Each goes to its own client, in order."""
    desk.job(1, "ann")
    desk.job(2, "bob")
    desk.node(slots=6)
    desk.submit(0, 1, 2)
    desk.submit(0, 1, 2, job=2)
    desk.dispatch()
    batch = [Result(job, seq, 1, VALUE, b"") for job, seq in ((1, 0), (2, 0), (7, 0), (1, 1), (1, 2), (2, 1))]
    desk.take(desk.board.results("a", batch, 0.0))
    assert [seq for seq, _ in desk.ended(1)] == [0, 1, 2]
    assert [seq for seq, _ in desk.ended(2)] == [0, 1]
    assert desk.board.counters.refused == 1


def test_a_single_task_goes_to_the_emptiest_and_equals_take_turns(desk: Desk) -> None:
    """Not to one that is half full, nor always to the same of two."""
    desk.job()
    desk.node("a", slots=4)
    desk.node("b", slots=4)
    for seq in range(4):
        desk.submit(seq)
        desk.dispatch()
    assert (len(desk.given("a")), len(desk.given("b"))) == (2, 2)
    desk.answer("a", *[seq for seq in range(4) if seq in desk.board._jobs[1].shares["a"].tasks])
    for seq in (4, 5):
        desk.submit(seq)
        desk.dispatch()
    assert len(desk.given("a")) == 2
