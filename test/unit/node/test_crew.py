"""What the crew decides: examples, and histories of a whole node made up by hypothesis."""

from __future__ import annotations

from collections import deque

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncluster.model.messages import (
    STEPS,
    Cancel,
    Close,
    Code,
    Held,
    Job,
    Message,
    Outcome,
    Output,
    Recall,
    Result,
    Started,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.need import PLAIN, Need
from asyncluster.node.crew import Crew
from asyncluster.node.devices import Devices
from asyncluster.node.roster import (
    Action,
    Fork,
    Kill,
    Look,
    Nudge,
    Skip,
    Terminate,
    ToMaster,
    ToWorker,
    Weigh,
    WorkerState,
)
from asyncluster.node.staff import SEEN_AFTER, STEAL_AFTER
from asyncluster.node.stepping import FAILURES


def crew_with(slots: int = 1, owner: str = "ann") -> Crew:
    crew = Crew("a", slots, lambda name: "not here" if name == "eve" else "")
    crew.receive([Job(1, owner), Code(1, 0, 0, b"f")], 0.0)
    return crew


def tasks(*seqs: int, job: int = 1) -> list[Task]:
    return [Task(job, seq, 1, 0, b"") for seq in seqs]


def value(seq: int, wall: int = 10, job: int = 1) -> Result:
    return Result(job, seq, 1, Outcome.VALUE, b"", wall)


def ends(actions: list[Action]) -> list[tuple[int, int, bytes]]:
    return [
        (m.seq, m.outcome, m.payload)
        for action in actions
        if isinstance(action, ToMaster)
        for m in action.messages
        if isinstance(m, Result)
    ]


def sent(actions: list[Action]) -> list[tuple[int, list[Message]]]:
    return [(action.worker, action.messages) for action in actions if isinstance(action, ToWorker)]


def test_first_task() -> None:
    """A task without a worker forks one; once it is ready it hears of job, code and task in one frame."""
    crew = crew_with()
    assert crew.receive(tasks(0), 0.0) == [Fork(1, "ann", 0)]
    assert crew.ready(1, 0.1) == [ToWorker(1, [Job(1, "ann"), Code(1, 0, 0, b"f"), *tasks(0)])]
    assert crew.results(1, [value(0)], 0.2) == [ToMaster([value(0)])]
    assert (crew.done, crew.running, crew.empty) == (1, 0, True)


def test_depth_follows_the_measured_time() -> None:
    """Two of an unknown kind, many of a short one, none ahead of long ones."""
    for wall, depth in ((10, 256), (1_000, 5), (20_000, 2), (200_000, 1)):
        crew = crew_with()
        crew.receive(tasks(0), 0.0)
        crew.ready(1, 0.0)
        crew.results(1, [value(0, wall)], 0.0)
        crew.receive(tasks(*range(1, 600)), 0.0)
        assert len(crew.workers[1].sent) == depth


def test_death_charges_the_running_task_only() -> None:
    """Of four tasks sent, one reported, one done but unreported, one running, one waiting: the third is lost."""
    crew = crew_with()
    crew.receive(tasks(0), 0.0)
    crew.ready(1, 0.0)
    crew.results(1, [value(0)], 0.0)
    crew.receive(tasks(1, 2, 3), 0.0)
    actions = crew.died(1, "worker 1 on node a was killed by signal 11 (SIGSEGV)", 1.0, started=3, finished=2)
    assert ends(actions) == [(2, Outcome.LOST, b"worker 1 on node a was killed by signal 11 (SIGSEGV)")]
    assert Fork(1, "ann", 0) in actions
    assert [task.seq for task in crew.groups["ann", 0].queue] == [1, 3]


def test_death_between_tasks_charges_nobody() -> None:
    """Who dies with all that it began finished has lost no task; but not for ever, as it may be the task's doing."""
    crew = crew_with()
    actions = crew.receive(tasks(0), 0.0)
    for _ in range(3):
        crew.ready(1, 0.0)
        actions = crew.died(1, "gone", 1.0, started=1, finished=1)
        assert ends(actions) == []
    crew.ready(1, 0.0)
    assert ends(crew.died(1, "gone", 1.0, started=1, finished=1)) == [(0, Outcome.LOST, b"gone")]


def test_idle_worker_takes_what_a_stuck_one_holds() -> None:
    """After 2 ms without progress unstarted tasks are recalled and run elsewhere; late answers do not count."""
    crew = crew_with(2)
    crew.receive(tasks(0, 1, 2, 3), 0.0)
    crew.ready(1, 0.0)
    crew.ready(2, 0.0)
    crew.results(2, [value(2), value(3)], 0.0)
    held = [0, 1]
    assert not [a for a in crew.tick(0.001) if isinstance(a, Skip)]
    assert crew.tick(0.003) == [Skip(1, 2)]
    actions = crew.recalled(1, 1, 0.004)
    assert [(number, m[-1].seq) for number, m in sent(actions)] == [(2, held[1])]
    late = Result(1, held[1], 1, Outcome.RETURNED, b"")
    assert ends(crew.results(1, [value(held[0]), late], 0.1)) == [(held[0], Outcome.VALUE, b"")]
    assert ends(crew.results(2, [value(held[1])], 0.1)) == [(held[1], Outcome.VALUE, b"")]
    assert crew.empty


def test_a_stuck_worker_is_left_alone() -> None:
    """What was recalled from it goes to the idle one, it is not recalled from again, and is asked for what it holds."""
    crew = crew_with(2)
    crew.receive(tasks(0, 1), 0.0)
    crew.ready(1, 0.0)
    crew.ready(2, 0.0)
    crew.results(1, [value(0)], 0.0)
    crew.results(2, [value(1)], 0.0)
    crew.receive(tasks(*range(2, 12)), 0.0)
    crew.results(2, [value(seq) for seq in range(7, 12)], 0.001)
    assert crew.tick(0.003) == [Skip(1, 6)]
    actions = crew.recalled(1, 4, 0.004)  # it has done 2 and 3, unreported, and is at 4
    assert [(number, [m.seq for m in messages]) for number, messages in sent(actions)] == [(2, [5, 6])]
    crew.results(2, [value(5), value(6)], 0.005)
    assert crew.tick(0.008) == []
    assert crew.tick(0.0101) == [Nudge(1, 2)]


def test_held() -> None:
    """What is queued, sent or recalled and not answered yet is held, once; so is what runs of a closed job."""
    crew = crew_with()
    crew.receive([Job(2, "ann"), Step(2, 0, 0, b""), Code(2, 4, 0, b""), Code(2, 1, 0, b""), *tasks(0, 1, 2, 3)], 0.0)
    assert crew.held() == [Held(1, [0], 0, [(0, 1), (1, 1), (2, 1), (3, 1)]), Held(2, [1, 4], 1, [])]
    crew.ready(1, 0.0)
    crew.results(1, [value(0)], 0.0)
    crew.results(1, [value(1)], 0.0)
    assert crew.held()[0].tasks == [(2, 1), (3, 1)]
    crew.receive([Close(1)], 0.001)
    crew.recalled(1, 3, 0.002)
    assert crew.held() == [Held(2, [1, 4], 1, []), Held(1, [], 0, [(2, 1)])]


def test_abandoned() -> None:
    """Nothing of another master's jobs is left, and what a dying worker still writes is nobody's."""
    crew = crew_with()
    crew.receive(tasks(0, 1), 0.0)
    crew.ready(1, 0.0)
    crew.results(1, [value(0)], 0.0)
    assert crew.abandon(0.1) == [Kill(1)]
    assert (crew.held(), crew.empty, crew.task_at(1, 1), crew.task_at(1, 2)) == ([], True, None, None)
    crew.receive([Job(1, "bob"), Code(1, 0, 0, b""), *tasks(0)], 0.2)
    assert ends(crew.results(1, [value(1)], 0.2)) == []
    assert not crew.workers[1].jobs
    assert crew.died(1, "gone", 0.3, started=2, finished=1, stepping=(1, 0)) == [Fork(1, "bob", 0)]


def test_returned_by_the_second_look() -> None:
    """A task that the worker gave back although `started` names it is run again."""
    crew = crew_with()
    crew.receive(tasks(0, 1), 0.0)
    crew.ready(1, 0.0)
    crew.receive([Recall(1)], 0.0)
    crew.recalled(1, 2, 0.001)
    actions = crew.results(1, [value(0), Result(1, 1, 1, Outcome.RETURNED, b"")], 0.1)
    assert ends(actions) == [(0, Outcome.VALUE, b"")]
    assert [m for _, m in sent(actions)] == [tasks(1)]


def test_owners_do_not_share() -> None:
    """An idle worker of one owner is replaced for another's task, and not before it is dead."""
    crew = crew_with()
    crew.receive(tasks(0), 0.0)
    crew.ready(1, 0.0)
    crew.results(1, [value(0)], 0.0)
    assert crew.receive([Job(2, "bob"), Code(2, 0, 0, b"g"), *tasks(0, job=2)], 1.0) == [Kill(1)]
    assert crew.died(1, "gone", 1.1) == [Fork(1, "bob", 0)]


def test_an_owner_without_workers_gets_his_turn() -> None:
    """One owner's endless work does not shut another out of the only slot."""
    crew = crew_with()
    crew.receive(tasks(*range(100)), 0.0)
    crew.ready(1, 0.0)
    crew.receive([Job(2, "bob"), Code(2, 0, 0, b"g"), *tasks(0, job=2)], 0.1)
    assert 0.0 < (crew.wake(0.1) or 0.0) <= 0.26
    assert crew.tick(0.2) == [Nudge(1, 1), Look(1)]
    crew.looked(1, 1, 0)
    assert Skip(1, 2) in crew.tick(0.4)
    crew.recalled(1, 1, 0.401)
    actions = crew.results(1, [value(0), Result(1, 1, 1, Outcome.RETURNED, b"")], 0.5)
    assert actions == [ToMaster([value(0)]), Kill(1)]
    assert Fork(1, "bob", 0) in crew.died(1, "gone", 0.6)


def test_what_lies_behind_a_long_task_goes_to_an_empty_slot() -> None:
    """A worker that died is replaced for what the others were sent ahead and cannot begin."""
    crew = crew_with(slots=2)
    crew.receive(tasks(0, 1), 0.0)
    crew.ready(1, 0.1)
    crew.ready(2, 0.1)
    assert sent(crew.receive(tasks(2), 0.1)) == [(1, tasks(2))]
    died = crew.died(2, "was killed by signal 9", 0.1005, started=1)
    assert not [action for action in died if isinstance(action, Skip | Fork)], "that one may be about to begin it"
    assert 0 < (crew.wake(0.1005) or 0.0) <= STEAL_AFTER
    assert Skip(1, 2) in crew.tick(0.103)
    assert crew.recalled(1, 1, 0.104) == [Fork(2, "ann", 0)]
    assert sent(crew.ready(2, 0.2))[0][1][-1:] == tasks(2)


def test_worker_that_cannot_start() -> None:
    """Failing starts pause longer and longer; then tasks are refused with the reason, and nothing spins."""
    crew = crew_with()
    now, starts = 0.0, [0.0]
    actions = crew.receive(tasks(0), now)
    while not ends(actions):
        actions = crew.died(1, "exited with code 71", now)
        while not ends(actions) and Fork(1, "ann", 0) not in actions:
            now += crew.wake(now) or 1000.0
            actions = crew.tick(now)
        starts.append(now)
    assert len(starts) == FAILURES + 1
    assert starts[2] - starts[1] > 1.5 * (starts[1] - starts[0]) > 0.1
    assert ends(actions) == [(0, Outcome.REFUSED, b"node a cannot start workers for ann: exited with code 71")]


def test_refusals() -> None:
    """A job of a refused owner, an unknown job and an unknown code each say what is wrong."""
    crew = crew_with()
    crew.receive([Job(3, "eve")], 0.0)
    wrong = [Task(3, 0, 1, 0, b""), Task(4, 1, 1, 0, b""), Task(1, 2, 1, 7, b"")]
    assert [text for _, _, text in ends(crew.receive(wrong, 0.0))] == [
        b"not here",
        b"node a was not told of job 4",
        b"node a was not sent code 7 of job 1",
    ]


def test_step_without_worker() -> None:
    """A step forks a worker to be tried on, and is answered once for the node."""
    crew = crew_with(2)
    step = Step(1, 0, 0, b"")
    assert crew.receive([step], 0.0) == [Fork(1, "ann", 0)]
    assert sent(crew.ready(1, 0.0)) == [(1, [Job(1, "ann"), step])]
    assert crew.results(1, [StepDone(1, 0, "", "bad")], 0.0) == [ToMaster([StepDone(1, 0, "a", "bad")])]


def test_step_that_kills() -> None:
    """A step that ends the process is told as the step's error; the second death refuses the job's tasks."""
    crew = crew_with()
    crew.receive([Step(1, 0, 0, b"")], 0.0)
    crew.ready(1, 0.0)
    actions = crew.died(1, "exited with code 9", 0.1, stepping=(1, 0))
    died = StepDone(1, 0, "a", "step 0 of the job: exited with code 9")
    assert actions == [ToMaster([StepDone(1, STEPS, "a", "", 100_000), died])]
    crew.receive(tasks(5), 0.2)
    crew.ready(1, 0.3)
    actions = crew.died(1, "exited with code 9", 0.4, stepping=(1, 0))
    assert ends(actions) == [(5, Outcome.UNPREPARED, b"step 0 of the job: exited with code 9")]
    assert not [a for a in actions if isinstance(a, Fork)]


def test_a_step_that_comes_again() -> None:
    """A master that was killed had not written it down: it is answered as before, and applied once."""
    crew = crew_with()
    crew.receive(tasks(0), 0.0)
    crew.ready(1, 0.0)
    step = Step(1, 0, 0, b"")
    assert sent(crew.receive([step], 0.0)) == [(1, [step])]
    assert crew.receive([step], 0.0) == [], "not answered yet"
    assert crew.results(1, [value(0), StepDone(1, 0, "", "bad")], 0.0)[0].messages[-1] == StepDone(1, 0, "a", "bad")
    assert crew.receive([step], 0.0) == [ToMaster([StepDone(1, 0, "a", "bad")])]
    assert crew.held()[0].steps == 1


def test_held_results_are_asked_for() -> None:
    """A worker silent for 10 ms with several tasks is nudged, ever less often."""
    crew = crew_with()
    crew.receive(tasks(0, 1), 0.0)
    crew.ready(1, 0.0)
    assert crew.tick(0.005) == []
    assert crew.tick(0.011) == [Nudge(1, 1)]
    assert crew.tick(0.012) == []
    assert crew.tick(0.022) == [Nudge(1, 1)]


def busy_crew(*seqs: int, slots: int = 1) -> Crew:
    """One whose worker 1 got these at 0.0."""
    crew = crew_with(slots)
    crew.receive(tasks(*seqs), 0.0)
    crew.ready(1, 0.0)
    return crew


def test_the_master_hears_of_a_long_task_once() -> None:
    """Not before it has been at work for a while; and nothing wakes anybody for it again."""
    crew = busy_crew(0)
    assert SEEN_AFTER <= (crew.wake(0.0) or 0.0) < SEEN_AFTER + 0.001
    assert crew.tick(SEEN_AFTER - 0.001) == []
    assert crew.tick(SEEN_AFTER) == [Look(1)]
    assert crew.looked(1, 1, 0) == [ToMaster([Started(1, 0, 1)])]
    assert crew.wake(SEEN_AFTER) is None
    assert crew.tick(10.0) == []
    assert crew.results(1, [value(0)], 10.0) == [ToMaster([value(0)])]


def test_each_long_task_is_told() -> None:
    """Also one behind others in its frame; the clock begins anew with each result."""
    crew = busy_crew(0, 1)
    crew.results(1, [value(0)], 0.04)
    assert Look(1) not in crew.tick(0.08)
    assert Look(1) in crew.tick(0.091)
    assert crew.looked(1, 2, 1) == [ToMaster([Started(1, 1, 1)])]
    crew.results(1, [value(1)], 0.2)
    assert crew.wake(0.2) is None
    crew.receive(tasks(2), 5.0)
    assert Look(1) in crew.tick(5.06)
    assert crew.looked(1, 3, 2) == [ToMaster([Started(1, 2, 1)])]


def test_a_long_task_behind_unreported_ones_is_told() -> None:
    """The words say that the first is done and the second at work, before any result has come."""
    crew = busy_crew(0, 1)
    assert Look(1) in crew.tick(0.06)
    assert crew.looked(1, 2, 1) == [ToMaster([Started(1, 1, 1)])]
    assert Look(1) not in crew.tick(0.5)
    crew.results(1, [value(0)], 0.5)
    assert Look(1) not in crew.tick(0.6)


def test_short_tasks_are_never_looked_at() -> None:
    """A worker that reports all the while gives nothing to look at."""
    crew = busy_crew(*range(50))
    for seq in range(50):
        assert Look(1) not in crew.results(1, [value(seq)], seq * 0.04)


def test_looks_that_show_nothing_become_rare() -> None:
    """While a step comes first, or where the words make no sense: again after as long, in the end each second."""
    for started, finished in ((0, 0), (1, 1), (7, 0), (2**63, 0)):
        crew = busy_crew(0)
        now, looks = 0.0, []
        while len(looks) < 9:
            now += crew.wake(now) or 1000.0
            if Look(1) in crew.tick(now):
                looks.append(round(now, 2))
                assert crew.looked(1, started, finished) == []
        assert looks == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.6, 3.6, 4.6]
        assert crew.looked(1, 1, 0) == [ToMaster([Started(1, 0, 1)])]


