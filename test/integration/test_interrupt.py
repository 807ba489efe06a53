"""Ctrl-C at the command line: what ran for it on a node is gone soon, since nobody waits for it any more."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.real

BOUND = 60.0  # seconds after which a test gives up; what it waits for takes four

JOB = """
import os, time
def nap(path):
    with open(path, "a") as file:
        print(os.getpid(), file=file)
    time.sleep(3600)
"""


def until(found: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + BOUND
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether no such process runs any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("way", ["exec", "exec of several", "run", "run of several"])
def test_interrupted_client_leaves_nothing_running(cluster_socket: str, tmp_path: Path, way: str) -> None:
    """The client ends at once with 130, as a shell has it, and the node kills what it was running."""
    noted, job = tmp_path / "pid", tmp_path / "job.py"
    job.write_text(JOB)
    program = ["--", "sh", "-c", f"echo $$ >>{noted}; exec sleep 3600"]
    words = {
        "exec": ["exec", *program],
        "exec of several": ["exec", "-n", "5", *program],
        "run": ["run", str(job), "nap", str(noted)],
        "run of several": ["run", "--map", "-", str(job), "nap"],
    }[way]
    command = [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", cluster_socket, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdin is not None
            client.stdin.write(f"{noted}\n")
            client.stdin.close()
            client.stdin = None
            until(lambda: noted.exists() and noted.read_text().endswith("\n"), "the task never began")
            client.send_signal(signal.SIGINT)
            _, said = client.communicate(timeout=BOUND)
        finally:
            client.kill()
    assert (client.returncode, said) == (130, "cancelled\n")
    pids = [int(line) for line in noted.read_text().splitlines()]
    until(lambda: all(map(gone, pids)), f"of the processes {pids} of the tasks some still run")
