"""Processes are killed and cables cut while work goes on: each task gives one result, and hardly any runs twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from asyncluster import AsynClusterError, Cluster, LinkLostError
from asyncluster.client.attach import Jobs
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real
LIMIT = 90

EAGER = {"retry every": "1s"}
"""A node that looks for its master more often than people want."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A master and two nodes of this test's own."""
    with Site(tmp_path) as made:
        made.start_master()
        made.start_node("a", client=EAGER)
        made.start_node("b", client=EAGER)
        yield made


def noting(log: Path, seconds: float) -> Callable[[int], int]:
    """A function that leaves a line for each time it runs."""

    def note(number: int) -> int:
        time.sleep(seconds)
        with log.open("a") as file:
            file.write(f"{number}\n")
        return number * number

    return note


def runs(log: Path) -> Counter[int]:
    """How often each number was run."""
    return Counter(map(int, log.read_text().split()))


def test_a_master_is_killed_and_another_takes_over(site: Site, tmp_path: Path) -> None:
    """Twice: what was queued is done, what ran meanwhile is handed over and not run again, the client goes on."""
    log = tmp_path / "log"
    note = noting(log, 0.02)
    with Cluster(socket=site.socket, output=None) as cluster:
        futures = [cluster.submit(note, number) for number in range(400)]
        for done in (100, 250):
            until(lambda done=done: sum(future.done() for future in futures) >= done, limit=LIMIT)  # type: ignore[misc]  # bound now
            site.daemons[0].process.kill()
            site.daemons[0].process.wait()
            late = [cluster.submit(note, number) for number in range(400 + done, 410 + done)]
            site.daemons.insert(0, site.start_master())
            assert [future.result(LIMIT) for future in late] == [number**2 for number in range(400 + done, 410 + done)]
        assert [future.result(LIMIT) for future in futures] == [number**2 for number in range(400)]
    assert runs(log) == Counter([*range(400), *range(500, 510), *range(650, 660)])


def test_what_programs_write_while_the_master_is_away(site: Site, tmp_path: Path) -> None:
    """Of one that goes on and one that has ended before there is a master again: all comes, in order, exit code 0."""
    turn, ended = tmp_path / "turn", tmp_path / "ended"
    long = f"echo begin; while ! [ -e {turn} ]; do sleep 0.05; done; echo while; touch {ended}.long; sleep 1; echo end"
    short = f"while ! [ -e {turn} ]; do sleep 0.05; done; echo short; touch {ended}.short"
    command = [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", site.socket, "exec", "--", "sh", "-c"]
    programs = [
        subprocess.Popen([*command, text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for text in (long, short)
    ]
    with Jobs(socket=site.socket) as jobs:
        until(lambda: sum(view.running for view in jobs.all()) == 2, limit=LIMIT)
    assert programs[0].stdout is not None
    assert programs[0].stdout.readline() == "begin\n"
    site.daemons[0].stop(signal.SIGKILL)
    turn.touch()
    until(lambda: Path(f"{ended}.long").exists() and Path(f"{ended}.short").exists(), limit=LIMIT)
    site.daemons.insert(0, site.start_master())
    told = [(program.communicate(timeout=LIMIT)[0], program.returncode) for program in programs]
    assert told == [("while\nend\n", 0), ("short\n", 0)]


def test_steps_and_code_survive_a_master(site: Site) -> None:
    """A job's source and updates are there for the next master's nodes, too."""
    with Cluster(socket=site.socket, output=None) as cluster:
        assert cluster.submit(pow, 2, 5).result(LIMIT) == 32
        site.daemons[0].process.kill()
        site.daemons[0].process.wait()
        site.daemons.insert(0, site.start_master())
        assert cluster.submit(pow, 2, 6).result(LIMIT) == 64  # its function was shipped to the first master
        site.start_node("c")
        site.daemons[1].process.kill()
        assert list(cluster.map(pow, [2, 3], [2, 2])) == [4, 9]


def test_a_client_that_asked_for_no_reconnection(site: Site) -> None:
    """It is told at once; its job ends with its link."""
    with Cluster(socket=site.socket, reconnect=0) as cluster:
        waiting = [cluster.submit(time.sleep, 300) for _ in range(4)]
        site.daemons[0].process.kill()
        with pytest.raises(LinkLostError):
            waiting[-1].result(LIMIT)


def test_a_job_that_is_not_durable(site: Site) -> None:
    """The next master does not know it, which its client is told."""
    with Cluster(socket=site.socket, durable=False, output=None) as cluster:
        waiting = [cluster.submit(time.sleep, 300) for _ in range(4)]
        until(lambda: cluster.status()["running"], limit=LIMIT)
        site.daemons[0].process.kill()
        site.daemons[0].process.wait()
        site.daemons.insert(0, site.start_master())
        with pytest.raises(AsynClusterError):
            waiting[-1].result(LIMIT)


def test_nodes_and_workers_are_killed(site: Site, tmp_path: Path) -> None:
    """What they had is done by others; each task gives one result."""
    log = tmp_path / "log"
    note = noting(log, 0.02)
    with Cluster(socket=site.socket, crash_limit=10, output=None) as cluster:
        futures = [cluster.submit(note, number) for number in range(300)]
        until(lambda: sum(future.done() for future in futures) >= 50, limit=LIMIT)
        workers = [
            child
            for child in psutil.Process(site.daemons[2].pid).children(recursive=True)
            if child.ppid() != site.daemons[2].pid
        ]
        workers[0].kill()
        until(lambda: sum(future.done() for future in futures) >= 100, limit=LIMIT)
        site.daemons[1].process.kill()
        assert [future.result(LIMIT) for future in futures] == [number**2 for number in range(300)]
    assert runs(log).keys() == set(range(300))
