"""Children that tasks left behind and that have ended: each has its time until it is forgotten."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from asyncluster.node.worker import GRAVES, Worker


class Kernel:
    """Children that have ended, in the order in which `waitid` shows them."""

    def __init__(self) -> None:
        self.ended: list[int] = []

    def waitid(self, kind: int, number: int, options: int) -> object:
        """The first, which stays."""
        assert (kind, options & os.WNOWAIT) == (os.P_ALL, os.WNOWAIT)
        return SimpleNamespace(si_pid=self.ended[0]) if self.ended else None

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        """That one is forgotten."""
        assert options == os.WNOHANG
        self.ended.remove(pid)
        return pid, 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """In place of ours."""
    made = Kernel()
    monkeypatch.setattr("os.waitid", made.waitid)
    monkeypatch.setattr("os.waitpid", made.waitpid)
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
    """The one that lies there for long goes alone; another that has just ended is left to the task that wants it."""
    kernel.ended = [7]
    look(worker, GRAVES - 1)
    kernel.ended.append(8)
    look(worker, 1)
    assert kernel.ended == [8]
    look(worker, GRAVES - 1)
    assert kernel.ended == [8]
    look(worker, 1)
    assert kernel.ended == []


def test_children_that_tasks_wait_for_are_never_taken(kernel: Kernel, worker: Worker) -> None:
    """There is one at each look, but always another."""
    for pid in range(10, 10 + 2 * GRAVES):
        kernel.ended = [pid]
        look(worker, 1)
        assert kernel.ended == [pid]
