"""Jobs that nobody waits for, on a real cluster: handed in, found again from other processes, through a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import asyncluster
from asyncluster import Cluster, JobClosedError, RefusedError
from asyncluster.client.attach import Jobs
from asyncluster.testing.site import Site

pytestmark = pytest.mark.real

Type = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A master and two nodes."""
    with Site(tmp_path_factory.mktemp("jobs")) as site:
        site.start_master()
        site.start_node("a")
        site.start_node("b")
        yield site


@pytest.fixture
def typed(place: Site, tmp_path: Path) -> Type:
    """Type a command line in a folder of its own, wait for its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
    environ = kept | {"PYTHONPATH": str(Path(asyncluster.__file__).parent.parent)}

    def run(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", place.socket, *words]
        return subprocess.run(
            line, env=environ, cwd=tmp_path, input=given, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def submitted(typed: Type, *words: str, given: str | None = None) -> str:
    """The number of a job that was handed in."""
    found = typed("submit", *words, given=given)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip().isdigit()
    return found.stdout.strip()


def shell(text: str) -> tuple[str, ...]:
    """A program."""
    return ("--", "sh", "-c", text)


def test_submit_wait_and_output(typed: Type) -> None:
    """Each by a process of its own."""
    job = submitted(typed, *shell("echo out of $ASYNCLUSTER_JOB; echo err >&2"))
    assert typed("job", "wait", job).returncode == 0
    found = typed("job", "output", job)
    assert (found.stdout, found.stderr) == (f"out of {job}\n", "err\n")
    assert typed("job", "output", job, "0", "--stderr").stdout == "err\n"
    assert typed("job", "results", job).stdout == "task 0: 0\n"
    listed = {str(view["job"]): view for view in json.loads(typed("job", "list", "--json").stdout)}
    assert (listed[job]["state"], listed[job]["detached"], listed[job]["name"]) == ("done", True, "sh")


def test_an_array(typed: Type) -> None:
    """Its tasks have numbers; the worst code is that of `wait`, and `info` says why."""
    job = submitted(
        typed, "--array", "1-5:2", *shell("echo $ASYNCLUSTER_TASK/$ASYNCLUSTER_INDEX; exit $ASYNCLUSTER_INDEX")
    )
    found = typed("job", "wait", job)
    assert found.returncode == 5
    assert f"job {job}, task 2: sh ended with exit code 5" in found.stderr
    assert sorted(typed("job", "output", job).stdout.splitlines()) == ["[0] 0/1", "[1] 1/3", "[2] 2/5"]
    info = json.loads(typed("job", "info", job, "--json").stdout)
    assert (info["done"], info["failed"]) == (0, 3)
    assert sorted(failure["code"] for failure in info["failures"]) == [1, 3, 5]
    assert "task 1: sh ended with exit code 3" in typed("job", "info", job).stdout
    ends = [json.loads(line) for line in typed("job", "results", job, "--json").stdout.splitlines()]
    assert [(end["task"], end["error"]["type"]) for end in ends] == [(n, "ProgramFailedError") for n in range(3)]


def test_each_line_and_waiting_at_once(typed: Type) -> None:
    """What the tasks write is shown, and the exit code is theirs."""
    found = typed(
        "submit", "--each-line", "-", "--wait", *shell('echo "<$ASYNCLUSTER_LINE>"; exit 4'), given="a b\n\nc\n"
    )
    assert found.returncode == 4
    assert sorted(found.stdout.splitlines()) == ["[0] <a b>", "[1] <c>"]


def test_a_script(typed: Type, tmp_path: Path) -> None:
    """Its lines are options, what is typed wins, and a slip is told with its line; it travels with the job."""
    script = tmp_path / "work.sh"
    script.write_text(
        "#!/bin/sh\n#ASYNCLUSTER --name measure --env A=script --env B=script\n#ASYNCLUSTER -n 3\n\necho $A $B $1\n"
    )
    job = submitted(typed, "--env", "A=typed", "--array", "7", "work.sh", "word")
    script.write_text("#!/bin/sh\n#ASYNCLUSTER --time-limit 1h\n#ASYNCLUSTER --coers 4\n")
    assert typed("job", "wait", job).returncode == 0
    assert typed("job", "output", job).stdout == "typed script word\n"
    assert json.loads(typed("job", "info", job, "--json").stdout)["name"] == "measure"
    found = typed("submit", "work.sh")
    assert found.returncode == 1
    assert "work.sh, line 3: No such option" in found.stderr


def test_a_program_that_is_not_there(typed: Type) -> None:
    """As a shell has it."""
    job = submitted(typed, "--", "no-such-program")
    found = typed("job", "wait", job)
    assert found.returncode == 127
    assert "no-such-program" in found.stderr


def test_cancel_and_forget(typed: Type, tmp_path: Path) -> None:
    """What runs is ended, and the job is cancelled, not failed; a forgotten one is unknown, which says what to type."""
    job = submitted(typed, "-n", "4", *shell("echo $$; exec sleep 600"))
    found = typed("job", "wait", job, "--timeout", "10ms")
    assert found.returncode == 124
    found = typed("job", "cancel", job, "--task", "9")
    assert (found.returncode, found.stdout) == (1, "")
    assert f"job {job} has no task 9: its tasks are 0 to 3" in found.stderr
    assert typed("job", "cancel", job, "--task", "3").stdout == f"1 task of job {job} cancelled\n"
    pids = programs(typed, job, 2)
    assert typed("job", "cancel", job).stdout == f"3 tasks of job {job} cancelled\n"
    gone(pids)
    found = typed("job", "wait", job, "--json")
    assert found.returncode == 1
    assert {end["outcome"] for end in json.loads(found.stdout)[0]["failures"]} == {"cancelled"}
    info = json.loads(typed("job", "info", job, "--json").stdout)
    assert (info["failed"], info["cancelled"]) == (0, 4)
    listed = {str(view["job"]): view for view in json.loads(typed("job", "list", "--json").stdout)}
    assert listed[job]["state"] == "cancelled"
    assert "state        cancelled\n" in typed("job", "info", job).stdout
    assert typed("job", "output", job, "9").returncode == 1
    assert typed("exec", "-n", "2", "--", "true").returncode == 0  # on the slots that it had
    assert typed("job", "forget", job).returncode == 0
    found = typed("job", "info", job)
    assert found.returncode == 1
    assert f"no job {job}" in found.stderr
    assert "asyncluster job list" in found.stderr


def programs(typed: Type, job: str, count: int) -> list[int]:
    """What so many tasks wrote first: their pids."""
    deadline = time.monotonic() + 60
    while len(lines := typed("job", "output", job).stdout.split("\n")) <= count:
        assert time.monotonic() < deadline, lines
    return [int(line.split()[-1]) for line in lines[:count]]


def gone(pids: list[int]) -> None:
    """Until none of these processes is there."""
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, pids
        time.sleep(0.02)


def test_cancel_while_the_node_is_away(tmp_path: Path) -> None:
    """It hears of it when it is back, from a master that was killed since, and ends what runs."""

    def last(text: str) -> None:
        print(os.getpid(), flush=True)
        time.sleep(600)

    with Site(tmp_path) as site:
        master = site.start_master()
        node = site.start_node("a")
        with Cluster(socket=site.socket, output=None, detached=True) as cluster:
            cluster.submit(last, "")
            job = cluster.detach()
        with Jobs(socket=site.socket) as jobs:
            deadline = time.monotonic() + 60
            while not (written := jobs.output(job)[0]):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(node.pid, signal.SIGSTOP)
            try:
                assert jobs.cancel(job) == 1
                master.stop(signal.SIGKILL)
                site.start_master()
            finally:
                os.kill(node.pid, signal.SIGCONT)
            assert jobs.info(job)["cancelled"] == 1
            gone([int(written[0][2])])


FINDER = """
import sys, asyncluster
with asyncluster.attach(int(sys.argv[1]), socket=sys.argv[2]) as found:
    assert found.wait(60)
    print([future.exception() or future.result() for _, future in sorted(found.futures.items())])
