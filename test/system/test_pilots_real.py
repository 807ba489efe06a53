"""Pilots on a real Slurm and a real Grid Engine: a person on the login node, without root, gets nodes as tasks wait."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from asyncluster import Cluster
from asyncluster.testing import sge, slurm
from asyncluster.testing.login import LoginNode
from asyncluster.testing.sge import RealGridEngine
from asyncluster.testing.slurm import RealSlurm
from asyncluster.testing.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]

SYSTEMS = {"slurm": (RealSlurm, slurm.missing()), "sge": (RealGridEngine, sge.missing())}

cloudpickle.register_pickle_by_value(sys.modules[__name__])

PROGRAM = """
import sys, os, pathlib, signal
from asyncluster import Cluster

with Cluster.from_batch(sys.argv[1], max_nodes=2, walltime="1:00:00") as cluster:
    try:
        print(cluster.submit(pow, 2, 10).result(100), flush=True)
    except TimeoutError:  # what the master did meanwhile
        print(pathlib.Path(cluster._core._place.path).with_name("master.log").read_text()[-8000:])
        raise
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> Iterator[RealSlurm]:
    """A batch system with two hosts of two cores."""
    kind, missing = SYSTEMS[request.param]
    if missing:
        pytest.skip(missing)
    # its daemons are other users, and pytest's folders are closed to those
    with tempfile.TemporaryDirectory(prefix="asyncluster-pilots-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        with kind(folder / request.param, static=2, spare=0) as batch:
            yield batch


@pytest.fixture
def login(system: RealSlurm) -> Iterator[LoginNode]:
    """Somebody there, whose master is stopped in the end; no batch job is left."""
    # pytest's folders are so deep that no socket could be made in a home there
    with tempfile.TemporaryDirectory(prefix="asyncluster-", ignore_cleanup_errors=True) as folder:
        person = LoginNode(system, Path(folder))
        yield person
        person.cli("down")
        until(lambda: not person.jobs(), f"no batch job is left: {person.jobs()}")


def work(number: int, book: str) -> int:
    """A task of a moment, which says that it was begun."""
    with open(book, "a") as lines:
        lines.write(f"{number}\n")
    time.sleep(0.3)
    return number * number


def end_one(login: LoginNode) -> None:
    """Have the walltime of one pilot that runs be over; on Grid Engine, that of all is short from the beginning."""
    if login.name == "slurm":
        job = next(line.split()[0] for line in login.jobs() if line.split()[1] == "R")
        login.batch.call("scontrol", "update", f"JobId={job}", "EndTime=now")


def ended_by_walltime(login: LoginNode) -> list[str]:
    """The jobs that their batch system ended because their time was over."""
    where, words = {
        "slurm": ("slurmctld.log", "Time limit exhausted"),
        "sge": ("execd/*/messages", "exceeded hard wallclock"),
    }[login.name]
    lines = (line for path in login.batch.folder.glob(where) for line in path.read_text().splitlines())
    return [line for line in lines if words in line]


def test_five_hundred_tasks_by_nodes_that_come_and_go(login: LoginNode) -> None:
    """None idle at the start; a pilot is ended by its walltime, which it knows nothing of; nothing is lost.

    There is room for two pilots of the three that are wanted: the third, queued in vain, is cancelled in the end.
    """
    more = {"slurm": [], "sge": ["--environment", "smp", "--directive", "-l h_rt=0:0:15"]}[login.name]
    login.cli("up", "--batch", login.name, "--max-nodes", "3", "--cores", "2", "--max-idle", "4s", *more)
    book = login.folder / "begun"
    with Cluster(socket=login.socket) as cluster:
        assert cluster.nodes() == []
        futures = [cluster.submit(work, number, str(book)) for number in range(500)]
        futures[0].result(120)
        until(lambda: len(login.jobs()) == 3, "a third pilot is queued")
        end_one(login)  # it counts until its batch system has not listed it for a while: no other comes before
        assert [future.result(300) for future in futures] == [number**2 for number in range(500)]
        assert set(map(int, book.read_text().split())) == set(range(500))
        assert ended_by_walltime(login)
        until(lambda: not login.jobs(), f"idle and queued pilots have gone by themselves: {login.jobs()}")
        until(lambda: not cluster.nodes(), "no node is left")
    assert login.joined() > 2


def test_up_batch_gives_nodes_as_tasks_wait(login: LoginNode) -> None:
    """No file, no node: `up --batch`, a task, and there is a node; `down` leaves no batch job."""
    memory = {"slurm": "400MiB", "sge": "4GiB"}[login.name]  # for Grid Engine a limit of what is mapped
    told = login.cli("up", "--batch", login.name, "--max-nodes", "2", "--walltime", "1:00:00", "--memory", memory)
    assert "pools" in told
    assert login.jobs() == []
    assert "host" in login.cli("exec", "--", "hostname")
    assert [line.split()[0] for line in login.cli("pool", "list").splitlines()[1:2]] == [login.name]
    assert len(login.jobs()) == 1
    assert "--max-nodes 3: the master runs with 2" in login.cli(
        "up", "--batch", login.name, "--max-nodes", "3", fails=True
    )
    login.cli("down")
    until(lambda: not login.jobs(), "the pilot's job has ended")
    login.cli("up", "--batch", "none", "--nodes", "0")
    assert "has no pools" in login.cli("pool", "list", fails=True)


def test_the_road_is_checked_before_it_is_needed(login: LoginNode) -> None:
    """`pool check` on a good road; with a Python that is not there; with a queue that is not there."""
    login.cli("up", "--batch", login.name, "--walltime", "1:00:00")
    found = json.loads(login.cli("pool", "check", "--json"))[login.name]
    assert [step["name"] for step in found if not step["ok"]] == [], found
    assert "10.77.0.1" in next(step["text"] for step in found if step["name"] == "route")
    until(lambda: not login.jobs(), "the job that looked around is gone")
    for change, stone in ((("interpreter", "/no/python"), "interpreter"), (("queue", "nosuch"), "queue")):
        login.cli("down")
        pools = login.home / ".config/asyncluster/personal.yaml"
        kept = [line for line in pools.read_text().splitlines() if not line.strip().startswith(f"{change[0]}:")]
        pools.write_text("\n".join([*kept, f'      {change[0]}: "{change[1]}"', ""]))
        login.cli("up", "--nodes", "0")
        told = login.cli("pool", "check", login.name, fails=True)
        (line,) = [line for line in told.splitlines() if "FAILED" in line]
        assert line.split()[0] == stone, told
        assert f"config.{stone}" in told
        until(lambda: not login.jobs(), "so is this one")


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_a_program_gets_nodes_for_its_life(login: LoginNode, how: str) -> None:
    """`Cluster.from_batch` in a program: however that ends, no batch job and no file of it is left."""
    program = login.folder / "program.py"
    program.write_text(PROGRAM)
    assert "1024" in login.python(str(program), login.name, how, fails=how == "killed")
    until(lambda: not login.jobs(), "the pilots' jobs have ended")
