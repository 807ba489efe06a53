"""A master for the life of a program: quick to start, and gone with the program however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncluster.node.kin import has_ended

pytestmark = pytest.mark.real

START = """
import os, sys, time
from asyncluster.personal import start_embedded
embedded = start_embedded(1)
print(embedded.socket, *[process.pid for process in embedded.processes], flush=True)
"""


def gone(pids: list[int], seconds: float = 60) -> bool:
    """Whether these processes end in that time."""
    deadline = time.monotonic() + seconds
    left = pids
    while time.monotonic() < deadline:
        left = [pid for pid in pids if not has_ended(pid)]
        if not left:
            return True
        time.sleep(0.05)
    for pid in left:  # a failed test leaves nothing behind either
        os.kill(pid, signal.SIGKILL)
    return False


def start(rest: str, tmp_path: Path) -> tuple[subprocess.Popen[str], str, list[int]]:
    """A program that has started a cluster and then does the rest."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
    environ |= {"TMPDIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    program = subprocess.Popen(
        [sys.executable, "-P", "-c", START + rest],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    path, *pids = program.stdout.readline().split()
    return program, path, [int(pid) for pid in pids]


def finish(program: subprocess.Popen[str]) -> None:
    """Collect it."""
    program.communicate(timeout=60)


def test_ends_with_the_program(tmp_path: Path) -> None:
    """A program that simply ends takes both services and all files with it."""
    program, path, pids = start("", tmp_path)
    finish(program)
    assert gone(pids)
    assert not Path(path).parent.exists()


def test_ends_when_the_program_is_killed(tmp_path: Path) -> None:
    """kill -9 of the program ends both services; the next start sweeps the files."""
    program, path, pids = start("sys.stdin.read()", tmp_path)
    program.send_signal(signal.SIGKILL)
    finish(program)
    assert gone(pids)
    folder = Path(path).parent
    program, _path, pids = start("", tmp_path)
    finish(program)
    assert not folder.exists()
    assert gone(pids)


def test_a_forked_child_keeps_nothing_alive(tmp_path: Path) -> None:
    """The program dies, its forked child lives on: the services end all the same."""
    rest = "if os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(60)\nsys.stdin.read()"
    program, _path, pids = start(rest, tmp_path)
    assert program.stdout is not None
    child = int(program.stdout.readline())
    try:
        program.send_signal(signal.SIGKILL)
        assert gone(pids)
    finally:
        os.kill(child, signal.SIGKILL)
        finish(program)


def test_first_result_comes_soon(tmp_path: Path) -> None:
    """From `Cluster()` with nothing running to the first result; the limit here leaves room for a loaded machine."""
    code = (
        "import time; began = time.monotonic()\n"
        "from asyncluster import Cluster\n"
        "with Cluster() as cluster: cluster.submit(abs, -1).result()\n"
        "print(time.monotonic() - began)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
    environ |= {"TMPDIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert float(found.stdout) < 10