def test_what_is_not_wanted_is_not_told() -> None:
    """Cancelled, of a closed job, recalled, or of a worker that is being killed."""
    for unwanted in (Cancel(1, [0]), Close(1)):
        crew = busy_crew(0)
        crew.receive([unwanted], 0.01)
        crew.tick(0.06)
        assert crew.looked(1, 1, 0) == []
    crew = busy_crew(0, 1)
    crew.receive([Recall(1)], 0.0)
    assert Look(1) not in crew.tick(0.06)  # in a millisecond the words are read anyhow
    assert Look(1) in crew.recalled(1, 1, 0.061)
    assert crew.looked(1, 2, 1) == []
    crew = busy_crew(0)
    assert crew.hand_back(0.06) == [Kill(1)]
    assert crew.looked(1, 1, 0) == []


def test_a_draining_node_still_tells() -> None:
    """What it has begun it finishes, and says so."""
    crew = busy_crew(0)
    crew.drain(0.01)
    assert crew.tick(0.06) == [Look(1)]
    assert crew.looked(1, 1, 0) == [ToMaster([Started(1, 0, 1)])]


def test_the_next_process_in_a_slot_is_looked_at_anew() -> None:
    """Its tasks are numbered from 1 again."""
    crew = busy_crew(0)
    crew.tick(0.06)
    crew.looked(1, 1, 0)
    crew.died(1, "gone", 0.1, started=1)
    crew.receive(tasks(1), 0.1)
    crew.ready(1, 0.1)
    assert Look(1) in crew.tick(0.16)
    assert crew.looked(1, 1, 0) == [ToMaster([Started(1, 1, 1)])]


