"""Tasks that ask for more than a slot, or that have limits: what the crew does, by example."""

from __future__ import annotations

from collections.abc import Sequence

from asyncluster.model.messages import Cancel, Close, Code, Job, Outcome, Result, Started, Step, StepDone, Task
from asyncluster.model.need import Need, slots_of
from asyncluster.node.crew import Crew
from asyncluster.node.devices import Devices
from asyncluster.node.roster import Action, Fork, Kill, Look, ToMaster, ToWorker, Weigh
from asyncluster.node.weights import WEIGH_EVERY

MIB = 1 << 20


def crew_with(*needs: Need, slots: int = 2, cores: int = 2, gpus: Sequence[str] = (), limit: int = 0) -> Crew:
    """Of two ready workers of ann's, idle; job 1 has code 0, plain, and a code for each need."""
    crew = Crew("a", slots, memory_limit=limit, cores=cores, memory=1000 * MIB, gpus=gpus)
    codes = [Code(1, number, 0, b"", need) for number, need in enumerate((Need(), *needs))]
    crew.receive([Job(1, "ann"), *codes], 0.0)
    crew.begin("ann", 0.0)
    for number in crew.workers:
        crew.ready(number, 0.0)
    return crew


def task(seq: int, code: int = 1, job: int = 1) -> Task:
    return Task(job, seq, 1, code, b"")


def value(seq: int) -> Result:
    return Result(1, seq, 1, Outcome.VALUE, b"", 10)


def given(actions: list[Action]) -> list[tuple[int, int]]:
    """(worker, seq) of each task that was given out."""
    sent = [action for action in actions if isinstance(action, ToWorker)]
    return [(each.worker, message.seq) for each in sent for message in each.messages if isinstance(message, Task)]


def ends(actions: list[Action]) -> list[tuple[int, int, str]]:
    told = [message for action in actions if isinstance(action, ToMaster) for message in action.messages]
    return [(m.seq, m.outcome, m.payload.decode()) for m in told if isinstance(m, Result)]


def test_slots_of_cores() -> None:
    """One core is one slot, more are their share of the slots, rounded up."""
    for cores, slots, here, takes in (
        (1, 8, 2, 1),
        (2, 8, 4, 4),
        (3, 4, 8, 2),
        (8, 4, 8, 4),
        (2, 1, 16, 1),
        (9, 4, 8, 5),
    ):
        assert slots_of(cores, slots, here) == takes


def test_a_wide_task_waits_until_it_fits() -> None:
    """What came before it ends first; what came after it waits, though a slot is free."""
    crew = crew_with(Need(cores=2))
    assert given(crew.receive([task(0, 0), task(1), task(2, 0)], 0.0)) == [(1, 0)]
    assert given(crew.tick(9.0)) == []
    assert given(crew.results(1, [value(0)], 9.0)) == [(1, 1)]
    assert given(crew.tick(10.0)) == []
    assert given(crew.results(1, [value(1)], 11.0)) == [(1, 2)]


def test_another_groups_work_does_not_slip_in() -> None:
    """While the head that has waited longest does not fit, nobody else gets a free slot; then they do."""
    crew = crew_with(Need(cores=2))
    crew.receive([task(0, 0), task(1)], 0.0)
    assert Kill(2) in crew.receive([Job(2, "bob"), Code(2, 0, 0, b""), task(7, 0, job=2)], 0.1)  # the idle one
    crew.died(2, "gone", 0.1)
    assert given(crew.ready(2, 0.2) + crew.tick(9.0)) == []
    assert given(crew.results(1, [value(0)], 9.0)) == [(1, 1)]
    assert given(crew.results(1, [value(1)], 10.0)) == [(2, 7)]


def test_limited_tasks_are_not_sent_ahead() -> None:
    """One at a time to a worker, however short they are; plain ones after them are again."""
    crew = crew_with(Need(time_limit=5), slots=1)
    crew.receive([*[task(seq) for seq in range(3)], *[task(seq, 0) for seq in range(3, 6)]], 0.0)
    assert [each.seq for each in crew.workers[1].sent if each] == [0]
    assert given(crew.results(1, [value(0)], 0.1)) == [(1, 1)]
    assert given(crew.results(1, [value(1)], 0.1)) == [(1, 2)]
    assert given(crew.results(1, [value(2)], 0.1)) == [(1, 3), (1, 4)]


def test_what_can_never_run_is_refused() -> None:
    """By what is missing; the node remembers that it was sent the code."""
    crew = crew_with(Need(cores=3), Need(gpus=2), Need(memory=2000 * MIB), gpus=["0"])
    assert ends(crew.receive([task(0, 1), task(1, 2), task(2, 3)], 0.0)) == [
        (0, Outcome.REFUSED, "the task needs 3 cores; node a has 2"),
        (1, Outcome.REFUSED, "the task needs 2 gpus; node a has 1"),
        (2, Outcome.REFUSED, "the task needs 2000 MiB of memory; node a has 1000"),
    ]
    assert crew.held()[0].codes == [0, 1, 2, 3]


