"""Steps that run on a node: ended with their job, ended when their owner may not go on, and how long they took."""

from __future__ import annotations

from asyncluster.model.messages import STEPS, Cancel, Close, Code, Job, Message, Outcome, Result, Step, StepDone, Task
from asyncluster.node.crew import Crew
from asyncluster.node.orders import CLOSE_GRACE
from asyncluster.node.roster import Action, Fork, Kill, Terminate, ToMaster, ToWorker, WorkerState


def told(actions: list[Action]) -> list[Message]:
    return [message for action in actions if isinstance(action, ToMaster) for message in action.messages]


def stepping() -> Crew:
    """A crew whose only worker is at step 0 of job 1 since 1.0."""
    crew = Crew("a", 1)
    crew.receive([Job(1, "ann"), Step(1, 0, 0, b"")], 0.0)
    crew.ready(1, 1.0)
    return crew


def test_an_endless_step_ends_with_its_job() -> None:
    """It has the time that a task has; then its slot is another's, and what it took is told."""
    crew = stepping()
    crew.receive([Close(1)], 2.0)
    assert 0 < (crew.wake(2.0) or 0.0) <= CLOSE_GRACE + 0.001
    assert Kill(1) not in crew.tick(2.0 + CLOSE_GRACE - 0.01)
    assert Kill(1) in crew.tick(2.0 + CLOSE_GRACE)
    crew.receive([Job(2, "bob"), Code(2, 0, 0, b""), Task(2, 0, 1, 0, b"")], 4.5)
    actions = crew.died(1, "was killed by signal 9", 5.0, stepping=(1, 0))
    assert told(actions) == [StepDone(1, STEPS, "a", "", 4_000_000)]
    assert Fork(1, "bob", 0) in actions


def test_a_step_that_ends_in_time_is_left_alone() -> None:
    """Its worker goes when it is idle, as any that served a closed job."""
    crew = stepping()
    crew.receive([Close(1)], 2.0)
    actions = crew.results(1, [StepDone(1, 0, "", "", 1_500_000)], 2.5)
    assert actions == [ToMaster([StepDone(1, STEPS, "a", "", 1_500_000)]), Kill(1)]
    assert Kill(1) not in crew.tick(2.0 + CLOSE_GRACE)


def test_another_jobs_task_before_the_step_is_not_killed_with_it() -> None:
    """It is seen at work; when it is done, the step has its time from then on."""
    crew = Crew("a", 1)
    crew.receive([Job(1, "ann"), Job(2, "ann"), Code(2, 0, 0, b""), Task(2, 0, 1, 0, b"")], 0.0)
    crew.ready(1, 0.0)
    crew.receive([Step(1, 0, 0, b"")], 0.01)
    crew.looked(1, 1, 0)
    crew.receive([Close(1)], 1.0)
    assert Kill(1) not in crew.tick(1.0 + CLOSE_GRACE)
    crew.results(1, [Result(2, 0, 1, Outcome.VALUE, b"")], 3.5)
    assert crew.workers[1].state is WorkerState.READY
    assert Kill(1) in crew.tick(1.0 + 2 * CLOSE_GRACE)


def test_a_task_behind_an_endless_step_of_a_closed_job_is_run() -> None:
    """It had not begun: another worker gets it."""
    crew = stepping()
    crew.receive([Job(2, "ann"), Code(2, 0, 0, b""), Task(2, 0, 1, 0, b"")], 1.5)
    crew.receive([Close(1)], 2.0)
    assert Kill(1) in crew.tick(2.0 + CLOSE_GRACE)
    actions = crew.died(1, "was killed by signal 9", 5.0, stepping=(1, 0))
    assert Fork(1, "ann", 0) in actions
    given = [message for action in crew.ready(1, 6.0) if isinstance(action, ToWorker) for message in action.messages]
    assert Task(2, 0, 1, 0, b"") in given


