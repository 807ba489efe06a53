"""Tasks make way for who sits at the machine: the policy, and what the crew does while its workers are stopped."""

from __future__ import annotations

import pytest

from asyncluster.model.messages import Cancel, Code, Job, Outcome, Recall, Result, Step, StepDone, Task
from asyncluster.model.need import Need
from asyncluster.node.crew import Crew
from asyncluster.node.orders import CLOSE_GRACE, CUT_AFTER
from asyncluster.node.roster import Action, Fork, Kill, Skip, Terminate, ToMaster, ToWorker
from asyncluster.node.yielding import Step as Way
from asyncluster.node.yielding import Yielding


def told(actions: list[Action]) -> list[object]:
    return [message for action in actions if isinstance(action, ToMaster) for message in action.messages]


def crew_at_work(need: Need | None = None) -> Crew:
    """One worker, with task 0 since 0 s."""
    crew = Crew("a", 1)
    crew.receive([Job(1, "ann"), Code(1, 0, 0, b"f", need or Need())], 0.0)
    crew.begin("ann", 0.0)
    crew.ready(1, 0.0)
    crew.receive([Task(1, 0, 1, 0, b"")], 0.0)
    return crew


@pytest.mark.parametrize(
    ("way", "begin", "end"),
    [
        ("pause", [Way.STOP], [Way.CONTINUE]),
        ("return", [], []),
        ("nice", [Way.BE_MODEST], [Way.BE_THEMSELVES]),
        ("go on", [], []),
    ],
)
def test_each_way_is_undone(way: str, begin: list[Way], end: list[Way]) -> None:
    """Once at the begin, once at the end; said twice it is done once, and never undone before."""
    yielding = Yielding(way)
    assert yielding.ends() == []
    assert yielding.begins("jane") == begin
    assert yielding.begins("jane") == []
    assert yielding.user == "jane"
    assert yielding.ends() == end
    assert (yielding.ends(), yielding.user) == ([], "")


def test_a_way_that_is_none_is_refused() -> None:
    """The configuration has checked it; whoever else makes one is told."""
    with pytest.raises(ValueError, match="sometimes"):
        Yielding("sometimes")


def test_a_stopped_worker_gets_nothing_and_nothing_is_expected_of_it() -> None:
    """No task, no look, no alarm; what it had said before still counts, and afterwards all goes on."""
    crew = crew_at_work()
    assert crew.pause(1.0) == []
    assert crew.receive([Task(1, 1, 1, 0, b"")], 2.0) == []
    assert crew.tick(60.0) == []
    assert crew.wake(60.0) is None
    assert told(crew.results(1, [Result(1, 0, 1, Outcome.VALUE, b"")], 61.0)) == [Result(1, 0, 1, Outcome.VALUE, b"")]
    (given,) = crew.go_on(62.0)
    assert isinstance(given, ToWorker)
    assert given.messages[-1] == Task(1, 1, 1, 0, b"")


def test_the_master_gets_back_what_was_not_begun() -> None:
    """Of a stopped worker, too: its words say what it has begun."""
    crew = crew_at_work()
    crew.receive([Task(1, 1, 1, 0, b""), Task(1, 2, 1, 0, b"")], 0.0)
    crew.pause(0.5)
    actions = crew.receive([Recall(10)], 1.0)
    back = told(actions)
    assert any(isinstance(action, Skip) for action in actions)
    back += told(crew.recalled(1, 1, 1.001))
    assert sorted((each.seq, each.outcome) for each in back) == [  # type: ignore[attr-defined]
        (1, Outcome.RETURNED),
        (2, Outcome.RETURNED),
    ]


def test_time_that_was_not_the_tasks_is_not_charged() -> None:
    """A limit of ten seconds counts from where it stood when the session began."""
    crew = crew_at_work(Need(time_limit=10.0))
    crew.pause(4.0)
    crew.tick(100.0)
    assert not [each for each in crew.go_on(100.0) if isinstance(each, Kill)]
    assert not [each for each in crew.tick(105.9) if isinstance(each, Kill)]
    assert [each for each in crew.tick(106.5) if isinstance(each, Kill)]


