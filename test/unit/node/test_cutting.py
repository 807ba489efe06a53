"""Cancelling what runs: who is asked to end, who is killed, and who is left alone."""

from __future__ import annotations

import pytest

from asyncluster.model.messages import Cancel, Close, Code, Job, Outcome, Recall, Result, Task
from asyncluster.model.need import Need
from asyncluster.node.crew import Crew
from asyncluster.node.orders import CLOSE_GRACE, CUT_AFTER
from asyncluster.node.roster import Action, Fork, Kill, Nudge, Skip, Terminate, ToMaster, ToWorker

CALLED, ASKED = 0.101, 0.101 + CUT_AFTER  # a Cancel at 0.1 is recalled then, and the worker asked to end then
LATE = ASKED + CLOSE_GRACE


def task(seq: int, job: int = 1) -> Task:
    return Task(job, seq, 1, 0, b"")


def value(seq: int, outcome: Outcome = Outcome.VALUE) -> Result:
    return Result(1, seq, 1, outcome, b"")


def busy(*seqs: int, slots: int = 1, need: Need | None = None) -> Crew:
    """A crew whose worker 1 was sent these."""
    crew = Crew("a", slots, cores=slots)
    crew.receive([Job(1, "ann"), Code(1, 0, 0, b"f", *([need] if need else []))], 0.0)
    crew.receive([task(seq) for seq in seqs], 0.0)
    crew.ready(1, 0.0)
    return crew


def ends(actions: list[Action]) -> list[tuple[int, int]]:
    told = [message for action in actions if isinstance(action, ToMaster) for message in action.messages]
    return [(each.seq, each.outcome) for each in told if isinstance(each, Result)]


def cancel(crew: Crew, *seqs: int, started: int = 1) -> list[Action]:
    """Told at 0.1 to end these; what followed until the words were read."""
    return crew.receive([Cancel(1, list(seqs), cut=True)], 0.1) + crew.recalled(1, started, CALLED)


@pytest.mark.parametrize("need", [None, Need(time_limit=100.0)])
def test_a_running_task_is_asked_to_end_then_killed(need: Need | None) -> None:
    """Not at once: short ones end by themselves.  Its worker gets nothing meanwhile and is replaced."""
    crew = busy(0, need=need)
    assert Skip(1, 1) in cancel(crew, 0)
    assert crew.receive([task(1)], 0.11) == []
    assert 0 < (crew.wake(0.11) or 0.0) <= CUT_AFTER
    assert Terminate(1) not in crew.tick(ASKED - 0.001)
    assert Terminate(1) in crew.tick(ASKED)
    assert Kill(1) not in crew.tick(LATE - 0.001)
    assert Kill(1) in crew.tick(LATE)
    actions = crew.died(1, "was killed by signal 9", LATE + 0.1, started=1)
    assert ends(actions) == [(0, Outcome.CANCELLED)]
    assert Fork(1, "ann", 0) in actions
    assert crew.lost == 0
    assert crew.jobs[1].cut == crew.jobs[1].cancelled == set()


def test_a_worker_that_dies_of_it_is_no_loss() -> None:
    """Asked to end, most do."""
    crew = busy(0)
    cancel(crew, 0)
    crew.tick(ASKED)
    assert ends(crew.died(1, "was killed by signal 15", ASKED, started=1)) == [(0, Outcome.CANCELLED)]
    assert (crew.lost, crew.empty, crew.wake(ASKED)) == (0, True, None)


def test_a_task_that_ends_by_itself_costs_no_worker() -> None:
    """Within the moment that it is given; the worker goes on with the next one."""
    crew = busy(0)
    cancel(crew, 0)
    crew.receive([task(1)], 0.11)
    assert ToWorker(1, [task(1)]) in crew.results(1, [value(0)], 0.12)
    assert not {Terminate(1), Kill(1)}.intersection(crew.tick(ASKED) + crew.tick(LATE))


def test_a_program_that_ends_when_asked_leaves_its_worker_to_be_replaced() -> None:
    """The worker told how it ended; who knows what the signal did to it."""
    crew = busy(0)
    cancel(crew, 0)
    crew.tick(ASKED)
    assert Kill(1) in crew.results(1, [value(0, Outcome.EXCEPTION)], ASKED + 0.01)
    assert ends(crew.died(1, "was killed", ASKED + 0.02, started=1, finished=1)) == []
    assert crew.empty


