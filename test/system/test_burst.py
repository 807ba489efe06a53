"""A real Slurm grows into a cloud and shrinks again: the whole, from configuration to hosts.

The master is the real daemon with an asyncluster.yaml, and is steered by the real command line; machines are network
namespaces that run nothing but the batch system's own daemon.  Intervals are short; the one static node is never
named in a command.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncluster.model.supply import Reservation
from asyncluster.testing import sge, slurm
from asyncluster.testing.burst import CASES, BurstSite, make_batch
from asyncluster.testing.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]

MISSING = {"slurm": slurm.missing(), "sge": sge.missing()}
FIRST = {kind: next(iter(cases)) for kind, cases in CASES.items()}

DOWN = {"slurm": 60.0, "sge": 12.0}
"""Seconds for which the scheduler's daemon stays away after that was noticed: a whole minute once, as the issue has it;
and four times max_idle_time, which is as much to the engine, where a minute would only be one more of CI's."""

Make = Callable[..., BurstSite]


@pytest.fixture(scope="module", params=["slurm", "sge"])
def batch(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One batch system for all stories, with one static node, host1."""
    if MISSING[request.param]:
        pytest.skip(MISSING[request.param])
    folder = Path(tempfile.mkdtemp(prefix="asyncluster-burst-"))
    folder.chmod(0o755)  # its daemons are other users, and pytest's folders are closed to those
    try:
        with make_batch(request.param, folder) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make(batch: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a site with a master that runs; in the end nothing is left, and the static node was never touched."""
    kind = "slurm" if isinstance(batch, slurm.RealSlurm) else "sge"
    static, failed = batch.members(), request.session.testsfailed
    made: list[BurstSite] = []

    with ExitStack() as stack:

        def start(case: str = "", **more: Any) -> BurstSite:
            site = BurstSite(kind, batch, tmp_path / "site", case or FIRST[kind], **more)
            made.append(stack.enter_context(site))
            site.start()
            return site

        yield start
        for site in made:
            if request.session.testsfailed > failed:
                site.clear()
                continue
            site.until(site.gone, "nothing is left")
            assert batch.members() == static
            touched = [line for line in site.commands() if "host1" in line]
            assert [line for line in touched if "PartitionName=mixed" not in line] == []  # which keeps it
            assert "Traceback" not in site.master.text()


def comes_up(site: BurstSite, name: str) -> None:
    site.until(lambda: site.nodes().get(name) == "up", f"{name} is up")


@pytest.mark.parametrize("case", [0, 1])
def test_a_job_that_no_static_node_serves(make: Make, case: int, batch: Any) -> None:
    """A machine is launched, joins held, is reserved, enabled, runs it, idles, is held, removed, destroyed, gone."""
    kind = "slurm" if isinstance(batch, slurm.RealSlurm) else "sge"
    site = make(list(CASES[kind])[case])
    job = site.submit(4)
    site.until(lambda: site.running(job) == "burst-1", "it runs on a node that was launched for it")
    assert site.machines.spaces() == ["burst-1"]
    site.until(lambda: batch.over(job), "it has ended well")
    site.until(site.gone, "nobody needs the node any more")
    assert site.events() == ["up burst-1", "added burst-1", "removed burst-1", "gone burst-1"]
    assert "max_idle_time" in site.master.text()


@pytest.mark.parametrize("batch", ["slurm"], indirect=True)
def test_the_static_node_is_drained(make: Make, batch: Any) -> None:
    """A partition's only nodes are down, the static one and the placeholder: its job gets a machine, and it keeps both.

    So does a job that may run in another partition, too, whose only node is down as well.
    The master comes when Slurm has said why the first waits, as that differs from what it says of a new one.
    """
    before = batch.call("sinfo", "-h", "-N", "-p", "mixed", "-o", "%N")
    batch.call("scontrol", "update", "NodeName=host1", "State=DRAIN", "Reason=repair")
    try:
        jobs = [batch.submit(2, 1, reservation=Reservation(queue)) for queue in ("mixed", "mixed,listed")]
        told = ("squeue", "-h", "-j", jobs[0], "-o", "%r")
        until(lambda: "Nodes required for job are DOWN" in batch.call(*told), "it waits")
        site = make("mixed")
        site.until(lambda: {"up burst-1", "up burst-2"} <= {*site.events()}, "each job gets a machine")
        site.until(lambda: all(map(batch.over, jobs)), "they have ended well")
        site.until(site.gone, "nobody needs the node any more")
        assert batch.call("sinfo", "-h", "-N", "-p", "mixed", "-o", "%N") == before
    finally:
        batch.call("scontrol", "update", "NodeName=host1", "State=RESUME")


def test_a_machine_that_dies_in_the_middle_of_a_job(make: Make, batch: Any) -> None:
    """All its processes are killed: it is given up after max_down_time, and the job ends on another."""
    site = make()
    job = site.submit(6)
    site.until(lambda: site.running(job) == "burst-1", "it runs")
    batch.hosts.kill("burst-1")
    site.until(lambda: site.running(job) == "burst-2", "it begins anew elsewhere")
    site.until(lambda: batch.over(job), "it has ended well")
    assert "max_down_time" in site.master.text()


def test_people_steer(make: Make, batch: Any) -> None:
    """launch, hold, unhold, freeze, vacate, restore, drain; and what they say is what the batch system does."""
    site = make(options={"max_idle_time": "10m"})
    full, either = "", site.wants
    if site.kind == "slurm":  # where a job may name several partitions: here one whose node is in use, and the pool's
        full, either = batch.submit(2, reservation=Reservation("main")), attrs.evolve(either, queue="main,late")
    site.typed("pool", "launch", "burst", "1")
    comes_up(site, "burst-1")
    site.typed("cluster", "hold", "burst-1")
    site.until(lambda: site.nodes() == {"burst-1": "held"}, "it is held")
    site.typed("pool", "freeze", "burst")
    job = site.submit(600)
    site.until(lambda: site.waits(job), "the job waits")
    assert f"{job} " in site.typed("cluster", "jobs")
    assert site.status()["pools"]["burst"]["rule"] == "frozen"
    assert site.running(job) == ""
    site.typed("cluster", "unhold", "burst-1")
    site.until(lambda: site.running(job) == "burst-1", "it runs where nobody may hold it any more")
    site.typed("cluster", "vacate", "burst-1")
    site.until(lambda: not site.running(job), "its node is vacated")
    # Slurm lets it do so after two minutes
    site.until(lambda: site.waits(job), "it waits to begin anew")
    assert site.machines.living() == ["burst-1"]  # frozen: no other is launched for it
    batch.cancel(job)
    assert not full or batch.running(full) == "host1"
    job = batch.submit(1, 600, reservation=either)
    site.typed("pool", "restore", "burst")
    site.until(lambda: site.running(job) == "burst-2", "it runs elsewhere")
    site.typed("pool", "drain", "burst")
    site.until(lambda: site.machines.living() == ["burst-2"], "what is empty goes at once")
    assert site.running(job) == "burst-2"
    other = site.submit(1)
    for each in filter(None, (job, full)):
        batch.cancel(each)
    site.until(site.gone, "what has become empty has gone")
    assert site.status()["pools"]["burst"]["rule"] == "drained"
    site.typed("pool", "restore", "burst")
    site.until(lambda: site.running(other) == "burst-3" or batch.over(other), "launches go on")
    comes_up(site, "burst-3")
    site.until(lambda: batch.over(other), "it has run")
    site.until(
        lambda: f"{other} " not in site.typed("cluster", "jobs"), "the master has heard so, and launches no other"
    )
    site.typed("cluster", "delete", "burst-3")


def test_the_schedulers_daemon_is_down(make: Make, batch: Any) -> None:
    """For a minute (see DOWN) nothing is launched or destroyed, and it says so; afterwards all that was due is done."""
    site = make()
    job = site.submit(1)
    site.until(lambda: site.running(job) == "burst-1", "it runs")
    batch.stop()
    try:
        site.until(lambda: site.status()["scheduler"]["fault"], "it is noticed")
        site.typed("pool", "launch", "burst", "1")
        end = time.monotonic() + DOWN[site.kind]
        while time.monotonic() < end:
            assert site.status()["engine"]["rule"] == "silent"
            assert site.machines.states() == {"burst-1": "active"}
            time.sleep(0.5)  # each look is a process of its own
        told = site.typed("elastic", "status")
        assert "the scheduler does not answer" in told
        assert "launches and releases nothing" in told
    finally:
        batch.start()
    site.until(lambda: "burst-2" in site.machines.states(), "what was asked for is launched")
    site.until(site.gone, "both go, as nobody needs them")


def test_the_master_is_killed_in_the_middle_of_a_launch(make: Make, batch: Any) -> None:
    """Before its cloud has answered: the next one finds the machine by its tag and token, and launches no other."""
    site = make(machine={"answer": "30", "boot": "3"})
    job = site.submit(1)
    site.until(lambda: site.machines.living() == ["burst-1"], "the order is carried out")
    site.master.process.send_signal(signal.SIGKILL)
    site.master.process.wait()
    site.start()
    site.until(lambda: batch.over(job), "the job has ended well")
    site.until(site.gone, "nobody needs the node any more")
    assert list(site.machines.states()) == ["burst-1"]
