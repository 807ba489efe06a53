"""Pilots on a Torque whose server is simulated, and whose jobs run on hosts in namespaces: `up --batch torque`."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster.testing import hosts
from asyncluster.testing.login import LoginNode
from asyncluster.testing.torque_hosts import TorqueHosts
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(hosts.missing()), reason="no hosts"),
]


@pytest.fixture
def login() -> Iterator[LoginNode]:
    """Somebody on the head, whose master is stopped in the end; no batch job is left."""
    # pytest's folders are so deep that no socket could be made in a home there
    with (
        tempfile.TemporaryDirectory(prefix="asyncluster-", ignore_cleanup_errors=True) as folder,
        TorqueHosts(Path(folder) / "torque") as torque,
    ):
        person = LoginNode(torque, Path(folder))
        yield person
        person.cli("down")
        until(lambda: not person.jobs(), f"no batch job is left: {person.jobs()}")


def test_up_batch_torque_gives_a_node_for_a_task(login: LoginNode) -> None:
    """No file, no node: `up --batch torque`, a task, and a job of Torque is the node; `down` leaves none."""
    login.cli("up", "--batch", "torque", "--cores", "2", "--max-nodes", "1", "--walltime", "1:00:00")
    assert login.jobs() == []
    said: list[str] = []
    asks = threading.Thread(target=lambda: said.append(login.cli("exec", "--", "hostname")))
    asks.start()
    until(lambda: login.jobs() and not asks.is_alive(), "the task has been run by a node that it had come for")
    asks.join()
    assert said[0].split()[-1] in {"host1", "host2"}
    (job,) = login.jobs()
    assert job.split()[1] == "R"
    login.cli("down")
    until(lambda: not login.jobs(), "the pilot's job has ended")