def test_gpus_are_given_whole_and_come_back() -> None:
    """Two tasks never share one; after a result, and after a death, the devices are free again."""
    crew = crew_with(Need(gpus=2), Need(gpus=1), gpus=["0", "1", "GPU-x"])
    actions = crew.receive([task(0), task(1, 2), task(2, 2)], 0.0)
    sent = {action.worker: action.messages[-3:] for action in actions if isinstance(action, ToWorker)}
    assert sent[1] == [Devices(("0", "1")), task(0), Devices(())]
    assert sent[2] == [Devices(("GPU-x",)), task(1, 2), Devices(())]
    assert given(crew.results(1, [value(0)], 1.0)) == [(1, 2)]
    crew.died(1, "gone", 2.0, started=2, finished=1)
    crew.results(2, [value(1)], 2.0)
    assert crew.room.gpus == ["0", "1", "GPU-x"]


def test_devices_are_kept_until_the_process_is_dead() -> None:
    """An abandoned task may still use its gpu: another master's gets it only then."""
    crew = crew_with(Need(gpus=1), slots=1, gpus=["0"])
    crew.receive([task(0)], 0.0)
    assert crew.abandon(1.0) == [Kill(1)]
    crew.receive([Job(1, "ann"), Code(1, 0, 0, b"", Need(gpus=1)), task(0, 0)], 1.0)
    assert crew.room.gpus == []
    crew.died(1, "gone", 1.1)
    assert given(crew.ready(1, 1.2)) == [(1, 0)]


def test_time_limit() -> None:
    """The worker is killed when its time is over, not before, and the task is told limit and use; the slot works on."""
    crew = crew_with(Need(time_limit=10), slots=1)
    crew.receive([task(7), task(8)], 100.0)
    crew.tick(100.1)
    crew.looked(1, 1, 0)
    assert 9.8 < (crew.wake(100.1) or 0.0) < 9.91
    assert crew.tick(109.99) == []
    assert crew.tick(110.0025) == [Kill(1)]
    actions = crew.died(1, "was killed", 110.1, started=1)
    assert ends(actions) == [(7, Outcome.LIMIT, "task 7 ran 10.003s, above its time limit of 10s, on node a")]
    assert Fork(1, "ann", 0) in actions
    assert given(crew.ready(1, 110.2)) == [(1, 8)]


def test_a_result_that_came_just_before_counts() -> None:
    """The worker is killed in vain, and nobody hears of it."""
    crew = crew_with(Need(time_limit=10), slots=1)
    crew.receive([task(7)], 0.0)
    assert Kill(1) in crew.tick(10.1)
    assert ends(crew.results(1, [value(7)], 10.1)) == [(7, Outcome.VALUE, "")]
    assert ends(crew.died(1, "was killed", 10.2, started=1, finished=1)) == []


def test_over_its_limit_while_it_hands_over() -> None:
    """Its result was not through: it is not run again for ever."""
    crew = crew_with(Need(time_limit=10), slots=1)
    crew.receive([task(7)], 0.0)
    crew.tick(10.1)
    assert [outcome for _, outcome, _ in ends(crew.died(1, "", 10.2, started=1, finished=1))] == [Outcome.LIMIT]


def test_steps_are_not_the_tasks_time() -> None:
    """The clock of a task begins when the steps before it are done."""
    crew = crew_with(Need(time_limit=10), slots=1)
    crew.receive([Step(1, 0, 0, b""), task(0)], 0.0)
    assert Kill(1) not in crew.tick(50.0)
    crew.results(1, [StepDone(1, 0, "", "")], 60.0)
    assert Kill(1) not in crew.tick(69.9)
    assert Kill(1) in crew.tick(70.1)


def test_memory_limit() -> None:
    """Measured before the task and every quarter of a second, by the task's limit; above it the task is told."""
    crew = crew_with(Need(memory=100 * MIB), slots=1)
    assert crew.receive([task(7)], 0.0) == [Weigh(1, 25 * MIB)]
    assert given(crew.memory(1, 20 * MIB, 0.0)) == [(1, 7)]
    assert 0 < (crew.wake(0.2) or 9) <= WEIGH_EVERY
    assert Weigh(1, 100 * MIB) in crew.tick(WEIGH_EVERY)
    assert crew.memory(1, 100 * MIB, 0.25) == []
    assert Weigh(1, 100 * MIB) not in crew.tick(0.3)
    assert Weigh(1, 100 * MIB) in crew.tick(0.5)
    assert crew.memory(1, 100 * MIB + 1, 0.5) == [Kill(1)]
    text = "task 7 used 101 MiB, above its memory limit of 100 MiB, on node a"
    assert ends(crew.died(1, "was killed", 0.6, started=1)) == [(7, Outcome.LIMIT, text)]


