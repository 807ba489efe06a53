"""Children that tasks left behind and that have ended: each has its time until it is forgotten."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from asyncluster.node.worker import GRAVES, Worker


class Kernel:
    """Children: those that have ended, in the order in which `waitid` shows them, and others."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.alive: list[int] = []

    def waitid(self, kind: int, number: int, options: int) -> object:
        """The first, or that one; it stays."""
        assert options & os.WNOWAIT
        found = [each for each in self.ended if kind == os.P_ALL or each == number]
        if not found and number not in (0, *self.alive):
            raise ChildProcessError
        return SimpleNamespace(si_pid=found[0]) if found else None

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        """That one is forgotten."""
        assert options == os.WNOHANG
        self.ended.remove(pid)
        return pid, 0

    def children(self, _: int) -> list[int]:
        """As /proc tells."""
        return [*self.alive, *self.ended, 99]  # one is gone already


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """In place of ours."""
    made = Kernel()
    monkeypatch.setattr("os.waitid", made.waitid)
    monkeypatch.setattr("os.waitpid", made.waitpid)
    monkeypatch.setattr("asyncluster.node.kin.children", made.children)
    return made


@pytest.fixture
def worker() -> Worker:
    """One that is never run."""
    ours, _ = socket.socketpair()
    return Worker(ours, memoryview(bytearray(64)), "a")


def look(worker: Worker, times: int) -> None:
    for _ in range(times):
        worker.bury()


def test_each_child_has_its_own_time(kernel: Kernel, worker: Worker) -> None:
    """Those that lie there for long go; another that has just ended is left to the task that wants it."""
    kernel.alive = [6]
    kernel.ended = [7, 8]
    look(worker, 2 * GRAVES - 1)
    kernel.ended.append(9)
    assert kernel.ended == [7, 8, 9]
    look(worker, 1)
    assert kernel.ended == [9]
    look(worker, GRAVES - 1)
    assert kernel.ended == [9]
    look(worker, 1)
    assert kernel.ended == []


@pytest.mark.parametrize("told", [True, False])
def test_children_that_tasks_wait_for_are_never_taken(
    kernel: Kernel, worker: Worker, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one at each look, but always another; also where no /proc tells of them."""
    if not told:
        monkeypatch.setattr("asyncluster.node.kin.children", lambda _: [])
    for pid in range(100, 100 + 3 * GRAVES):
        kernel.ended = [pid]
        look(worker, 1)
        assert kernel.ended == [pid]


def test_a_number_that_another_child_has_now_is_not_taken(kernel: Kernel, worker: Worker) -> None:
    """Its time begins anew when nobody lay there in between."""
    kernel.ended = [7]
    look(worker, GRAVES)
    kernel.ended = []
    look(worker, 1)
    kernel.ended = [7]
    look(worker, GRAVES)
    assert kernel.ended == [7]


def test_without_proc_the_first_that_lies_there_is_buried(
    kernel: Kernel, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells of the others."""
    monkeypatch.setattr("asyncluster.node.kin.children", lambda _: [])
    kernel.ended = [7, 8]
    look(worker, 2 * GRAVES)
    assert kernel.ended == [8]


LEAVES_ONE_EACH = """
import os, socket
from asyncluster.node import kin, worker

worker.GRAVES = 10
kin.adopt()
made = worker.Worker(socket.socketpair()[0], memoryview(bytearray(64)), "a")
most = 0
for _ in range(100):
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:  # a task that has something done by a process that nobody waits for
        if os.fork():
            os._exit(0)
        os.write(theirs, b"%d" % os.getpid())
        os._exit(0)
    os.waitpid(child, 0)
    left = int(os.read(ours, 10))
    os.close(ours), os.close(theirs)
    os.waitid(os.P_PID, left, os.WEXITED | os.WNOWAIT)  # it is ours, and has ended
    made.bury()
    most = max(most, sum(map(kin.has_ended, kin.children(os.getpid()))))
print(most)
"""


@pytest.mark.real
def test_tasks_that_leave_one_each_do_not_pile_them_up() -> None:
    """Of a hundred that were adopted and have ended, twice as many are there at most as each has looks to wait."""
    done = subprocess.run([sys.executable, "-c", LEAVES_ONE_EACH], check=True, capture_output=True, text=True)
    assert 10 <= int(done.stdout) <= 20