def test_time_in_which_a_task_was_stopped_is_not_charged() -> None:
    """The worker's clock went on; it is taken off what took longest, once, and never more than there is."""
    crew = crew_at_work()
    for begin, end in ((1.0, 61.0), (62.0, 162.0)):
        crew.pause(begin)
        crew.go_on(end)
    crew.receive([Task(1, 1, 1, 0, b"")], 163.0)
    (result,) = told(crew.results(1, [Result(1, 0, 1, Outcome.VALUE, b"", 163_000_000)], 163.0))
    assert result.wall == 3_000_000  # type: ignore[attr-defined]
    (result,) = told(crew.results(1, [Result(1, 1, 1, Outcome.VALUE, b"", 500)], 163.1))
    assert result.wall == 500  # type: ignore[attr-defined]
    crew.pause(170.0)
    crew.go_on(200.0)  # it had nothing to do
    crew.receive([Task(1, 2, 1, 0, b"")], 200.0)
    (result,) = told(crew.results(1, [Result(1, 2, 1, Outcome.VALUE, b"", 7_000)], 200.1))
    assert result.wall == 7_000  # type: ignore[attr-defined]


def test_what_is_seen_of_a_worker_while_it_is_being_stopped() -> None:
    """Words that were on their way when it was to stop: nothing that is counted from them begins in the future."""
    crew = crew_at_work()
    crew.receive([Task(1, 1, 1, 0, b"")], 0.0)
    crew.pause(4.0)
    crew.results(1, [Result(1, 0, 1, Outcome.VALUE, b"", 9)], 14.0)
    crew.go_on(104.0)
    assert crew.workers[1].since == 104.0


def test_a_stopped_task_can_be_ended() -> None:
    """Its owner cancels it: asked first, then killed, while it is stopped."""
    crew = crew_at_work()
    crew.pause(1.0)
    actions = crew.receive([Cancel(1, [0], True)], 2.0)
    actions += crew.recalled(1, 1, 2.0)
    now = 2.0
    for _ in range(4):
        wake = crew.wake(now)
        if wake is None:
            break
        now += wake
        actions += crew.tick(now)
    assert now >= 2.0 + CUT_AFTER + CLOSE_GRACE
    assert [type(each) for each in actions if isinstance(each, Terminate | Kill)] == [Terminate, Kill]


def test_steps_do_not_wait_for_a_session_to_end() -> None:
    """One that comes, or is being tried, counts as applied; workers apply it before their next task."""
    crew = crew_at_work()
    assert crew.receive([Step(1, 0, 1, b"")], 0.01) == [ToWorker(1, [Step(1, 0, 1, b"")])]
    assert told(crew.pause(1.0)) == [StepDone(1, 0, "a", "")]
    assert told(crew.receive([Step(1, 1, 1, b"")], 2.0)) == [StepDone(1, 1, "a", "")]
    crew.receive([Task(1, 1, 1, 0, b"")], 3.0)
    crew.results(1, [Result(1, 0, 1, Outcome.VALUE, b""), StepDone(1, 0, "", "")], 4.0)
    (given,) = crew.go_on(5.0)
    assert isinstance(given, ToWorker)
    assert given.messages == [Step(1, 1, 1, b""), Task(1, 1, 1, 0, b"")]


def test_no_worker_is_forked_while_others_are_stopped() -> None:
    """Not for tasks that were on their way, nor to try a step."""
    crew = Crew("a", 2)
    crew.pause(0.0)
    assert crew.receive([Job(1, "ann"), Code(1, 0, 0, b"f"), Task(1, 0, 1, 0, b"")], 1.0) == []
    assert Fork(1, "ann", 0) in crew.go_on(2.0)


def test_workers_that_cannot_be_less_modest_are_replaced() -> None:
    """Each when it has done what it has; the long task that runs is not touched."""
    crew = crew_at_work()
    assert crew.renew(0.01) == []
    actions = crew.results(1, [Result(1, 0, 1, Outcome.VALUE, b"")], 2.0)
    assert Kill(1) in actions