def test_what_is_ahead_of_a_worker_is_dropped_and_what_runs_there_stays() -> None:
    """Another task runs: it is not to die for one that had not begun."""
    crew = busy(0, 1)
    actions = cancel(crew, 1)
    assert ends(actions) == [(1, Outcome.CANCELLED)]
    assert not {Terminate(1), Kill(1)}.intersection(crew.tick(ASKED) + crew.tick(LATE))
    assert ends(crew.results(1, [value(0), value(1, Outcome.RETURNED)], LATE)) == [(0, Outcome.VALUE)]


def test_what_waits_behind_it_goes_to_others() -> None:
    """It is wanted, and has not begun: it is run once the worker is replaced."""
    crew = busy(0, 1)
    assert ends(cancel(crew, 0)) == []
    crew.tick(ASKED)
    assert ends(crew.died(1, "was killed by signal 15", ASKED, started=1)) == [(0, Outcome.CANCELLED)]
    assert task(1) in [m for action in crew.ready(1, 0.3) if isinstance(action, ToWorker) for m in action.messages]


def test_results_that_were_not_told_yet_are_asked_for() -> None:
    """Of tasks that the worker did before: they would die with it."""
    crew = busy(0, 1)
    assert Nudge(1, 1) in cancel(crew, 1, started=2)
    assert ends(crew.results(1, [value(0)], 0.11)) == [(0, Outcome.VALUE)]
    assert Terminate(1) in crew.tick(ASKED)


def test_it_had_not_begun_at_all() -> None:
    """A step comes first, say: it is given back, and the worker stays."""
    crew = busy(0)
    assert ends(cancel(crew, 0, started=0)) == [(0, Outcome.CANCELLED)]
    assert not {Terminate(1), Kill(1)}.intersection(crew.tick(ASKED) + crew.tick(LATE))
    assert ends(crew.results(1, [value(0, Outcome.RETURNED)], LATE)) == []
    assert ToWorker(1, [task(1)]) in crew.receive([task(1)], LATE)


def test_after_another_recall() -> None:
    """It is known already what runs there: nothing is left to be recalled, and it is ended all the same."""
    crew = busy(0, 1)
    crew.receive([Recall(1)], 0.05)
    crew.recalled(1, 1, 0.051)
    assert not [action for action in crew.receive([Cancel(1, [0], cut=True)], 0.1) if isinstance(action, Skip)]
    assert Terminate(1) in crew.tick(0.1 + CUT_AFTER)


def test_one_that_was_let_go_on_is_ended_later() -> None:
    """First a client does not want it, then somebody says that it is to end."""
    crew = busy(0)
    crew.receive([Cancel(1, [0])], 0.05)
    assert not {Terminate(1), Kill(1)}.intersection(crew.tick(5.0))
    crew.receive([Cancel(1, [0], cut=True)], 5.1)
    crew.recalled(1, 1, 5.101)
    assert Terminate(1) in crew.tick(5.2)


def test_a_master_that_does_not_know_how_it_was_cancelled() -> None:
    """The node was told to let one go on, and was told nothing of the other: that one is over, and ended."""
    crew = busy(0, 1, slots=2)
    crew.ready(2, 0.0)
    crew.receive([Cancel(1, [0])], 0.05)
    crew.receive([Cancel(1, [0, 1], cut=True, unknown=True)], 0.1)
    assert crew.jobs[1].cancelled == {0, 1}
    assert crew.jobs[1].cut == {1}
    for worker in (1, 2):
        crew.recalled(worker, 1, CALLED)
    asked = [action for action in crew.tick(ASKED) if isinstance(action, Terminate)]
    assert len(asked) == 1
    assert crew.due(asked[0].worker) == task(1)


def test_a_job_that_is_closed_meanwhile() -> None:
    """The worker dies of what it was sent: no loss either."""
    crew = busy(0)
    cancel(crew, 0)
    crew.tick(ASKED)
    crew.receive([Close(1)], ASKED + 0.01)
    assert ends(crew.died(1, "was killed by signal 15", ASKED + 0.02, started=1)) == [(0, Outcome.CANCELLED)]
    assert crew.lost == 0
