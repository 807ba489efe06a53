"""A master that serves a Torque, as its administrator sees it: the manual's commands in asyncluster.yaml, and
`asyncluster-admin`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import asyncluster
from asyncluster.client.pools import Pools
from asyncluster.model.supply import Reservation
from asyncluster.testing.site import Site
from asyncluster.testing.torque import SimulatedTorque

pytestmark = pytest.mark.real

LIMIT = 60.0


class Admin:
    """A Torque, its master, and somebody at the command line."""

    def __init__(self, site: Site, torque: SimulatedTorque) -> None:
        self.site, self.torque = site, torque
        settings = {
            "dynamic-cluster": {"max_idle_time": 600, "cluster_poller_interval": "0.5s",
                                "cloud_poller_interval": "0.5s", "auto_provision_interval": "0.5s"},
            "cluster": {"type": "torque", "config": {"queue_to_monitor": ["batch"], **torque.settings}},
            "cloud": {
                "sky": {
                    "type": "asyncluster.testing.torque_cloud:Machines",
                    "quantity": {"min": 0, "max": 2},
                    "reservation": {"property": "CLOUD"},
                    "config": {"cores": 2, "arguments": {"server": str(torque.folder)}},
                }
            },
        }  # fmt: skip
        (site.folder / "master.yaml").write_text(yaml.safe_dump(settings))
        self.master = site.start_master()

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type an `asyncluster-admin` line and wait for its end."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
        code = "from asyncluster.cli.admin import main; main(prog_name='asyncluster-admin')"
        return subprocess.run(
            [sys.executable, "-P", "-c", code, "--socket", self.site.socket, *words],
            env=kept | {"PYTHONPATH": str(Path(asyncluster.__file__).parent.parent)},
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    def seen(self) -> dict[str, Any]:
        """What -i says, asked as it asks: a program for each look would be most of the work."""
        with Pools(socket=self.site.socket) as pools:
            return pools.status() | pools.jobs()

    def info(self) -> dict[str, Any]:
        """What -i says."""
        found = self.typed("-i", "--json")
        assert found.returncode == 0, found.stdout + found.stderr
        read: dict[str, Any] = json.loads(found.stdout)
        return read

    def wait(self, done: Callable[[], object]) -> None:
        """Until it is so; the master's log otherwise."""
        deadline = time.monotonic() + LIMIT
        while not done():
            assert time.monotonic() < deadline, self.master.text()[-4000:]
            time.sleep(0.1)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """With a placeholder, so that jobs for the pool wait."""
    (tmp_path / "torque").mkdir()
    with Site(tmp_path) as site, SimulatedTorque(tmp_path / "torque") as torque:
        with torque.server as state:
            state["hosts"].append("spare")
        torque.call("qmgr", "-c", 'create node spare np=2,properties="CLOUD"')
        torque.call("pbsnodes", "-o", "spare")
        yield Admin(site, torque)


def test_from_a_job_to_a_flush(admin: Admin) -> None:
    """A node comes for a job; busy it is not killed; it is flushed when the job is over, and none comes in sleep."""
    job = admin.torque.submit(2, reservation=Reservation(property="CLOUD"))
    admin.wait(lambda: job in admin.seen()["nodes"].get("sky-1", {}).get("jobs", ()))
    # a job may be seen on a node before the node is seen to be there
    admin.wait(lambda: "Worker nodes: 1" in admin.typed("-i").stdout)
    assert "sky-1" in admin.typed("-i").stdout
    refused = admin.typed("-k", "sky-1")
    assert (refused.returncode, job in refused.stderr) == (1, True)
    assert admin.typed("-k", "host1").returncode == 1
    done = admin.typed("-s", "-f")
    assert done.returncode == 0, done.stderr
    waiting = admin.torque.submit(2, reservation=Reservation(property="CLOUD"))
    admin.wait(lambda: admin.seen()["nodes"]["sky-1"]["life"] == "holding")
    assert admin.info()["nodes"]["sky-1"]["life"] == "holding"
    with admin.torque.server as state:
        assert state["nodes"]["sky-1"]["offline"]
        assert state["jobs"][job.partition(".")[0]]["state"] == "R"
        state["jobs"][job.partition(".")[0]]["end"] = 0.0
    admin.wait(lambda: not admin.seen()["nodes"])
    admin.wait(lambda: "sleep" in admin.seen()["jobs"].get(waiting, {}).get("text", ""))
    with admin.torque.server as state:
        assert set(state["nodes"]) == {"host1", "host2", "spare"}
        assert [one["runs"] for one in state["machines"].values()] == [False]
    assert admin.typed("--wake").returncode == 0
    admin.wait(lambda: waiting in admin.seen()["nodes"].get("sky-2", {}).get("jobs", ()))