def test_steps_are_ended_on_order() -> None:
    """They count as gone well, nobody tries them again before a task of the job comes, and no fault is noted."""
    crew = stepping()
    actions = crew.receive([Cancel(1, [STEPS], True)], 2.0)
    assert actions == [ToMaster([StepDone(1, 0, "a", "")]), Kill(1)]
    assert crew.receive([Cancel(1, [STEPS], True)], 2.0) == []
    actions = crew.died(1, "was killed by signal 9", 3.0, stepping=(1, 0))
    assert actions == [ToMaster([StepDone(1, STEPS, "a", "", 2_000_000)])]
    assert crew.jobs[1].step_deaths == 0
    assert Fork(1, "ann", 0) in crew.receive([Code(1, 0, 0, b""), Task(1, 0, 1, 0, b"")], 4.0)
    sent = [message for action in crew.ready(1, 5.0) if isinstance(action, ToWorker) for message in action.messages]
    assert [type(message) for message in sent] == [Job, Step, Code, Task]


def test_a_step_that_waits_for_a_worker_is_ended_too() -> None:
    """Nobody has begun it: it is answered, and no worker is forked for it later."""
    crew = Crew("a", 1)
    crew.receive([Job(2, "bob"), Code(2, 0, 0, b""), Task(2, 0, 1, 0, b"")], 0.0)
    crew.ready(1, 0.0)
    crew.died(1, "gone", 0.1)
    crew.receive([Job(1, "ann"), Step(1, 0, 0, b"")], 0.2)
    crew.receive([Cancel(1, [STEPS], True)], 0.3)
    assert not crew._pending
    assert not any(group.wants_step for group in crew.groups.values())


def test_every_worker_tells_what_a_step_took() -> None:
    """Also where the node has answered already; what took less than a millisecond is not worth a message."""
    crew = Crew("a", 2)
    crew.receive([Job(1, "ann"), Step(1, 0, 0, b"")], 0.0)
    crew.ready(1, 0.0)
    first = crew.results(1, [StepDone(1, 0, "", "", 30_000)], 0.1)
    assert told(first) == [StepDone(1, STEPS, "a", "", 30_000), StepDone(1, 0, "a", "")]
    crew.receive([Code(1, 0, 0, b""), *(Task(1, seq, 1, 0, b"") for seq in range(2))], 0.2)
    crew.ready(2, 0.3)
    assert told(crew.results(2, [StepDone(1, 0, "", "", 20_000)], 0.4)) == [StepDone(1, STEPS, "a", "", 20_000)]
    crew.receive([Step(1, 1, 0, b"")], 0.5)
    assert told(crew.results(1, [StepDone(1, 1, "", "", 900)], 0.6)) == []


def test_time_for_which_a_step_was_paused_is_not_charged() -> None:
    """As with tasks."""
    crew = stepping()
    crew.pause(2.0)
    crew.go_on(12.0)
    assert told(crew.results(1, [StepDone(1, 0, "", "", 11_500_000)], 12.5)) == [StepDone(1, STEPS, "a", "", 1_500_000)]


def behind_a_task(looked: bool) -> Crew:
    """A crew whose only worker has a task of job 2, and a step of job 1 after it."""
    crew = Crew("a", 1)
    crew.receive([Job(1, "ann"), Job(2, "ann"), Code(2, 0, 0, b""), Task(2, 0, 1, 0, b"")], 0.0)
    crew.ready(1, 0.0)
    crew.receive([Step(1, 0, 0, b"")], 0.01)
    if looked:
        crew.looked(1, 1, 0)
    return crew


def test_a_task_at_work_is_not_killed_with_a_step_behind_it() -> None:
    """Nobody waits for the step any more; the task goes on for hours, and after it the step ends."""
    crew = behind_a_task(True)
    assert crew.receive([Cancel(1, [STEPS], True)], 1.0) == [ToMaster([StepDone(1, 0, "a", "")])]
    for hour in range(1, 4):
        assert Kill(1) not in crew.tick(3600.0 * hour)
    crew.results(1, [Result(2, 0, 1, Outcome.VALUE, b"")], 10_900.0)
    assert Kill(1) in crew.tick(10_900.0 + CLOSE_GRACE)


def test_a_task_that_is_cut_has_its_grace_also_with_a_step_behind_it() -> None:
    """Both orders come at once: the task is asked to end before anything is killed."""
    crew = behind_a_task(False)
    actions = crew.receive([Cancel(2, [0], True), Cancel(1, [STEPS], True)], 1.0)
    assert Kill(1) not in actions
    crew.recalled(1, 1, 1.001)
    asked = crew.tick(1.1)
    assert Terminate(1) in asked
    assert Kill(1) not in asked
    assert Kill(1) not in crew.tick(1.1 + CLOSE_GRACE - 0.1)
