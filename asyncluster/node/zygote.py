"""The warm process: imports once what workers need, and forks one on request within milliseconds.

Single-threaded and without Twisted.  Orders come as packets on an inherited socket, with the
descriptors of the new worker beside them; answers go the same way.

A worker adopts what its tasks leave behind, and we what a worker leaves behind when it ends: so whoever is our child
and no worker had one that has ended, and is killed.  When the socket closes (the daemon ended, in whatever way) all
workers and what they started are killed.  Only what has become another user (by a program with the setuid bit) escapes,
where we are not root; what lives in a session of its own when we ourselves are killed, or where the system lets nobody
adopt: there the rest works as ever.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import os
import random
import select
import signal
import socket
import sys
import time
import types

import msgspec

from asyncluster.node import kin, worker
from asyncluster.node.becoming import become, leave_no_core
from asyncluster.node.limits import Limit, apply
from asyncluster.node.words import SIZE

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # a slot is one core, unless told otherwise
MOST_OPEN = 1 << 16  # a descriptor's number is lower: the warm process holds few
END_LIMIT = 5.0  # seconds for which what was killed is waited for at the end
SET_UP_FAILED = 71  # exit code of a worker that could not become its owner


class ForkOrder(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Fork a worker; four descriptors come with it: task socket, stdout, stderr, shared memory."""

    life: int  # names this process from now on
    slot: int
    node: str
    niceness: int
    change: bool
    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str
    folder: str  # to work in; "" = home, or where the daemon is
    hide_gpus: bool = False
    limits: tuple[Limit, ...] = ()  # when the uid changes


