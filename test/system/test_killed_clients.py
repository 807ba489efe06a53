"""A client is killed with -9 while the master writes to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asyncluster import Cluster
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real


@pytest.mark.parametrize("reconnect", ["0", "0.5"])
def test_its_job_is_closed(tmp_path: Path, reconnect: str) -> None:
    """It reads no more, results pile up, it dies: its job goes when its `reconnect` is over, with all its tasks."""
    with Site(tmp_path) as site, (tmp_path / "client.log").open("wb") as log:
        site.start_master()
        site.start_node("a", slots=2)
        command = [sys.executable, "-m", "asyncluster.testing.load", site.socket, reconnect]
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            with Cluster(socket=site.socket, output=None) as cluster:

                def jobs() -> list[int]:
                    """How many tasks are done, of each of its jobs."""
                    return [job.done for job in cluster.jobs() if job.name == "bystander"]

                until(lambda: sum(jobs()) > 0, "it has begun")
                os.kill(client.pid, signal.SIGSTOP)
                before = sum(jobs())
                until(lambda: not jobs() or sum(jobs()) > before, "results came, which it does not read")
                client.kill()
                until(lambda: not jobs(), "its job is closed", limit=50.0)  # less than the longest that a master waits
                until(lambda: cluster.status()["running"] == 0, "nothing of it runs")
        finally:
            client.kill()
            client.wait()
        assert "Traceback" not in site.daemons[0].text()
