"""Real pilots: the job script under a shell that stands for a batch system, a real node in it, a real master."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from asyncluster import Cluster
from asyncluster.model.batch import BatchState
from asyncluster.model.supply import Flavor, Order
from asyncluster.model.supply_options import BatchUnit
from asyncluster.supply.batch import BatchCloud
from asyncluster.supply.node_conf import Account
from asyncluster.supply.script import pilot_conf
from asyncluster.testing.pilots import FakeQueue
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real


def run(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


@attrs.define(eq=False)
class ShellQueue(FakeQueue):
    """Starts every job at once, as a script of a shell; cancelling one is a SIGTERM to that shell, as schedulers do."""

    folder: Path = Path()
    running: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict)

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        job = await super().submit(script, extra, held)
        self.running[job] = self._start(job, script)
        self.state(job, BatchState.RUNNING, "localhost")
        return job

    def _start(self, job: str, script: str) -> subprocess.Popen[bytes]:
        path = self.folder / f"{job}.sh"
        path.write_text(script)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCLUSTER_")}
        with self.log(job).open("wb") as stream:
            return subprocess.Popen(
                ["/bin/sh", str(path)],
                env=environ | {"TMPDIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    async def cancel(self, job: str) -> None:
        self.running[job].terminate()
        await super().cancel(job)

    def log(self, job: str) -> Path:
        return self.folder / f"{job}.log"

    def ended(self, job: str) -> bool:
        return self.running[job].poll() is not None


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[ShellQueue]:
    """Without a job; with none left in the end."""
    folder = tmp_path / "queue"
    folder.mkdir()
    queue = ShellQueue(folder=folder)
    yield queue
    for process in queue.running.values():
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def cloud_of(site: Site, queue: ShellQueue, **more: Any) -> BatchCloud:
    # nobody listens at the first address
    masters = (f"127.0.0.1:{site.port + 1 if site.port < 65535 else 1}", f"127.0.0.1:{site.port}")
    unit = BatchUnit("slurm", interpreter=sys.executable, masters=masters, retry_every=0.5, **more)
    run_as = "root" if os.geteuid() == 0 else ""
    account = Account("nodes", site.password, site.server_password, site.port, run_as=run_as, drain_limit=5.0)
    return BatchCloud(
        pool="night",
        prefix="night-",
        unit=unit,
        queue=queue,
        realm="one",
        has=Flavor(1),
        folder=site.folder / "pilots",
        conf_text=lambda lease: pilot_conf(unit, account, lease),
        seconds=time.monotonic,
        in_thread=maybeDeferred,
    )


def test_a_pilot_comes_works_and_goes(tmp_path: Path, queue: ShellQueue) -> None:
    """By the address that works; under its name; when it is cancelled it says goodbye and leaves nothing behind."""
    with Site(tmp_path) as site:
        master = site.start_master()
        cloud = cloud_of(site, queue)
        pilot = run(cloud.launch(Order("night-1", "t1", "night", 600.0, 3600.0)))
        master.wait_for("night-1")
        with Cluster(socket=site.socket) as cluster:
            assert cluster.submit(pow, 2, 10).result(60) == 1024
            assert cluster.submit(os.environ.get, "ASYNCLUSTER_NODE_LIFETIME").result(60) is None
            listed = run(cloud.list()).instances
            assert [(each.name, each.ours) for each in listed] == [("night-1", True)]
            run(cloud.destroy(pilot))
            until(lambda: queue.ended("1"), queue.log("1").read_text)
        log = queue.log("1").read_text()
        assert f"of the master's addresses 127.0.0.1:{site.port} works" in log
        assert queue.running["1"].returncode == 0
        assert [path.name for path in queue.folder.glob("asyncluster.*")] == []
        for secret in (site.password, site.server_password):
            assert secret not in log + queue.scripts["1"]


def test_a_pilot_ends_before_its_walltime_does(tmp_path: Path, queue: ShellQueue) -> None:
    """By itself, and says why."""
    with Site(tmp_path) as site:
        site.start_master()
        run(cloud_of(site, queue).launch(Order("night-1", "t1", "night", 600.0, 6.0)))
        until(lambda: queue.ended("1"), queue.log("1").read_text)
        assert "its lifetime is over" in queue.log("1").read_text()


def test_a_pilot_without_a_master_ends_itself(tmp_path: Path, queue: ShellQueue) -> None:
    """SWAMP's rule."""
    with Site(tmp_path) as site:
        run(cloud_of(site, queue, give_up_after=1.0).launch(Order("night-1", "t1", "night", 600.0)))
        until(lambda: queue.ended("1"), queue.log("1").read_text)
        log = queue.log("1").read_text()
        assert "no address of the master works" in log
        assert "this node ends itself" in log
        assert queue.running["1"].returncode == 1  # so that its log is kept