class KillOrder(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Kill a worker and all that it started."""

    life: int


class TerminateOrder(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Ask a worker and all that it started to end."""

    life: int


class NudgeOrder(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Have a worker send the results it holds."""

    life: int


class SignalOrder(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """Send that signal to a worker and all that it started."""

    life: int
    number: int


class Warm(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The first answer: orders are welcome.  refused: why nobody can adopt here, see `kin.adopt`; "" where one can."""

    pid: int
    refused: str = ""


class Forked(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A worker was forked."""

    life: int
    pid: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """A worker could not be forked."""

    life: int
    reason: str


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A worker is gone; `status` as from waitpid."""

    life: int
    status: int


Order = ForkOrder | KillOrder | TerminateOrder | NudgeOrder | SignalOrder
Answer = Warm | Forked | Failed | Ended

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


class Zygote:
    """The loop."""

    def __init__(self, control: socket.socket, refused: str = "") -> None:
        self.control, self.refused = control, refused
        self.lives: dict[int, int] = {}  # pid -> life
        self.pids: dict[int, int] = {}  # life -> pid
        self.woken, self.waker = socket.socketpair()

    def run(self) -> None:
        """Obey until the daemon is gone."""
        self.woken.setblocking(False)
        self.waker.setblocking(False)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # ours to end when the daemon does
            signal.signal(ignored, signal.SIG_IGN)
        self.answer(Warm(os.getpid(), self.refused))
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self.woken.fileno() in ready:
                self.woken.recv(4096)
                self.reap()
            if self.control.fileno() in ready and not self.obey():
                return

    def answer(self, answer: Answer) -> None:
        """Tell the daemon; when it cannot hear, the loop finds out."""
        with contextlib.suppress(OSError):
            self.control.sendall(encode(answer))

    def obey(self) -> bool:
        """One order; False: the daemon is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, 1 << 16, 4)
        except OSError:
            return False
        if not data:
            return False
        order = decode_order(data)
        if isinstance(order, ForkOrder):
            self.fork(order, descriptors)
        elif order.life in self.pids:
            pid = self.pids[order.life]
            if isinstance(order, KillOrder):
                kin.signal_group(pid, signal.SIGKILL)  # `reap` sees to the rest
            elif isinstance(order, TerminateOrder):
                kin.signal_family(pid, signal.SIGTERM)
            elif isinstance(order, SignalOrder):
                kin.signal_family(pid, signal.Signals(order.number))
            else:
                os.kill(pid, worker.NUDGE)
        return True

    def fork(self, order: ForkOrder, descriptors: list[int]) -> None:
        """Fork a worker and tell how that went."""
        try:
            parent = os.getpid()
            pid = os.fork()
        except OSError as error:
            self.answer(Failed(order.life, f"cannot fork: {error.strerror}"))
        else:
            if pid == 0:
                self.become(order, descriptors, parent)
            self.pids[order.life], self.lives[pid] = pid, order.life
            self.answer(Forked(order.life, pid))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def reap(self) -> bool:
        """Tell of each worker that ended, and kill what it left behind; whether anybody is left.

        What that one has left behind is ours before we are told of its end, so we come here again for it.
        """
        while True:
            # Killing its group before it is reaped: until then its number cannot be another's.
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            if info is None:
                break
            pid = info.si_pid
            life = self.lives.pop(pid, None)
            if life is not None:
                kin.signal_group(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if life is not None:
                del self.pids[life]
                self.answer(Ended(life, status))
        for pid in kin.children(os.getpid()):
            if pid not in self.lives:
                kin.signal_one(pid, signal.SIGKILL)
        return True

    def end(self) -> None:
        """Kill all workers and what they started."""
        for pid in self.lives:
            kin.signal_group(pid, signal.SIGKILL)
        deadline = time.monotonic() + END_LIMIT
        while self.reap() and (left := deadline - time.monotonic()) > 0:
            select.select([self.woken], [], [], left)
            with contextlib.suppress(BlockingIOError):
                self.woken.recv(4096)

    def become(self, order: ForkOrder, descriptors: list[int], parent: int) -> None:
        """In the child: turn into the worker; never returns."""
        code = SET_UP_FAILED
        try:
            os.dup2(descriptors[2], 2)
            sock, words = self.set_up(order, descriptors, parent)
            code = 70
            worker.main(sock, words, order.node)
        except BaseException as error:  # the daemon shows it as the tail of the dead worker's stderr
            os.write(2, f"cannot become a worker for {order.name}: {error}\n".encode())
        finally:
            os._exit(code)

    def set_up(self, order: ForkOrder, descriptors: list[int], parent: int) -> tuple[socket.socket, memoryview]:
        """Descriptors, identity, environment, signals."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        task_fd, out_fd, err_fd, memory_fd = descriptors
        if order.change:
            for descriptor in (out_fd, err_fd):
                os.fchown(descriptor, order.uid, order.gid)  # so that /dev/stdout can be opened
        words = memoryview(mmap.mmap(memory_fd, SIZE)).cast("Q")
        sock = socket.socket(fileno=os.dup(task_fd))
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out_fd, 1)):
            os.dup2(source, target)
        top = sock.fileno()
        os.closerange(3, top)
        os.closerange(top + 1, MOST_OPEN)
        self.control.detach(), self.woken.detach(), self.waker.detach()
        self.take_identity(order)
        with contextlib.suppress(OSError):  # the daemon was told that it is refused here
            kin.adopt()
        if not kin.die_with(parent):
            os._exit(0)
        faulthandler.enable(2)
        random.seed()
        sys.argv = [""]
        sys.modules["__main__"] = types.ModuleType("__main__")
        return sock, words

    def take_identity(self, order: ForkOrder) -> None:
        """Whose we are, in uid, limits, environment and folder."""
        if order.niceness:
            os.nice(order.niceness)
        extra = {"ASYNCLUSTER_NODE": order.node, "ASYNCLUSTER_WORKER": str(order.slot)}
        if order.hide_gpus:
            extra["CUDA_VISIBLE_DEVICES"] = ""
        if order.change:
            apply(order.limits)
        leave_no_core()  # whatever these say: a task may raise it again
        if order.change:
            become(order)
        os.environ.update(extra)
        for name in ONE_THREAD:
            os.environ.setdefault(name, "1")
        for folder in (order.folder, order.home if order.change else "", "/" if order.change else ""):
            if folder and os.path.isdir(folder) and os.access(folder, os.X_OK):
                os.chdir(folder)
                break


def main(descriptor: int) -> None:
    """Be the warm process on that control socket."""
    refused = ""
    try:
        kin.adopt()
    except OSError as error:
        refused = str(error)
    zygote = Zygote(socket.socket(fileno=descriptor), refused)
    gc.collect()
    gc.freeze()
    try:
        zygote.run()
    finally:
        zygote.end()