def test_nobody_is_weighed_without_a_limit() -> None:
    """Neither a plain task nor one with other limits, nor anybody once the limited one is done."""
    crew = crew_with(Need(memory=100 * MIB), Need(time_limit=100), slots=1)
    crew.receive([task(0)], 0.0)
    crew.memory(1, 20 * MIB, 0.0)
    crew.results(1, [value(0)], 0.1)
    for seq, code in ((1, 0), (2, 2)):
        actions = crew.receive([task(seq, code)], seq)
        actions += [action for step in range(1, 9) for action in crew.tick(seq + step / 10)]
        assert not [action for action in actions if isinstance(action, Weigh)]
        crew.results(1, [value(seq)], seq + 0.9)
    assert crew.wake(9.0) is None


def test_a_worker_that_grew_is_replaced_first() -> None:
    """What earlier tasks left is not held against the next one; what a worker is from the start is nobody's fault."""
    crew = crew_with(Need(memory=100 * MIB), slots=1)
    crew.receive([task(0)], 0.0)
    assert given(crew.memory(1, 80 * MIB, 0.0)) == [(1, 0)]
    crew.results(1, [value(0)], 0.1)
    assert crew.receive([task(1)], 0.2) == [Weigh(1, 105 * MIB)]
    assert given(crew.memory(1, 90 * MIB, 0.2)) == [(1, 1)]
    crew.results(1, [value(1)], 0.3)
    crew.receive([task(2)], 0.4)
    assert crew.memory(1, 120 * MIB, 0.4) == [Kill(1)]
    assert Fork(1, "ann", 0) in crew.died(1, "gone", 0.5)
    assert crew.ready(1, 0.6) == [Weigh(1, 25 * MIB)]
    assert given(crew.memory(1, 80 * MIB, 0.6)) == [(1, 2)]


def test_the_nodes_own_memory_limit() -> None:
    """It holds for every worker, also once after its task; its kill is a loss, and names limit, use and key."""
    crew = crew_with(slots=1, limit=50 * MIB)
    assert Weigh(1, 50 * MIB) in crew.receive([task(0, 0)], 1.0)
    crew.memory(1, 20 * MIB, 1.0)
    crew.results(1, [value(0)], 1.1)
    assert crew.tick(1.25) == [Weigh(1, 50 * MIB)]
    assert crew.tick(2.0) == []
    crew.receive([task(1, 0)], 3.0)
    assert crew.memory(1, 60 * MIB, 3.0) == [Kill(1)]
    assert ends(crew.died(1, "was killed", 3.1, started=2, finished=1)) == [
        (
            1,
            Outcome.LOST,
            "worker 1 on node a was stopped: it used 60 MiB, with what it started, above the limit of 50 MiB a worker "
            "(`memory limit` in [client])",
        )
    ]


def test_memory_is_shared_out() -> None:
    """The sum of what running tasks declared stays below the node's; plain ones of others go on meanwhile."""
    crew = crew_with(Need(memory=600 * MIB))
    crew.receive([task(0), task(1)], 0.0)
    assert given(crew.memory(1, 1, 0.0)) == [(1, 0)]
    actions = crew.receive([Job(2, "bob"), Code(2, 0, 0, b""), task(7, 0, job=2)], 0.1) + crew.tick(1.0)
    assert Kill(2) in actions
    crew.died(2, "gone", 1.0)
    assert given(crew.ready(2, 1.1)) == [(2, 7)]
    crew.results(1, [value(0)], 2.0)
    assert given(crew.memory(1, 1, 2.0)) == [(1, 1)]


def test_limits_hold_for_what_nobody_wants_any_more() -> None:
    """A cancelled task ends at its limit too, and one of a closed job keeps its slots until it is over."""
    crew = crew_with(Need(cores=2, time_limit=5))
    crew.receive([task(0)], 0.0)
    crew.receive([Cancel(1, [0])], 1.0)
    assert Kill(1) in crew.tick(5.1)
    crew.died(1, "was killed", 5.2, started=1)
    crew = crew_with(Need(cores=2))
    crew.receive([task(0)], 0.0)
    crew.receive([Close(1), Job(2, "ann"), Code(2, 0, 0, b""), task(0, 0, job=2)], 0.1)
    crew.died(2, "gone", 0.1)
    assert given(crew.ready(2, 0.2)) == []
    crew.tick(3.0)
    assert given(crew.died(1, "was killed", 3.1, started=1)) == [(2, 0)]


