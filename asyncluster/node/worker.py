"""The process that runs tasks, one after the other: a blocking loop on one socket, without Twisted.

Forked by `zygote`.  Reads frames of Job, Code, Step, Value, Task, Devices, Forget and Close; writes frames of
Result and StepDone, in the order of what it was sent.  What it knows of the daemon beside that is four words of
shared memory (`words`; `crew` says why they need no lock).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import io
import os
import signal
import socket
import sys
import termios
import time
import traceback
from typing import Any

from asyncluster.model.messages import (
    Beat,
    Close,
    Code,
    Forget,
    Job,
    Message,
    Outcome,
    Result,
    Step,
    StepDone,
    Task,
    Value,
)
from asyncluster.node import kin
from asyncluster.node.devices import Devices, Told, decode_told, view_told
from asyncluster.node.frames import LARGE_FRAME, Unframer, frames
from asyncluster.node.namespace import Call, Namespace, StepBrokenError
from asyncluster.node.pickles import dump_exception, dump_result
from asyncluster.node.words import FINISHED, HEARD, SKIP, STARTED, STEPPING, mark_step

FLUSH = 2_000_000  # nanoseconds that results are gathered at most
FULL = 1 << 20  # payload bytes after which results are sent at once
ALONE = LARGE_FRAME // 2  # bytes of a result above which it has a frame of its own
LOOK = 1_000_000  # nanoseconds from which on a task may have written by other ways than Python's
GRAVES = 100  # looks at which a child's end waits at least to be noticed before we do, and at most twice as many
WHO_ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT
SETTLE = 5.0  # seconds to wait at most until the daemon has dealt with what was written
NUDGE = signal.SIGRTMIN + 7  # the daemon asks for results that a long task holds up
RECEIVE, MUCH = 1 << 16, 1 << 20  # bytes asked for at a time; a socket holds no more than that


class Tap(io.FileIO):
    """A file descriptor that remembers whether it was written to."""

    dirty = False

    def write(self, data: Any) -> int:
        """As FileIO."""
        Tap.dirty = True
        return super().write(data)


def text_stream(descriptor: int) -> io.TextIOWrapper:
    """Give a line-buffered stdout or stderr on that descriptor."""
    raw = Tap(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


class Worker:
    """One worker: `sock` to the daemon, `words` shared with it."""

    def __init__(self, sock: socket.socket, words: memoryview, node: str) -> None:
        self.sock, self.words, self.node = sock, words, node
        self.jobs: dict[int, Namespace] = {}
        self.answers: list[Message] = []
        self.size = 0  # payload bytes in `answers`
        self.frames = 0  # sent so far
        self.flushed = time.perf_counter_ns()
        self.index = 0
        self.pid = os.getpid()
        self.in_task = False
        self.call: Call | None = None
        self.call_key = (-1, -1)
        self.streams = (sys.stdout, sys.stderr)
        self.libc = ctypes.CDLL(None)
        self.pending = bytearray(4)
        self.unburied = 0  # looks at which children lay there that have ended, since we went to all of them
        self.ended: set[int] = set()  # those that did then
        self.home = os.getcwd()
        self.folder = self.home
        self.gpus = os.environ.get("CUDA_VISIBLE_DEVICES")

    def run(self) -> None:
        """Work until the daemon closes the socket."""
        signal.signal(NUDGE, self._nudged)
        self.answers.append(Beat(self.pid))
        self.flush()
        unframer = Unframer()
        while data := self.sock.recv(max(RECEIVE, min(unframer.lacking, MUCH))):
            for batch in unframer.feed(data):
                for message in decode_told(batch) if type(batch) is bytes else view_told(batch):  # type: ignore[arg-type]  # memory always has room
                    if type(message) is Task:
                        self.task(message)
                    else:
                        self.control(message)
                self.flush()

    def flush(self) -> None:
        """Send what was answered."""
        answers = self.answers
        if answers:
            self.answers, self.size = [], 0
            self.frames += 1
            for piece in frames(answers):
                self.sock.sendall(piece)
        self.flushed = time.perf_counter_ns()

    def task(self, task: Task) -> None:
        """Run one task, or give it back when the daemon wants that."""
        self.index = index = self.index + 1
        words = self.words
        if index <= words[SKIP]:
            self.answers.append(Result(task.job, task.seq, task.attempt, Outcome.RETURNED, b""))
            return
        key = (task.job, task.code)
        if key != self.call_key:
            self.flush()  # how long this one takes is not known: hold nothing up
            self.enter(task.job)
            self.call, self.call_key = None, key
        words[STARTED] = index
        if index <= words[SKIP]:  # the second look that `crew` explains
            words[FINISHED] = index
            self.answers.append(Result(task.job, task.seq, task.attempt, Outcome.RETURNED, b""))
            return
        begin = time.perf_counter_ns()
        self.in_task = True
        try:
            call = self.call
            if call is None:
                self.call = call = self.jobs[task.job].call(task.code)
            arguments = self.jobs[task.job].load(task.payload, "an argument")
            if type(arguments) is list:  # values of other tasks are among them
                arguments = self.jobs[task.job].fill_in(task.payload, arguments)
            args, kwargs = arguments
            del arguments
            value = call(*args, **kwargs)
            if os.getpid() != self.pid:
                leave(0)
            payload = dump_result(value, name_of(call))
            del value, args, kwargs
            outcome = Outcome.VALUE
        except BaseException as error:  # whatever a task raises is its result
            if os.getpid() != self.pid:
                leave_raising(error)
            outcome, payload = self.failed(task, error)
        self.in_task = False
        end = time.perf_counter_ns()
        words[FINISHED] = index
        if len(payload) > ALONE:
            self.flush()
        self.answers.append(Result(task.job, task.seq, task.attempt, outcome, payload, (end - begin) // 1000))
        self.size += len(payload)
        self.written(end - begin >= LOOK)
        if end - self.flushed >= FLUSH or self.size > FULL or len(payload) > ALONE:
            self.flush()

    def enter(self, job: int) -> None:
        """Go to the folder of the job, so that relative paths mean what they mean to who made it."""
        folder = self.jobs[job].folder or self.home
        if folder == self.folder:
            return
        self.folder = folder
        try:
            os.chdir(folder)
        except OSError:  # it is not on this machine, or not for this user
            os.chdir(self.home)

    def failed(self, task: Task, error: BaseException) -> tuple[Outcome, bytes]:
        """Give the outcome of a task that raised."""
        if isinstance(error, StepBrokenError):
            return Outcome.UNPREPARED, str(error).encode("utf-8", "replace")
        name = name_of(self.call) if self.call is not None else f"code {task.code}"
        return Outcome.EXCEPTION, dump_exception(error, name)

    def control(self, message: Told) -> None:
        """Anything but a task."""
        if isinstance(message, Job):
            self.jobs[message.job] = Namespace(message, self.node)
        elif isinstance(message, Code):
            self.jobs[message.job].add(message)
            self.call_key = (-1, -1)
        elif isinstance(message, Step):
            self.flush()
            self.enter(message.job)
            self.words[STEPPING] = mark_step(message.job, message.step)
            begin = time.perf_counter_ns()
            error = self.jobs[message.job].apply(message)
            wall = (time.perf_counter_ns() - begin) // 1000
            if os.getpid() != self.pid:
                leave(0)
            self.answers.append(StepDone(message.job, message.step, "", error, wall))
            self.written(True)
            self.words[STEPPING] = 0
            self.call_key = (-1, -1)  # a name may mean another thing now
        elif isinstance(message, Devices):
            self.show(message.ids)
        elif isinstance(message, Value):
            self.jobs[message.job].values[message.seq] = message.payload
        elif isinstance(message, Forget):
            for seq in message.seqs:
                self.jobs[message.job].values.pop(seq, None)
        elif isinstance(message, Close) and message.job in self.jobs:
            self.jobs.pop(message.job).forget()

    def show(self, gpus: tuple[str, ...]) -> None:
        """Have the next task see these devices; none: what this worker began with."""
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["ASYNCLUSTER_GPUS"] = ",".join(gpus)
            return
        os.environ.pop("ASYNCLUSTER_GPUS", None)
        if self.gpus is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus

    def written(self, look: bool) -> None:
        """See that the daemon has what the task wrote, and knows whose it is, before the next one starts.

        That takes a round trip, so only after a task that wrote (or, when it took long enough to have
        written by other ways than Python's, left something in a pipe).
        """
        for stream in self.streams:
            try:
                stream.flush()
            except (OSError, ValueError):  # the task closed it
                reopen(self)
                break
        if look:
            self.libc.fflush(None)
            self.bury()
        if Tap.dirty or (look and self.unread()):
            Tap.dirty = False
            self.flush()
            deadline = time.monotonic() + SETTLE
            while self.words[HEARD] < self.frames and time.monotonic() < deadline:
                time.sleep(0.00005)

    def bury(self) -> None:
        """Forget those that tasks left behind (`zygote` says why they are our children) and that have ended.

        Nobody asks how they did; but of our own children a later task may, so each is given the time.  A job whose
        every task leaves one has twice GRAVES of them here at most.
        """
        shown = ended(os.P_ALL, 0)
        if not shown:
            self.unburied, self.ended = 0, set()
            return
        self.unburied += 1
        if self.unburied < GRAVES:
            return
        self.unburied = 0
        # the one that we were shown, too: where no /proc is, it is all that we know of
        now = {pid for pid in {shown, *kin.children(self.pid)} if ended(os.P_PID, pid)}
        for pid in now & self.ended:
            with contextlib.suppress(ChildProcessError):  # a thread of a task has just asked
                os.waitpid(pid, os.WNOHANG)
        self.ended = now - self.ended

    def unread(self) -> bool:
        """Whether the daemon has not read all that was written."""
        for descriptor in (1, 2):
            try:
                fcntl.ioctl(descriptor, termios.FIONREAD, self.pending)
            except OSError:  # the task replaced the descriptor
                continue
            if any(self.pending):
                return True
        return False

    def _nudged(self, number: int, stack: object) -> None:
        """Results wait behind a long task: send them from inside it.  Elsewhere the loop sends them soon."""
        if self.in_task and self.answers and os.getpid() == self.pid:
            self.flush()


def ended(kind: int, number: int) -> int:
    """A child of ours that has ended and that nobody has asked about, of those that `waitid` is to look at; 0: none."""
    try:
        found = os.waitid(kind, number, WHO_ENDED)
    except ChildProcessError:
        return 0
    return 0 if found is None else found.si_pid


def name_of(call: object) -> str:
    """Give the name of a function for messages; partials are looked into."""
    for _ in range(4):
        if (inner := getattr(call, "func", None)) is None:
            break
        arguments = getattr(call, "args", ())
        call = arguments[0] if arguments and callable(arguments[0]) else inner
    return f"{getattr(call, '__qualname__', type(call).__qualname__)}()"


def reopen(worker: Worker) -> None:
    """Make stdout and stderr anew."""
    sys.stdout, sys.stderr = worker.streams = (text_stream(1), text_stream(2))


def leave(code: int) -> None:
    """End a process that a task forked and that came back from the task."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)


def leave_raising(error: BaseException) -> None:
    """The same, for one that came back by an exception."""
    if isinstance(error, SystemExit):
        leave(error.code if isinstance(error.code, int) else int(error.code is not None))
    traceback.print_exception(error)
    leave(1)


def main(sock: socket.socket, words: memoryview, node: str) -> None:
    """Be a worker on these until the daemon goes; never returns."""
    sys.stdout, sys.stderr = text_stream(1), text_stream(2)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)  # typed as final, but they are another process's
    gc.enable()
    code = 0
    try:
        Worker(sock, words, node).run()
    except OSError:
        pass  # the daemon is gone
    except BaseException:  # the daemon shows it as the tail of what we wrote
        traceback.print_exc()
        code = 70
    leave(code)
