"""Ctrl-C at the command line: what ran for it on a node is gone soon, since nobody waits for it any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from asyncluster import Cluster
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real

BOUND = 60.0  # seconds after which a test gives up; what it waits for takes four

JOB = """
import os, time
def nap(path):
    with open(path, "a") as file:
        print(os.getpid(), file=file)
    time.sleep(3600)
"""


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


def ending(cluster_socket: str, folder: Path, last: str) -> subprocess.Popen[str]:
    """A program that has handed in calls, holds its Cluster, and comes to its end by that line."""
    source = f"""
import sys, time
from pathlib import Path
from asyncluster import Cluster

def touch(folder, number, seconds):
    Path(folder, str(number)).touch()
    time.sleep(seconds)
    Path(folder, f"{{number}} ended").touch()

cluster = Cluster(socket={cluster_socket!r}, output=None)
{last}
"""
    command = [sys.executable, "-P", "-c", source, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", ["", "cluster.shutdown(wait=False)", "del cluster"])
def test_a_program_that_ends_waits_for_its_calls(cluster_socket: str, tmp_path: Path, end: str) -> None:
    """As with any executor, also where nothing was shut down."""
    calls = "futures = [cluster.submit(touch, sys.argv[1], number, 0.1) for number in range(8)]\n"
    with ending(cluster_socket, tmp_path, calls + end) as program:
        _, told = program.communicate(timeout=BOUND)
    assert (program.returncode, told) == (0, "")
    assert len(list(tmp_path.glob("* ended"))) == 8


@pytest.mark.parametrize("end", ["", "time.sleep(3600)"])
def test_ctrl_c_does_not_wait(cluster_socket: str, tmp_path: Path, end: str) -> None:
    """While the program waits at its end, and before it: what has not ended is cancelled."""
    calls = "futures = [cluster.submit(touch, sys.argv[1], number, 3600) for number in range(9)]\n"
    with ending(cluster_socket, tmp_path, calls + end) as program:
        until(lambda: len(list(tmp_path.iterdir())) == 2, "the calls began")
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=BOUND)
    assert "asyncluster: interrupted" in told or "KeyboardInterrupt" in told
    with Cluster(socket=cluster_socket, output=None) as cluster:
        until(lambda: sum(node.running for node in cluster.nodes()) == 0, "nothing runs any more")
    assert len(list(tmp_path.iterdir())) == 2