@attrs.define
class Process:
    """A worker as the world has it: what it was sent, began, finished and said."""

    group: tuple[str, int]
    ready: bool = False
    inbox: deque[tuple[int, Task, tuple[str, ...]]] = attrs.Factory(deque)
    devices: tuple[str, ...] = ()  # of the task that runs
    memory: int = 0
    index: int = 0
    begun: int = 0
    finished: int = 0
    running: Task | None = None
    skip: int = 0
    said: list[Result] = attrs.Factory(list)


NEEDS = [PLAIN, Need(cores=2), Need(gpus=1, time_limit=0.5), Need(cores=3, gpus=2, memory=300), Need(memory=200)]
"""By code, of each job of a history."""


class World:
    """Obeys a crew as a supervisor with real workers would, and checks every action."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.crew = Crew("a", slots, cores=slots, memory=400, gpus=("0", "1"))
        self.codes: dict[tuple[int, int], int] = {}  # of the tasks that are not plain
        self.now = self.heard = 0.0
        self.processes: dict[int, Process] = {}
        self.dying: set[int] = set()
        self.recalls: list[tuple[int, Process]] = []
        self.owners: dict[int, tuple[str, int]] = {}
        self.given: set[tuple[int, int]] = set()
        self.ended: dict[tuple[int, int], int] = {}
        self.runs: dict[tuple[int, int], int] = {}
        self.cancelled: set[tuple[int, int]] = set()
        self.cut: set[tuple[int, int]] = set()  # those that are to be ended
        self.terminated: set[int] = set()
        self.nudged: set[int] = set()
        self.told: set[tuple[int, int, int]] = set()  # job, seq and how often it was run by then

    def open(self, job: int, owner: str, niceness: int, needs: list[Need]) -> None:
        self.owners[job] = (owner, niceness)
        codes = [Code(job, code, 0, b"", need) for code, need in enumerate(needs)]
        self.obey(self.crew.receive([Job(job, owner, niceness), *codes], 0.0))

    def need(self, task: Task) -> Need:
        return NEEDS[self.codes.get((task.job, task.seq), 0)]

    def check_room(self) -> None:
        """What runs never takes more than there is, and nothing twice; a dying process may run until it is dead."""
        running = [process for process in self.processes.values() if process.running is not None]
        needs = [self.need(process.running) for process in running if process.running is not None]
        assert sum(need.cores for need in needs) <= self.slots
        assert sum(need.memory for need in needs) <= 400
        devices = [device for process in running for device in process.devices]
        assert len(devices) == len(set(devices)) == sum(need.gpus for need in needs)

    def obey(self, actions: list[Action]) -> None:
        self.heard = self.now
        for action in actions:
            if isinstance(action, ToMaster):
                for message in action.messages:
                    if isinstance(message, Result):
                        key = (message.job, message.seq)
                        assert key in self.given
                        assert key not in self.ended, "reported twice"
                        self.ended[key] = message.outcome
                        limited = {2, 3, 4} if message.outcome == Outcome.LIMIT else range(len(NEEDS))
                        assert self.codes.get(key, 0) in limited
                    elif isinstance(message, Started):
                        self.hear_started(message)
            elif isinstance(action, Fork):
                assert action.worker not in self.processes, "two in one slot"
                assert self.crew.paused is None
                self.processes[action.worker] = Process((action.owner, action.niceness))
            elif isinstance(action, Kill):
                assert action.worker in self.processes
                self.dying.add(action.worker)
            elif isinstance(action, Terminate):
                task = self.processes[action.worker].running
                assert task is None or (task.job, task.seq) in self.cut, "somebody else's task"
                self.terminated.add(action.worker)
            elif isinstance(action, Nudge):
                self.nudged.add(action.worker)
            elif isinstance(action, Skip):
                process = self.processes[action.worker]
                assert action.upto == process.index
                process.skip = action.upto
                self.recalls.append((action.worker, process))
            elif isinstance(action, ToWorker):
                process = self.processes[action.worker]
                assert process.ready
                devices: tuple[str, ...] = ()
                for message in action.messages:
                    if isinstance(message, Devices):
                        devices = message.ids
                    elif isinstance(message, Task):
                        assert self.crew.paused is None, "somebody sits at the machine"
                        assert len(devices) == self.need(message).gpus
                        assert self.need(message) is PLAIN or not process.inbox, "limited, but not alone"
                        assert self.owners[message.job] == process.group, "another owner's worker"
                        process.index += 1
                        process.inbox.append((process.index, message, devices))
            elif isinstance(action, Look):
                process = self.processes[action.worker]
                self.obey(self.crew.looked(action.worker, process.begun, process.finished))
        for action in actions:
            if isinstance(action, Weigh):
                found = self.processes.get(action.worker)
                self.obey(self.crew.memory(action.worker, found.memory if found else 0, self.now))

    def hear_started(self, started: Started) -> None:
        key = (started.job, started.seq)
        running = [process.running for process in self.processes.values() if process.running is not None]
        assert key in {(task.job, task.seq) for task in running}, "told of what does not run"
        assert key not in self.ended, "told after its end"
        assert key not in self.cancelled, "told of what nobody wants"
        run = (*key, self.runs[key])
        assert run not in self.told, "told twice"
        self.told.add(run)

    def check_alarm(self, closed: set[int]) -> None:
        """Nobody waits in vain to hear of a task at work: an alarm is set, or a recall ends in a moment."""
        for number, process in self.processes.items() if self.crew.paused is None else ():
            task = process.running
            if task is None or number in self.dying or self.crew.workers[number].recalling or task.job in closed:
                continue
            key = (task.job, task.seq)
            if key not in self.cancelled and (*key, self.runs[key]) not in self.told:
                assert self.crew.workers[number].state is WorkerState.READY
                # an alarm is set at each event, and not looked for in between
                assert self.crew.wake(self.heard) is not None

    def submit(self, job: int, count: int, code: int = 0) -> None:
        first = len(self.given)
        batch = [Task(job, first + n, 1, code, b"") for n in range(count)]
        self.given |= {(job, task.seq) for task in batch}
        self.codes |= {(job, task.seq): code for task in batch if code}
        self.obey(self.crew.receive(batch, self.now))

    def work(self, number: int, wall: int) -> None:
        """One step of a worker: finish what runs, begin the next; say all of it now and then."""
        process = self.processes.get(number)
        if process is None or self.crew.paused is not None:
            return
        if not process.ready:
            process.ready = True
            if number not in self.dying:
                self.obey(self.crew.ready(number, self.now))
            return
        if process.running is not None:
            task, process.running, process.finished = process.running, None, process.begun
            process.said.append(Result(task.job, task.seq, 1, Outcome.VALUE, b"", wall))
        if process.inbox:
            index, task, process.devices = process.inbox.popleft()
            if index <= process.skip:
                process.said.append(Result(task.job, task.seq, 1, Outcome.RETURNED, b""))
            else:
                process.begun, process.running = index, task
                self.runs[task.job, task.seq] = self.runs.get((task.job, task.seq), 0) + 1
                self.check_room()

    def say(self, number: int) -> None:
        process = self.processes.get(number)
        if process is not None and process.said:
            said, process.said = process.said, []
            self.obey(self.crew.results(number, said, self.now))

    def answer(self) -> None:
        """Who was asked for the results that it holds tells them."""
        nudged, self.nudged = self.nudged, set()
        for number in nudged - self.dying:
            self.say(number)

    def die(self, number: int) -> None:
        process = self.processes.pop(number, None)
        for memory in (self.dying, self.terminated, self.nudged):
            memory.discard(number)
        if process is not None:
            self.obey(self.crew.died(number, "died", self.now, process.begun, process.finished))

    def recall(self) -> None:
        recalls, self.recalls = self.recalls, []
        for number, process in recalls:
            if self.processes.get(number) is process and number not in self.dying:
                self.obey(self.crew.recalled(number, process.begun, self.now))

    def settle(self, pace: float) -> None:
        """Let everything go its way until nothing is left to do; `pace`: seconds that each step of a process takes."""
        for _ in range(6000):
            if self.ended.keys() >= self.given:
                return
            self.now += pace
            self.answer()
            self.recall()
            self.obey(self.crew.tick(self.now))
            for number in list(self.processes):
                if number in self.dying or number in self.terminated:
                    self.die(number)
                else:
                    self.work(number, 50)
                    self.say(number)
        raise AssertionError(f"never ended: {sorted(self.given - self.ended.keys())}")


numbers = st.integers(1, 3)
events = st.one_of(
    st.tuples(st.just("submit"), numbers, st.integers(1, 12)),
    st.tuples(st.just("ask"), numbers, st.integers(1, len(NEEDS) - 1)),
    st.tuples(st.just("grow"), numbers, st.integers(0, 400)),
    st.tuples(st.just("work"), numbers, st.sampled_from([5, 900, 4_000, 300_000])),
    st.tuples(st.just("begin"), numbers, st.just(0)),
    st.tuples(st.just("say"), numbers, st.just(0)),
    st.tuples(st.just("die"), numbers, st.just(0)),
    st.tuples(st.just("recall"), st.just(0), st.just(0)),
    st.tuples(st.just("tick"), st.just(0), st.integers(0, 400)),
    st.tuples(st.just("master"), st.integers(1, 9), st.just(0)),
    st.tuples(st.just("cancel"), numbers, st.sampled_from([0, 0, 0, 3, 6, 12, 24])),
    st.tuples(st.just("cut"), numbers, st.sampled_from([0, 0, 0, 3, 6, 12, 24])),
    st.tuples(st.just("terminated"), numbers, st.just(0)),
    st.tuples(st.just("close"), numbers, st.just(0)),
    st.tuples(st.just("pause"), st.just(0), st.just(0)),
    st.tuples(st.just("go on"), st.just(0), st.just(0)),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 3),
    st.lists(events, min_size=20, max_size=80),
    st.booleans(),
    st.sampled_from([0.02, 0.4]),
    st.booleans(),
)
def test_histories(slots: int, history: list[tuple[str, int, int]], drain: bool, pace: float, plain: bool) -> None:
    """Whatever happens, each task ends exactly once, no slot has two workers, no owner gets another's worker.

    Told as started is only what is at work and wanted, once, and of what is at work something will be told.
    What runs never takes more slots, memory or gpus than there are, and all of it ends, also where processes are slow.
    """
    world = World(slots)
    closed: set[int] = set()
    for job, (owner, niceness) in enumerate([("ann", 0), ("bob", 0), ("ann", 5)], 1):
        world.open(job, owner, niceness, NEEDS[:1] if plain else NEEDS)
    for kind, first, second in history:
        world.now += 0.0007
        world.answer()
        if kind == "submit" and first not in closed:
            world.submit(first, second)
        elif kind == "ask" and first not in closed:
            world.submit(first, 1, 0 if plain else second)
        elif kind == "grow" and first in world.processes:
            world.processes[first].memory += second
        elif kind == "work":
            for _ in range(3):
                world.work(first, second)
        elif kind == "begin":
            world.work(first, 50)
        elif kind == "say" and first not in world.dying:
            world.say(first)
        elif kind == "die":
            world.die(first)
        elif kind == "recall":
            world.recall()
        elif kind == "tick":
            world.now += second / 1000
            world.obey(world.crew.tick(world.now))
        elif kind == "master":
            world.obey(world.crew.receive([Recall(first)], world.now))
        elif kind in ("cancel", "cut"):
            seqs = range(second, second + 5)
            unwanted = {(first, seq) for seq in seqs} & world.given
            world.cancelled |= unwanted
            if kind == "cut":
                world.cut |= unwanted
            world.obey(world.crew.receive([Cancel(first, list(seqs), kind == "cut")], world.now))
        elif kind == "terminated" and first in world.terminated:
            world.die(first)
        elif kind == "pause":
            world.obey(world.crew.pause(world.now))
        elif kind == "go on":
            world.obey(world.crew.go_on(world.now))
        elif kind == "close":
            closed.add(first)
            world.obey(world.crew.receive([Close(first)], world.now))
        held = [(each.job, seq) for each in world.crew.held() for seq, _ in each.tasks]
        assert len(held) == len(set(held))
        assert set(held) == world.given - world.ended.keys()
        world.check_alarm(closed)
    world.obey(world.crew.go_on(world.now))
    if drain:
        world.obey(world.crew.drain(world.now))
    world.settle(pace)
    assert world.crew.empty
    # run again only where a worker died under it
    assert all(count == 1 for key, count in world.runs.items()) or any(event[0] == "die" for event in history)


def test_a_worker_is_believed_about_its_own_jobs_only() -> None:
    """It runs one owner's code: what it says of another job, in words or by the shared ones, changes nothing there."""
    step = Step(2, 0, 0, b"")
    for forged in (StepDone(2, 0, "", "broken"), Output(2, 0, 1, "a/1", b"lies"), None):
        crew = crew_with(slots=2)
        crew.receive(tasks(0), 0.0)
        crew.ready(1, 0.0)
        assert Fork(2, "bob", 0) in crew.receive([Job(2, "bob"), step], 0.0)
        if forged is None:
            actions = crew.died(1, "exited with code 1", 0.1, stepping=(2, 0))
        else:
            actions = crew.results(1, [forged], 0.1)
        assert not [action for action in actions if isinstance(action, ToMaster)]
        assert crew.jobs[2].step_deaths == 0
        crew.ready(2, 0.2)
        assert crew.results(2, [StepDone(2, 0, "", "")], 0.2)[0] == ToMaster([StepDone(2, 0, "a", "")])


def test_cancelled_numbers_are_forgotten() -> None:
    """A long job with many cancelled tasks does not grow."""
    crew = crew_with()
    crew.receive(tasks(0), 0.0)
    crew.ready(1, 0.0)
    crew.receive(tasks(*range(1, 50)), 0.0)
    crew.receive([Cancel(1, list(range(10, 50)))], 0.1)
    assert crew.jobs[1].cancelled == set()


def test_nothing_is_kept_of_ended_tasks() -> None:
    """Neither that it was cancelled while it ran or after, nor that a death was not charged to it."""
    crew = crew_with()
    crew.receive(tasks(0), 0.0)
    crew.ready(1, 0.0)
    crew.died(1, "gone", 0.1, started=1, finished=1)
    crew.receive([Cancel(1, [0, 77])], 0.1)
    assert (crew.jobs[1].cancelled, crew.jobs[1].spared) == (set(), {})
    crew.receive(tasks(1), 0.2)
    crew.ready(1, 0.3)
    crew.receive([Cancel(1, [1])], 0.3)
    assert crew.jobs[1].cancelled == {1}
    crew.results(1, [value(1)], 0.4)
    assert crew.jobs[1].cancelled == set()
