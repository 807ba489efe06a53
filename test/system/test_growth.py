"""A master that grows and shrinks its own pool on this machine, as its user sees it: by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import asyncluster
from asyncluster import Cluster
from asyncluster.client.pools import Pools
from asyncluster.testing.site import Daemon, Site
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real

SECTIONS = """\
dynamic-cluster:
  max_idle_time: {idle}
  auto_provision_interval: 0.3s
  cloud_poller_interval: 0.3s
cluster:
  type: asyncluster
cloud:
  desk:
    type: local
    quantity: {{min: 0, max: 2}}
    config: {{cores: 2}}
"""
LIMIT = 60.0


class Desk:
    """A site with a pool, and a person at its command line."""

    def __init__(self, site: Site, idle: float) -> None:
        self.site = site
        (site.folder / "master.yaml").write_text(SECTIONS.format(idle=idle))
        self.master: Daemon = site.start_master()
        self.pools = Pools(socket=site.socket, reconnect=LIMIT)  # for what is looked at again and again

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type a command line and wait for its end."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
        return subprocess.run(
            [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", self.site.socket, *words],
            env=kept | {"PYTHONPATH": str(Path(asyncluster.__file__).parent.parent)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def told(self, *words: str) -> Any:
        """What it says as JSON."""
        found = self.typed(*words, "--json")
        assert found.returncode == 0, found.stdout + found.stderr
        return json.loads(found.stdout)

    def nodes(self) -> dict[str, Any]:
        """What the pool launched and has not seen gone."""
        return dict(self.pools.status()["nodes"])

    def wait(self, condition: Callable[[], object]) -> None:
        """Until it is so; the master's log otherwise."""
        until(condition, lambda: self.master.text()[-4000:])

    def processes(self) -> set[int]:
        """Node daemons of this site on this machine that live."""
        folder = str(self.site.folder / "state" / "pools")
        return {
            each.pid
            for each in psutil.process_iter(["cmdline", "status"])
            if any(folder in word for word in each.info["cmdline"] or ())
            and each.info["status"] != psutil.STATUS_ZOMBIE
        }


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Nodes go after one idle second."""
    with Site(tmp_path_factory.mktemp("growth")) as site:
        desk = Desk(site, 1)
        yield desk
        leave_none(desk)
        desk.pools.close()


def leave_none(desk: Desk) -> None:
    """Whatever a test left is given up, by the command that is meant for that."""
    desk.typed("pool", "drain", "desk")
    desk.wait(lambda: not desk.processes())


def make_square() -> Callable[[int], int]:
    """A task that takes a moment; it travels by value, as what nodes cannot import does."""

    def square(number: int) -> int:
        time.sleep(0.05)
        return number * number

    return square


def test_grows_with_the_queue_and_shrinks_without(desk: Desk) -> None:
    """No node at first; as many as the pool has when tasks wait; none when they are done, and no process of theirs."""
    assert desk.told("cluster", "nodes") == {}
    with Cluster(socket=desk.site.socket) as cluster:
        assert list(cluster.map(make_square(), range(100), chunksize=1)) == [number**2 for number in range(100)]
    assert "launch" in desk.master.text()
    desk.wait(lambda: desk.nodes() == {})
    desk.wait(lambda: not desk.processes())
    assert desk.told("pool", "show", "desk")["nodes"] == {}


def test_a_killed_master_finds_its_nodes_and_leaves_none_behind(desk: Desk) -> None:
    """kill -9 while they work: the next one knows them, the tasks end once, and the nodes go when they are idle."""
    with Cluster(socket=desk.site.socket) as cluster:
        square = make_square()
        futures = [cluster.submit(square, number) for number in range(200)]
        futures[10].result(LIMIT)
        before = desk.processes()
        desk.master.stop(signal.SIGKILL)
        assert desk.processes() == before
        desk.master = desk.site.start_master()
        assert [future.result(LIMIT) for future in futures] == [number**2 for number in range(200)]
    desk.wait(lambda: desk.nodes() == {})
    desk.wait(lambda: not desk.processes())


def test_a_task_too_large_for_any_node_is_tried_once(desk: Desk) -> None:
    """The pool says nothing of memory: its first node tells, no other is begun, and why is said from then on."""
    begun = desk.master.text().count("launch desk-")
    number = desk.typed("submit", "--memory", "3000G", "--patient", "--", "true").stdout.split()[-1]
    desk.wait(lambda: "no pool could ever run" in json.dumps(desk.pools.jobs()))
    desk.wait(lambda: desk.nodes() == {})
    assert "as its nodes turned out to have" in json.dumps(desk.told("cluster", "jobs"))
    assert desk.typed("job", "cancel", number).returncode == 0
    with Cluster(socket=desk.site.socket) as cluster:
        assert cluster.submit(make_square(), 4).result(LIMIT) == 16  # and what fits still has its node
    assert desk.master.text().count("launch desk-") <= begun + 2
    desk.wait(lambda: desk.nodes() == {})


def test_people_steer(desk: Desk) -> None:
    """Each command does what its help says, and says so."""
    assert "Pool desk stays as it is" in desk.typed("pool", "freeze", "desk").stdout
    assert desk.told("pool", "list")["desk"]["mode"] == "frozen"
    with Cluster(socket=desk.site.socket) as cluster:
        future = cluster.submit(make_square(), 7)
        desk.wait(lambda: "frozen" in desk.pools.explain("pool", "desk")["text"])
        assert "frozen" in desk.typed("explain", "pool", "desk").stdout
        assert desk.nodes() == {}
        assert "goes on" in desk.typed("pool", "restore", "desk").stdout
        assert future.result(LIMIT) == 49
    desk.wait(lambda: desk.nodes() == {})
    assert desk.typed("elastic", "auto", "off").returncode == 0
    assert "1 node more in pool desk" in desk.typed("pool", "launch", "desk", "1").stdout
    desk.wait(lambda: [each["state"] for each in desk.nodes().values()] == ["idle"])
    (name,) = desk.told("cluster", "nodes")
    assert desk.typed("cluster", "hold", name).returncode == 0
    desk.wait(lambda: desk.nodes()[name]["state"] == "held")
    assert desk.typed("cluster", "unhold", name).returncode == 0
    desk.wait(lambda: desk.nodes()[name]["state"] == "idle")
    assert desk.typed("cluster", "delete", name).returncode == 0
    desk.wait(lambda: desk.nodes() == {})
    assert desk.typed("elastic", "auto", "on").returncode == 0


def make_long() -> Callable[[str], int]:
    """A task that says where it runs, and ends only where it is let."""

    def long(folder: str) -> int:
        (Path(folder) / str(os.getpid())).touch()
        while not (Path(folder) / "end").exists():
            time.sleep(0.05)
        return os.getpid()

    return long


def test_a_vacated_node_stays_and_its_task_begins_anew_elsewhere(desk: Desk, tmp_path: Path) -> None:
    """A task that would never end there is ended, and runs on the other node; the first is held, and let go again."""
    assert desk.told("elastic", "auto", "off") == {"auto": False}
    assert desk.told("pool", "launch", "desk", "1")["taken"] == 1
    desk.wait(lambda: [each["state"] for each in desk.nodes().values()] == ["idle"])
    (name,) = desk.nodes()
    with Cluster(socket=desk.site.socket) as cluster:
        future = cluster.submit(make_long(), str(tmp_path))
        desk.wait(lambda: len([*tmp_path.iterdir()]) == 1)
        desk.typed("pool", "launch", "desk", "1")
        desk.wait(lambda: sorted(each["state"] for each in desk.nodes().values()) == ["busy", "idle"])
        assert desk.told("cluster", "vacate", name) == {"asked": "vacate", "node": name}
        desk.wait(lambda: len([*tmp_path.iterdir()]) == 2)
        desk.wait(lambda: desk.nodes()[name]["state"] == "held")
        first = {int(each.name) for each in tmp_path.iterdir()}
        (tmp_path / "end").touch()
        assert future.result(LIMIT) in first
    desk.typed("cluster", "unhold", name)
    desk.wait(lambda: desk.nodes()[name]["state"] == "idle")
    desk.typed("elastic", "auto", "on")
    desk.wait(lambda: desk.nodes() == {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pool", "freeze", "nowhere"), "nowhere"),
        (("pool", "launch", "desk", "-1"), "-1"),
        (("pool", "launch", "desk", "many"), "many"),
        (("cluster", "hold", "nobody"), "nobody"),
        (("explain", "pool", "nowhere"), "nowhere"),
        (("explain", "node", "nobody"), "nobody"),
    ],
)
def test_what_does_not_exist(desk: Desk, words: tuple[str, ...], said: str) -> None:
    """Is named, in one line, without a traceback; the exit code says that it failed."""
    found = desk.typed(*words)
    assert found.returncode != 0
    assert said in found.stderr
    assert "Traceback" not in found.stderr + desk.master.text()