def test_started_is_said_again() -> None:
    """For a master whose link was away: of what it was told and what is still at work and wanted."""
    crew = crew_with()
    crew.receive([task(0, 0), task(1, 0)], 0.0)
    assert crew.started_again(0.0) == []
    assert Look(1) in crew.tick(0.1)
    crew.looked(1, 1, 0)
    crew.looked(2, 1, 0)
    assert crew.started_again(0.1) == [Started(1, 0, 1, 100_000), Started(1, 1, 1, 100_000)]
    crew.receive([Cancel(1, [1])], 0.2)
    assert crew.started_again(0.2) == [Started(1, 0, 1, 200_000)]
    crew.pause(0.25)
    assert crew.started_again(9.0) == [Started(1, 0, 1, 250_000)]
    crew.go_on(10.25)
    assert crew.started_again(10.5) == [Started(1, 0, 1, 500_000)]
    crew.results(1, [value(0)], 10.75)
    assert crew.started_again(11.0) == []


def test_slow_forks_of_three_owners() -> None:
    """Each fork takes longer than a turn: whoever has a worker is served before the next one takes it."""
    crew = Crew("a", 1)
    for job, owner in enumerate(("ann", "bob", "eve"), 1):
        crew.receive([Job(job, owner), Code(job, 0, 0, b""), *[task(seq, 0, job) for seq in range(5)]], 0.0)
    now, done = 0.0, 0
    while done < 15:
        now += 1.0
        assert now < 100
        first = given(crew.ready(1, now))
        assert first, "chased out before it did anything"
        actions = crew.tick(now + 0.3)
        crew.looked(1, 1, 0)
        actions += crew.tick(now + 0.6) + crew.recalled(1, 1, now + 0.7)
        while Kill(1) not in actions and done < 15:
            sent = list(crew.workers[1].sent)
            job = next(iter(crew.workers[1].jobs))
            actions = crew.results(1, [_answer(job, first, each) for each in sent], now + 0.8)
            first, done = given(actions), done + len(ends(actions))
        crew.died(1, "gone", now + 0.9)


def _answer(job: int, first: list[tuple[int, int]], sent: Task | None) -> Result:
    if sent is None:
        return Result(job, first[-1][1], 1, Outcome.RETURNED, b"")
    return Result(job, sent.seq, 1, Outcome.VALUE, b"")


def told(actions: list[Action]) -> list[Result]:
    messages = [message for action in actions if isinstance(action, ToMaster) for message in action.messages]
    return [message for message in messages if isinstance(message, Result)]


def test_how_long_a_task_ran_that_was_ended_is_told() -> None:
    """By a limit, with the memory that it used; cancelled; or lost: what becomes of it the master decides."""
    crew = crew_with(Need(memory=100 * MIB), slots=1)
    crew.receive([task(7)], 1.0)
    crew.memory(1, 20 * MIB, 2.0)
    crew.memory(1, 130 * MIB, 2.5)
    (result,) = told(crew.died(1, "was killed", 3.0, started=1))
    assert (result.outcome, result.wall, result.memory) == (Outcome.LIMIT, 1_000_000, 130 * MIB)
    crew = crew_with(slots=1)
    crew.receive([task(0, 0), task(1, 0)], 1.0)
    crew.receive([Cancel(1, [0, 1], True)], 2.0)
    ended = {result.seq: result for result in told(crew.died(1, "was killed", 5.0, started=1))}
    assert {seq: (result.outcome, result.wall) for seq, result in ended.items()} == {
        0: (Outcome.CANCELLED, 4_000_000),
        1: (Outcome.CANCELLED, 0),
    }


def test_the_most_memory_is_told_with_the_result() -> None:
    """Of the task at which it was measured; nothing of one that nobody looked at."""
    crew = crew_with(Need(memory=100 * MIB), slots=1)
    crew.receive([task(0), task(1, 0)], 0.0)
    crew.memory(1, 20 * MIB, 0.0)
    for moment, size in ((0.3, 40), (0.6, 90), (0.9, 60)):
        crew.tick(moment)
        crew.memory(1, size * MIB, moment)
    assert [result.memory for result in told(crew.results(1, [value(0)], 1.0))] == [90 * MIB]
    assert [result.memory for result in told(crew.results(1, [value(1)], 1.1))] == [0]


def test_what_is_measured_at_a_long_task_is_not_said_of_the_short_ones_before_it() -> None:
    """Where a node limits all workers, and several results come together."""
    crew = crew_with(slots=1, limit=500 * MIB)
    crew.receive([task(0, 0), task(1, 0)], 0.0)
    crew.memory(1, 70 * MIB, 0.3)
    results = [value(0), Result(1, 1, 1, Outcome.VALUE, b"", 400_000)]
    assert [result.memory for result in told(crew.results(1, results, 0.5))] == [0, 70 * MIB]
