"""Real workers, forked by a real warm process, under the supervisor; no network."""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import pickle
import signal
import sys
import time
from typing import Any

import cloudpickle
import psutil
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from asyncluster.errors import NotPicklableError, TaskError, TaskExitError
from asyncluster.model.messages import (
    STEPS,
    Cancel,
    Close,
    Code,
    CodeKind,
    Job,
    Message,
    Outcome,
    Output,
    Recall,
    Result,
    Step,
    StepDone,
    StepKind,
    Task,
)
from asyncluster.model.need import PLAIN, Need
from asyncluster.node import kin, supervisor, warm
from asyncluster.node.supervisor import Manner, Supervisor
from asyncluster.node.yielding import Step as Way
from asyncluster.programs import run_program

pytestmark = pytest.mark.real
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ME = getpass.getuser()


class TwoArguments(Exception):
    """Survives pickling, not unpickling."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def raise_cause() -> None:
    try:
        {}["absent"]
    except KeyError as error:
        raise ValueError("from inside") from error


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def fork_and_return() -> int:
    return os.fork() and 7


def write_much(size: int) -> int:
    sys.stdout.write("x" * size)
    return size


def say(text: str) -> str:
    print(text)
    print(text, file=sys.stderr)
    return text


def nap_forever() -> None:
    while True:
        time.sleep(60)


def leave_alone() -> list[int]:
    """Start a process in a session of its own, and one whose parent has ended too; their numbers."""
    import subprocess

    sleep = ["/bin/sleep", "300"]
    orphan = subprocess.run(
        ["/bin/sh", "-c", "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!"], stdout=-1, check=True
    )
    return [os.getpid(), subprocess.Popen(sleep, start_new_session=True).pid, int(orphan.stdout)]


def swell(mebibytes: int) -> None:
    held = b"x" * (mebibytes << 20)
    nap_forever()
    del held


def swell_in_a_child(mebibytes: int) -> None:
    import subprocess

    code = f"import time; held = b'x' * ({mebibytes} << 20); time.sleep(600)"
    subprocess.run(["/bin/sh", "-c", '"$0" -c "$1"; true', sys.executable, code], check=True)


def share_with_children(mebibytes: int) -> int:
    """Fork six that hold the same pages."""
    held = b"x" * (mebibytes << 20)
    children = []
    for _ in range(6):
        if not (pid := os.fork()):
            time.sleep(600)
        children.append(pid)
    time.sleep(1.5)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(held) >> 20


def gpus() -> tuple[str | None, str | None]:
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("ASYNCLUSTER_GPUS")


def who() -> tuple[int, int, list[int], str, str, str]:
    return os.getuid(), os.getgid(), os.getgroups(), os.environ["HOME"], os.environ["USER"], os.getcwd()


class WorkersTest(TestCase):
    """Each test has a node of two slots and a job."""

    timeout = 30

    def setUp(self) -> Deferred[None]:
        self.got: list[Message] = []
        self.waiting: list[tuple[Any, Deferred[None]]] = []
        self.codes: dict[object, int] = {}
        self.seq = 0
        self.children = {child.pid for child in psutil.Process().children(recursive=True)}
        return self.begin(Manner(run_tasks_as=ME, output_limit=100_000))

    def begin(self, manner: Manner, owner: str = ME, niceness: int = 0) -> Deferred[None]:
        self.node = Supervisor(reactor, "a", 2, manner, self.hear)
        ready = self.node.start()
        self.node.receive([Job(1, owner, niceness)])
        return ready

    async def begin_anew(self, manner: Manner, owner: str = ME, niceness: int = 0) -> None:
        await self.node.stop()
        self.codes.clear()
        await self.begin(manner, owner, niceness)

    async def tearDown(self) -> None:
        await self.node.stop()
        left = [child for child in psutil.Process().children(recursive=True) if child.pid not in self.children]
        assert left == [], "processes were left behind"

    def hear(self, messages: list[Message]) -> None:
        self.got.extend(messages)
        for condition, deferred in list(self.waiting):
            if condition():
                self.waiting.remove((condition, deferred))
                deferred.callback(None)

    async def until(self, condition: Any) -> None:
        if not condition():
            deferred: Deferred[None] = Deferred()
            self.waiting.append((condition, deferred))
            await deferred

    def send(self, function: Any, *args: Any, job: int = 1, need: Need = PLAIN) -> int:
        """Send a call and give its seq."""
        self.seq += 1
        messages: list[Message] = []
        key = function if need is PLAIN else (function, need)
        if key not in self.codes:
            self.codes[key] = len(self.codes)
            kind = CodeKind.NAME if isinstance(function, str) else CodeKind.FUNCTION
            payload = function.encode() if isinstance(function, str) else cloudpickle.dumps(function)
            messages.append(Code(job, self.codes[key], kind, payload, need))
        messages.append(Task(job, self.seq, 1, self.codes[key], pickle.dumps((args, {}))))
        self.node.receive(messages)
        return self.seq

    def answer(self, seq: int) -> Result | None:
        found = [m for m in self.got if isinstance(m, Result) and m.seq == seq]
        assert len(found) < 2, "answered twice"
        return found[0] if found else None

    async def result(self, seq: int) -> Result:
        await self.until(lambda: self.answer(seq))
        found = self.answer(seq)
        assert found is not None
        return found

    async def value(self, seq: int) -> Any:
        result = await self.result(seq)
        assert result.outcome == Outcome.VALUE, result.payload
        return pickle.loads(result.payload)

    async def failure(self, seq: int) -> tuple[BaseException, str]:
        result = await self.result(seq)
        assert result.outcome == Outcome.EXCEPTION, result.payload
        return pickle.loads(result.payload)

    def written(self, seq: int, stream: int) -> bytes:
        return b"".join(m.payload for m in self.got if isinstance(m, Output) and (m.seq, m.stream) == (seq, stream))

    async def test_value(self) -> None:
        """A call gives its value."""
        assert await self.value(self.send(lambda x: x * 2, 21)) == 42

    async def test_exception(self) -> None:
        """An exception keeps its type; its traceback begins in the user's code and shows the cause."""
        error, text = await self.failure(self.send(raise_cause))
        assert type(error) is ValueError
        assert "KeyError: 'absent'" in text
        assert "raise_cause" in text
        assert "node/worker.py" not in text

    async def test_exception_that_cannot_travel(self) -> None:
        """An exception that cannot be loaded again is replaced by one that names it."""

        def bad() -> None:
            raise TwoArguments("a", "b")

        error, text = await self.failure(self.send(bad))
        assert type(error) is TaskError
        assert "TwoArguments" in str(error)
        assert "TwoArguments" in text

    async def test_exit(self) -> None:
        """sys.exit ends the task, not the worker, and its code is told."""
        error, _ = await self.failure(self.send(functools.partial(sys.exit, 4)))
        assert type(error) is TaskExitError
        assert error.code == 4

    async def test_hard_exit_and_crash(self) -> None:
        """os._exit and a segmentation fault lose just that task, with code, signal and last words; others are run."""
        tasks = [self.send(os._exit, 3), self.send(crash), *(self.send(abs, -n) for n in range(20))]
        exited, crashed = await self.result(tasks[0]), await self.result(tasks[1])
        assert (exited.outcome, crashed.outcome) == (Outcome.LOST, Outcome.LOST)
        assert b"on node a exited with code 3" in exited.payload
        assert b"was killed by signal 11 (SIGSEGV)" in crashed.payload
        assert b"Segmentation fault" in crashed.payload
        assert [await self.value(seq) for seq in tasks[2:]] == list(range(20))

    async def test_unpicklable(self) -> None:
        """A lambda travels; a lock gives an error with its type and the call."""
        import threading

        made = await self.value(self.send(lambda: lambda x: x + 1))
        assert made(1) == 2
        error, _ = await self.failure(self.send(threading.Lock))
        assert type(error) is NotPicklableError
        assert "_thread.lock" in str(error)
        assert "allocate_lock()" in str(error)

    async def test_fork(self) -> None:
        """A task that forks gives one result; the child ends by itself."""
        assert await self.value(self.send(fork_and_return)) == 7
        assert await self.value(self.send(abs, -1)) == 1

    async def test_flood(self) -> None:
        """100 MB on stdout are cut at the limit with one clear line, and the reactor has its turns meanwhile."""
        turns = 0
        seq = self.send(write_much, 100_000_000)
        while self.answer(seq) is None:
            await deferLater(reactor, 0.001)
            turns += 1
        assert len(self.written(seq, 1)) == 100000
        assert b"99,900,000 more bytes" in self.written(seq, 2)
        assert b"`output limit` in [client]" in self.written(seq, 2)
        assert turns > 10

    async def test_labels(self) -> None:
        """Each line comes with the task that wrote it, its stream, node and worker, before the task's result."""
        tasks = {self.send(say, f"line {n}"): f"line {n}\n".encode() for n in range(40)}
        for seq in tasks:
            await self.result(seq)
        for seq, text in tasks.items():
            assert (self.written(seq, 1), self.written(seq, 2)) == (text, text)
            kinds = [type(m) for m in self.got if isinstance(m, Output | Result) and m.seq == seq]
            assert kinds == [Output, Output, Result]
        assert {m.place for m in self.got if isinstance(m, Output)} <= {"a/1", "a/2"}

    async def test_program(self) -> None:
        """A program's output, also without Python in between, and its exit code come back."""
        seq = self.send(run_program, ["/bin/sh", "-c", "cat; echo $MORE >&2; exit 5"], {"MORE": "yes"}, "/", b"in")
        assert await self.value(seq) == 5
        assert (self.written(seq, 1), self.written(seq, 2)) == (b"in", b"yes\n")

    async def test_killed_from_outside(self) -> None:
        """kill -9 of a worker is told as such, the slot is filled again."""
        pid = await self.value(self.send(os.getpid))
        for _ in range(2):
            self.send(time.sleep, 20)
        while self.node.running < 2:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.05)
        os.kill(pid, signal.SIGKILL)
        await self.until(lambda: any(isinstance(m, Result) and m.outcome == Outcome.LOST for m in self.got))
        lost = [m for m in self.got if isinstance(m, Result) and m.outcome == Outcome.LOST]
        assert b"signal 9 (SIGKILL)" in lost[0].payload
        assert await self.value(self.send(abs, -5)) == 5

    async def test_recall_from_busy(self) -> None:
        """What a busy worker has not begun is run by an idle one, or given back to the master; what is done is told."""
        first = [self.send(abs, -1) for _ in range(400)]
        for seq in first:
            await self.result(seq)
        napping = functools.partial(time.sleep)
        self.codes[napping] = self.codes[abs] + 1
        self.node.receive([Code(1, self.codes[napping], CodeKind.FUNCTION, cloudpickle.dumps(napping))])
        mixed = [self.send(napping, 2.0), self.send(napping, 2.0), *(self.send(napping, 0.0) for _ in range(6))]
        self.node.receive([Recall(3)])
        await self.until(lambda: sum(isinstance(m, Result) and m.outcome == Outcome.RETURNED for m in self.got) == 3)
        for seq in mixed:
            await self.result(seq)

    async def test_nothing_waits_behind_a_long_task(self) -> None:
        """A short task's result comes while a long one, sent with it, still runs."""

        def nap(seconds: float) -> float:
            time.sleep(seconds)
            return seconds

        for seq in [self.send(nap, 0.0) for _ in range(300)]:
            await self.result(seq)
        kept = range(1000, 1040)
        batch = [pickle.dumps(((300.0 if seq == 1005 else 0.0,), {})) for seq in kept]
        self.node.receive([Task(1, seq, 1, self.codes[nap], payload) for seq, payload in zip(kept, batch, strict=True)])
        for seq in kept:
            if seq != 1005:
                await self.value(seq)
        assert self.answer(1005) is None

    def stepped(self) -> list[StepDone]:
        """The node's answers about steps."""
        return [m for m in self.got if isinstance(m, StepDone) and m.step != STEPS]

    async def test_steps(self) -> None:
        """Source, update and import shape the namespace of every worker; a failing one refuses the tasks, by name."""
        source = (
            "import os\nlevel = 1\n"
            "def raise_level(by):\n    global level\n    level += by\n"
            "def ask():\n    return level, os.getpid()\n"
        )
        self.node.receive([Step(1, 0, StepKind.SOURCE, pickle.dumps(("work.py", source)))])
        self.node.receive([Step(1, 1, StepKind.UPDATE, pickle.dumps(("raise_level", (4,), {})))])
        self.node.receive([Step(1, 2, StepKind.IMPORT, b"json\ncollections.OrderedDict")])
        await self.until(lambda: len(self.stepped()) == 3)
        assert [(m.step, m.node, m.error) for m in self.stepped()] == [(0, "a", ""), (1, "a", ""), (2, "a", "")]
        answers = [await self.value(seq) for seq in [self.send("ask") for _ in range(30)]]
        assert {level for level, _ in answers} == {5}
        self.node.receive([Step(1, 3, StepKind.UPDATE, pickle.dumps(("raise_level", ("x",), {})))])
        await self.until(lambda: len(self.stepped()) == 4)
        refused = await self.result(self.send("ask"))
        assert refused.outcome == Outcome.UNPREPARED
        assert b"step 3 of the job (update by raise_level) failed: TypeError" in refused.payload
        assert b"level += by" in refused.payload

    async def test_absent_module(self) -> None:
        """A function of a module that the node lacks gives an error that says so."""
        self.node.receive([Code(1, 9, CodeKind.FUNCTION, b"cno_such_module\nf\n.")])
        self.codes["absent"] = 9
        error, _ = await self.failure(self.send("absent"))
        assert type(error) is ModuleNotFoundError
        assert "node a has no module 'no_such_module'" in str(error)

    async def test_nobody_may_adopt(self) -> None:
        """Where the system refuses that, all else goes on; the log says once what does not."""
        refuses = "from asyncluster.node import kin\ndef adopt(): raise PermissionError(1, 'it is forbidden here')\n"
        where = "from asyncluster.node.zygote import main"
        self.patch(warm, "PROGRAM", warm.PROGRAM.replace(where, f"\n{refuses}kin.adopt = adopt\n{where}"))
        with capturedLogs() as logged:
            await self.begin_anew(Manner(run_tasks_as=ME))
            assert await self.value(self.send(abs, -2)) == 2
            os.kill(self.node._warm.pid, signal.SIGKILL)
            while self.node._warm.is_warm:
                await deferLater(reactor, 0.01)
            assert await self.value(self.send(abs, -3)) == 3
        assert ["it is forbidden here" in event["error"] for event in logged if "error" in event] == [True]

    async def test_warm_process_killed(self) -> None:
        """Without its warm process the node loses what runs, says so, and works again."""
        seq = self.send(time.sleep, 20)
        while not self.node.running:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.05)
        os.kill(self.node._warm.pid, signal.SIGKILL)
        lost = await self.result(seq)
        assert lost.outcome == Outcome.LOST
        assert b"the process that forks workers ended" in lost.payload
        assert await self.value(self.send(abs, -3)) == 3

    async def test_stop_has_a_limit(self) -> None:
        """A warm process that hears nothing is killed, with the workers, and `stop` fires."""
        self.patch(supervisor, "STOP_LIMIT", 0.2)
        worker, warm = await self.value(self.send(os.getpid)), self.node._warm.pid
        os.kill(warm, signal.SIGSTOP)
        await self.node.stop()
        self.flushLoggedErrors()
        while psutil.pid_exists(warm) or (psutil.pid_exists(worker) and psutil.Process(worker).ppid() == os.getpid()):
            await deferLater(reactor, 0.01)

    async def test_closed_before_a_fork_that_fails(self) -> None:
        """A worker that could not be made and is not wanted any more is no error."""

        def refuse(*args: object) -> None:
            raise OSError(24, "Too many open files")

        await self.begin_anew(Manner(run_tasks_as=ME), niceness=1)
        await self.value(self.send(abs, -1))
        self.node.abandon()
        self.patch(supervisor, "Hand", refuse)
        await deferLater(reactor, 0.2)
        self.node.receive([Job(9, ME), Code(9, 0, 0, b""), Task(9, 1, 1, 0, b"")])
        self.node.abandon()

    async def test_drain(self) -> None:
        """A drain gives back what was not started, waits, then kills and gives back the rest."""
        tasks = [self.send(time.sleep, 20) for _ in range(8)]
        while self.node.running < 2:
            await deferLater(reactor, 0.01)
        await deferLater(reactor, 0.05)
        await self.node.drain(0.3)
        assert {(await self.result(seq)).outcome for seq in tasks} == {Outcome.RETURNED}

    async def test_next_job_gets_fresh_workers(self) -> None:
        """A worker that served a closed job is not used again: modules may have changed on disk."""
        pid = await self.value(self.send(os.getpid))
        self.node.receive([Close(1), Job(2, ME), Code(2, 0, CodeKind.FUNCTION, cloudpickle.dumps(os.getpid))])
        self.node.receive([Task(2, 900, 1, 0, pickle.dumps(((), {})))])
        assert await self.value(900) != pid

    async def test_children_die_with_the_worker(self) -> None:
        """What a task started and left is killed when its worker goes (tearDown looks)."""

        def leave_a_child() -> int:
            import subprocess

            return subprocess.Popen(["/bin/sleep", "60"]).pid

        child = await self.value(self.send(leave_a_child))
        for _ in range(2):  # both workers, one of which has the child
            self.send(os._exit, 0)
            self.send(time.sleep, 0.2)
        for _ in range(100):
            if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
                break
            await deferLater(reactor, 0.01)
        else:
            self.fail("the child lives")

    def alive(self, *pids: int) -> list[int]:
        return [pid for pid in pids if pid in kin.living(os.getpid())]

    async def until_gone(self, *pids: int) -> None:
        """The test's own limit bounds it."""
        while self.alive(*pids):
            await deferLater(reactor, 0.02)

    async def test_what_went_into_a_session_of_its_own_ends_with_its_worker(self) -> None:
        """Whether that is killed or ends by itself; what another worker's task left stays."""
        ends: list[list[int]] = []
        for _ in range(2):
            seqs = [self.send(leave_alone), self.send(time.sleep, 0.5)]
            ends.append(await self.value(seqs[0]))
            await self.result(seqs[1])
        workers = {each[0]: set() for each in ends}
        for worker, *left in ends:
            workers[worker] |= set(left)
        everybody = [pid for each in ends for pid in each]
        assert self.alive(*everybody) == everybody
        first = ends[0][0]
        others = [pid for worker, left in workers.items() if worker != first for pid in (worker, *left)]
        os.kill(first, signal.SIGKILL)
        await self.until_gone(first, *workers[first])
        assert self.alive(*others) == others
        self.node.receive([Close(1)])
        await self.until_gone(*everybody)

    async def test_what_went_into_a_session_of_its_own_ends_with_the_daemon(self) -> None:
        """It is gone when the warm process is."""
        left = await self.value(self.send(leave_alone))
        await self.node.stop()
        assert self.alive(*left) == []

    async def test_a_pause_reaches_every_session(self) -> None:
        """What a task left behind stands still as well."""
        left = await self.value(self.send(leave_alone))
        self.node.do(Way.STOP)
        await self.until_all(lambda process: process.status() == psutil.STATUS_STOPPED)
        assert set(left) <= {process.pid for process in self.processes()}
        self.node.do(Way.CONTINUE)
        await self.until_all(lambda process: process.status() != psutil.STATUS_STOPPED)

    async def test_an_endless_step_ends_with_its_job(self) -> None:
        """Its slot is another job's then, and its time is told."""
        endless = pickle.dumps(("job.py", "print('begun')\nwhile True: pass\n"))
        self.node.receive([Job(2, ME), Step(2, 0, StepKind.SOURCE, endless)])
        await self.until(lambda: any(isinstance(each, Output) and each.job == 2 for each in self.got))
        self.node.receive([Close(2)])
        await self.until(lambda: any(isinstance(each, StepDone) and each.wall > 0 for each in self.got))
        assert await self.value(self.send(abs, -3)) == 3

    async def test_a_cancelled_program_is_asked_to_end(self) -> None:
        """It has the time to clean up, and its worker does not die before it; the next task works."""
        program = "trap 'echo cleaned; exit 3' TERM; echo begun; while :; do sleep 0.05; done"
        seq = self.send(run_program, ["/bin/sh", "-c", program])
        await self.until(lambda: self.written(seq, 1))
        self.node.receive([Cancel(1, [seq], cut=True)])
        result = await self.result(seq)
        assert (result.outcome, pickle.loads(result.payload)) == (Outcome.VALUE, 3)
        assert self.written(seq, 1) == b"begun\ncleaned\n"
        assert [await self.value(self.send(abs, -n)) for n in range(9)] == list(range(9))

    async def test_a_cancelled_program_that_will_not_end_is_killed(self) -> None:
        """With its children, though they all ignore that they are asked; it is no loss."""
        program = "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"
        seq = self.send(run_program, ["/bin/sh", "-c", program])
        await self.until(lambda: self.written(seq, 1))
        child = int(self.written(seq, 1))
        self.node.receive([Cancel(1, [seq], cut=True)])
        assert (await self.result(seq)).outcome == Outcome.CANCELLED
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            await deferLater(reactor, 0.02)
        assert self.node.crew.lost == 0

    async def test_a_cancelled_call_costs_its_worker(self) -> None:
        """Python functions do not look whether they are wanted; those beside and behind it are not harmed."""
        busy = [self.send(time.sleep, 600), self.send(nap_forever)]
        others = [self.send(abs, -n) for n in range(6)]
        while self.node.running < 2:
            await deferLater(reactor, 0.01)
        self.node.receive([Cancel(1, [busy[1]], cut=True)])
        assert (await self.result(busy[1])).outcome == Outcome.CANCELLED
        assert [await self.value(seq) for seq in others] == list(range(6))
        assert self.answer(busy[0]) is None
        assert self.node.crew.lost == 0
        self.node.receive([Cancel(1, [busy[0]])])
        await deferLater(reactor, 0.2)
        assert self.answer(busy[0]) is None, "a client that does not want it any more ends nothing"

    async def over(self, seq: int, *words: bytes) -> None:
        """That task ends by its limit, which its text names; the next one works."""
        result = await self.result(seq)
        assert result.outcome == Outcome.LIMIT, (result.outcome, result.payload)
        for word in (b"task %d " % seq, b"on node a", *words):
            assert word in result.payload
        assert [await self.value(self.send(abs, -n)) for n in range(9)] == list(range(9))

    async def test_over_its_time(self) -> None:
        """A task that runs on is stopped, by name of limit and use."""
        need = Need(time_limit=0.3)
        quick, slow = self.send(abs, -3, need=need), self.send(nap_forever, need=need)
        await self.over(slow, b"ran ", b"above its time limit of 300ms")
        assert await self.value(quick) == 3

    async def test_over_its_memory(self) -> None:
        """A task that takes too much is stopped, by name of limit and use; one below its limit is not."""
        below = self.send(write_much, 10, need=Need(memory=300 << 20))
        await self.over(self.send(swell, 400, need=Need(memory=300 << 20)), b"used ", b"memory limit of 300 MiB")
        assert await self.value(below) == 10

    async def test_over_its_memory_by_a_child(self) -> None:
        """What a program takes that a task's program started is the task's; it ends with the task."""
        seq = self.send(swell_in_a_child, 400, need=Need(memory=300 << 20))
        await self.over(seq, b"used ", b"memory limit of 300 MiB")

    async def test_shared_memory_counts_once(self) -> None:
        """Children that only share what the task has do not bring it over its limit."""
        assert await self.value(self.send(share_with_children, 150, need=Need(memory=500 << 20))) == 150

    async def test_over_the_nodes_memory_limit(self) -> None:
        """The worker is lost as by a crash, and the text names limit, use and key."""
        await self.begin_anew(Manner(run_tasks_as=ME, memory_limit=300 << 20))
        lost = await self.result(self.send(swell, 400))
        assert lost.outcome == Outcome.LOST
        assert b"above the limit of 300 MiB a worker (`memory limit` in [client])" in lost.payload
        assert await self.value(self.send(abs, -5)) == 5

    async def test_gpus(self) -> None:
        """A task sees the devices that are its own; others see none where they are named, else what was there."""
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        self.addCleanup(
            lambda: os.environ.update(CUDA_VISIBLE_DEVICES=before) if before else os.environ.pop("CUDA_VISIBLE_DEVICES")
        )
        os.environ["CUDA_VISIBLE_DEVICES"] = "7"
        for hide, others in ((True, ""), (False, "7")):
            await self.begin_anew(Manner(run_tasks_as=ME, gpus=("0", "1", "GPU-x"), hide_gpus=hide))
            first = [self.send(gpus, need=Need(gpus=count)) for count in (2, 1, 3)]
            assert {await self.value(seq) for seq in first[:2]} <= {("0,1",) * 2, ("GPU-x",) * 2, ("0",) * 2}
            assert await self.value(first[2]) == ("0,1,GPU-x", "0,1,GPU-x")
            for _ in range(8):
                assert await self.value(self.send(gpus)) == (others, None)
            failed = self.send(raise_cause, need=Need(gpus=1))
            await self.failure(failed)
            for _ in range(4):
                assert await self.value(self.send(gpus)) == (others, None)

    async def test_never_more_than_fit(self) -> None:
        """A task that takes both slots runs alone, whatever else is here."""

        def when(seconds: float) -> tuple[float, float]:
            begin = time.monotonic()
            time.sleep(seconds)
            return begin, time.monotonic()

        await self.begin_anew(Manner(run_tasks_as=ME, cores=2))
        wide, plain = [], []
        for _ in range(6):
            wide.append(self.send(when, 0.02, need=Need(cores=2)))
            plain += [self.send(when, 0.01) for _ in range(3)]
        spans = [await self.value(seq) for seq in plain]
        for begin, end in [await self.value(seq) for seq in wide]:
            assert all(after >= end or before <= begin for after, before in spans)
            spans.append((begin, end))

    async def test_niceness(self) -> None:
        """A job's niceness is its workers'."""
        await self.begin_anew(Manner(run_tasks_as=ME), niceness=7)
        assert await self.value(self.send(os.nice, 0)) == os.nice(0) + 7

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the uid")
    async def test_uid(self) -> None:
        """Root's daemon runs an owner's tasks as the owner, wholly; root's own and strangers' it refuses."""
        import pwd

        nobody = pwd.getpwnam("nobody")
        groups = os.getgroups()
        self.addCleanup(os.setgroups, groups)
        os.setgroups([0, 4])  # so that we would see it if a worker kept them
        await self.begin_anew(Manner(), "nobody")
        uid, gid, groups, home, user, folder = await self.value(self.send(who))
        assert (uid, gid, home, user) == (nobody.pw_uid, nobody.pw_gid, nobody.pw_dir, "nobody")
        assert not {0, 4} & set(groups)
        assert folder != os.getcwd()
        with pytest.raises(PermissionError):
            raise (await self.failure(self.send(os.setuid, 0)))[0]
        for job, owner in ((5, "root"), (6, "no-such-user")):
            self.node.receive([Job(job, owner), Code(job, 0, 0, b""), Task(job, 900 + job, 1, 0, b"")])
            refused = await self.result(900 + job)
            assert refused.outcome == Outcome.REFUSED
            assert owner.encode() in refused.payload

    def processes(self) -> list[psutil.Process]:
        """Workers, and all that they started."""
        found = []
        for pid in [hand.pid for hand in self.node._hands.values() if hand.pid]:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, which is not known here yet
                found += [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return found

    async def until_all(self, condition: Any) -> None:
        """Of the processes; the test's own limit bounds it."""
        while not (found := self.processes()) or not all(map(condition, found)):
            await deferLater(reactor, 0.02)

    async def test_a_pause_stops_programs_too(self) -> None:
        """A worker and what its task started stand still; both are gone at once when the task is cancelled."""
        seq = self.send(swell_in_a_child, 1)
        while len(self.processes()) < 3:  # worker, shell and its child
            await deferLater(reactor, 0.02)
        self.node.do(Way.STOP)
        await self.until_all(lambda process: process.status() == psutil.STATUS_STOPPED)
        self.node.do(Way.CONTINUE)
        await self.until_all(lambda process: process.status() != psutil.STATUS_STOPPED)
        self.node.do(Way.STOP)
        self.node.receive([Cancel(1, [seq], True)])
        assert (await self.result(seq)).outcome == Outcome.CANCELLED
        self.node.do(Way.CONTINUE)
        assert await self.value(self.send(abs, -1)) == 1

    async def test_pauses_in_a_flood(self) -> None:
        """Nothing is lost by them, and nothing done twice."""
        seqs = [self.send(abs, -n) for n in range(3000)]
        for _ in range(10):
            self.node.do(Way.STOP)
            await deferLater(reactor, 0.01)
            self.node.do(Way.CONTINUE)
            await deferLater(reactor, 0.01)
        assert [await self.value(seq) for seq in seqs] == list(range(3000))

    async def test_workers_are_modest_while_somebody_is_there(self) -> None:
        """Those that come, too; afterwards they are as before, or others are where only root could do that."""
        plain = await self.value(self.send(os.getpriority, os.PRIO_PROCESS, 0))
        self.node.do(Way.BE_MODEST)
        assert await self.value(self.send(os.getpriority, os.PRIO_PROCESS, 0)) == 19
        assert (await self.result(self.send(os._exit, 3))).outcome == Outcome.LOST
        assert await self.value(self.send(os.getpriority, os.PRIO_PROCESS, 0)) == 19
        self.node.do(Way.BE_THEMSELVES)
        assert await self.value(self.send(os.getpriority, os.PRIO_PROCESS, 0)) == plain
