"""Pilots on a real Slurm and a real Grid Engine: a person on the login node, without root, gets nodes as tasks wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster.testing import sge, slurm
from asyncluster.testing.batch_hosts import until
from asyncluster.testing.login import LoginNode
from asyncluster.testing.sge import RealGridEngine
from asyncluster.testing.slurm import RealSlurm

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SYSTEMS = {"slurm": (RealSlurm, slurm.missing()), "sge": (RealGridEngine, sge.missing())}

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
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSlurm]:
    """A batch system with two hosts of two cores."""
    kind, missing = SYSTEMS[request.param]
    if missing:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp(request.param)
    for each in (folder, *folder.parents[:2]):  # Grid Engine's daemon has another user
        each.chmod(0o755)
    with kind(folder / request.param, static=2, spare=0) as batch:
        yield batch


@pytest.fixture
def login(system: RealSlurm, tmp_path: Path) -> Iterator[LoginNode]:
    """Somebody there, whose master is stopped in the end; no batch job is left."""
    person = LoginNode(system, tmp_path)
    yield person
    person.cli("down")
    until(lambda: not person.jobs(), f"no batch job is left: {person.jobs()}")


def work(number: int) -> int:
    """A task of a moment."""
    time.sleep(0.1)
    return number * number


def test_up_batch_gives_nodes_as_tasks_wait(login: LoginNode) -> None:
    """No file, no node: `up --batch`, a task, and there is a node; `down` leaves no batch job."""
    told = login.cli("up", "--batch", login.name, "--max-nodes", "2", "--walltime", "1:00:00")
    assert "pools" in told
    assert login.jobs() == []
    assert "host" in login.cli("exec", "--", "hostname")
    assert [line.split()[0] for line in login.cli("pool", "list").splitlines()[1:2]] == [login.name]
    assert len(login.jobs()) == 1
    assert "not in effect: --batch" in login.cli("up", "--batch", login.name, "--max-nodes", "3", fails=True)
    login.cli("down")
    until(lambda: not login.jobs(), "the pilot's job has ended")
    login.cli("up", "--batch", "none", "--nodes", "0")
    assert "has no pools" in login.cli("pool", "list", fails=True)


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_a_program_gets_nodes_for_its_life(login: LoginNode, how: str) -> None:
    """`Cluster.from_batch` in a program: however that ends, no batch job and no file of it is left."""
    program = login.folder / "program.py"
    program.write_text(PROGRAM)
    assert "1024" in login.python(str(program), login.name, how, fails=how == "killed")
    until(lambda: not login.jobs(), "the pilots' jobs have ended")