"""


def test_attach_from_another_process(place: Site) -> None:
    """Values and exceptions, twice; what the first program had waited for fails and says where to look."""

    def cube(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError("three")
        return number**3

    cluster = Cluster(socket=place.socket, output=None, detached=True)
    futures = [cluster.options(time_limit="10 min").submit(cube, number) for number in range(5)]
    futures += [cluster.submit(time.sleep, 0.5)]
    job = cluster.detach()
    with pytest.raises(JobClosedError, match=rf"asyncluster.attach\({job}\)"):
        futures[-1].result()
    with pytest.raises(JobClosedError):
        cluster.submit(cube, 1)
    for _ in range(2):
        line = [sys.executable, "-c", FINDER, str(job), place.socket]
        found = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
        assert found.stdout == "[0, 1, 8, ZeroDivisionError('three'), 64, None]\n"
    with asyncluster.attach(job, socket=place.socket) as again:
        numbers = list(again.futures)
        assert numbers == list(range(6))
        again.forget()
    with pytest.raises(RefusedError, match="job list"):
        asyncluster.attach(job, socket=place.socket)


def test_a_killed_program_leaves_its_detached_job(place: Site) -> None:
    """It needs no client from `detach` on, and none of it is lost with the one that made it."""
    text = f"""
import os, signal, time
from asyncluster import Cluster
cluster = Cluster(socket={place.socket!r}, output=None)
for _ in range(3):
    cluster.submit(time.sleep, 0.3)
print(cluster.detach(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == -signal.SIGKILL
    with asyncluster.attach(int(found.stdout), socket=place.socket) as again:
        assert [value for _, value in again.results(60)] == [None] * 3
        again.forget()


def test_master_killed_while_a_detached_job_runs(tmp_path: Path) -> None:
    """Results, output and whoever waits ride through; nothing is done twice as far as anybody can see."""

    def slow(number: int) -> int:
        time.sleep(0.1)
        print(number)
        return number**2

    with Site(tmp_path) as site:
        master = site.start_master()
        site.start_node("a", slots=2)
        with Cluster(socket=site.socket, output=None, detached=True) as cluster:
            for number in range(20):
                cluster.submit(slow, number)
            job = cluster.detach()
        with asyncluster.attach(job, socket=site.socket) as watching, Jobs(socket=site.socket) as jobs:
            assert watching.futures[2].result(60) == 4
            deadline = time.monotonic() + 60
            while not (before := jobs.output(job, 0)[0]):  # on its way to the disk, which a result does not wait for
                assert time.monotonic() < deadline
                time.sleep(0.02)
            master.stop(signal.SIGKILL)
            site.start_master()
            assert [value for _, value in watching.results(60)] == [number**2 for number in range(20)]
            info = jobs.info(job)
            assert (info["done"], info["failed"], info["detached"]) == (20, 0, True)
            pieces, _, more = jobs.output(job)
            written = b"".join(data for _, _, data in pieces).decode().split()
            assert not more
            assert set(written) == {str(number) for number in range(20)}
            assert jobs.output(job, 0)[0][: len(before)] == before
