"""User data that makes a node of a plain image: run as a machine runs it, against a real master."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncluster
from asyncluster import Cluster
from asyncluster.client.pools import Pools
from asyncluster.testing import hosts
from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.namespaces import Machines
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(hosts.missing()), reason=hosts.missing() or "-"),
]

TEMPLATE = Path(__file__).parents[2] / "etc" / "userdata" / "node.sh"  # what is installed has none
HERE = Path(asyncluster.__file__).parent.parent

SECTIONS = """\
dynamic-cluster: {{max_idle_time: 2, auto_provision_interval: 0.5s, cloud_poller_interval: 0.5s}}
cluster: {{type: asyncluster}}
cloud:
  burst:
    type: "asyncluster.testing.userdata_cloud:UserDataCloud"
    quantity: {{min: {least}, max: 2}}
    config:
      cores: 1
      userdata_file: {template}
      master: 10.77.0.1
      features: [cloud]
      arguments: {{prefix: {prefix}}}
"""


class Sky:
    """A site whose master stands on the head, and machines beside it."""

    def __init__(self, beside: BatchHosts, folder: Path) -> None:
        self.beside, self.folder = beside, folder
        # `ip netns exec` would give it mounts of its own, where nobody else sees the namespaces that its cloud makes
        prefix = ("nsenter", f"--net=/run/netns/{beside.space('head')}")
        self.site = Site(folder, host="10.77.0.1", subnets="127.0.0.0/8, 10.77.0.0/24", prefix=prefix)
        self.configure(1)
        self.master = self.site.start_master()
        self.machines = Machines(folder / "state" / "pools" / "burst", beside.prefix)

    def configure(self, least: int) -> None:
        """So many nodes are kept, whatever waits."""
        text = SECTIONS.format(least=least, template=TEMPLATE, prefix=self.beside.prefix)
        (self.folder / "master.yaml").write_text(text)

    def told(self, *words: str) -> Any:
        """What the command line says as JSON."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", self.site.socket, *words, "--json"],
            env=kept | {"PYTHONPATH": str(HERE)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def registered(self) -> list[str]:
        """Names of nodes that are here."""
        with Cluster(socket=self.site.socket) as cluster:
            return [node.name for node in cluster.nodes()]

    def gone(self) -> bool:
        """Whether no machine is left, nor a word of one in the book."""
        with Pools(socket=self.site.socket) as pools:
            return not self.machines.living() and not pools.status()["nodes"]

    def text(self) -> str:
        """What went on, for a test that fails."""
        logs = sorted(self.machines.folder.glob("*/log"))
        return self.master.text()[-3000:] + "".join(path.read_text()[-2000:] for path in logs)

    def end(self) -> None:
        """All is taken down."""
        self.site.__exit__()


@pytest.fixture
def sky(tmp_path: Path) -> Iterator[Sky]:
    """One node is launched as soon as the master runs."""
    with BatchHosts(1, folder=tmp_path) as beside:
        made = Sky(beside, tmp_path)
        try:
            yield made
        except BaseException:
            print(made.text())
            raise
        finally:
            made.end()


def node_pid(sky: Sky, name: str) -> int:
    """Of the node daemon on a machine."""
    answer = subprocess.run(
        ["ip", "netns", "pids", f"{sky.beside.prefix}-{name}"], check=True, capture_output=True, text=True
    )
    for pid in answer.stdout.split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"asyncluster.node" in words:
            return int(pid)
    raise AssertionError(f"no node daemon on {name}")


def test_a_plain_image_becomes_a_node_whose_user_data_is_worth_nothing_then(sky: Sky) -> None:
    """It joins with a secret that serves once, comes back to a master that was killed, and goes when it is idle."""
    until(lambda: sky.registered() == ["burst-1"], "the node is here")
    with Cluster(socket=sky.site.socket) as cluster:
        assert cluster.submit(pow, 2, 10).result(60) == 1024

    findings = {each["name"]: each["ok"] for each in sky.told("cloud", "check")["burst"]}
    assert findings.pop("master")
    assert findings == {"listing": True, "userdata": True, "price": None}
    assert sky.told("cloud", "orphans") == {"orphans": [], "faults": {}, "unasked": [], "leased": []}

    told = (sky.machines.folder / "burst-1" / "user-data").read_text()
    assert "user = ~burst-1" in told
    assert sky.site.password not in told
    assert sky.site.server_password not in told
    pid = node_pid(sky, "burst-1")
    kept = Path("/proc", str(pid), "root", "var/lib/asyncluster/credential.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["password"] not in told

    # somebody who has read the user data, elsewhere in the same network
    conf = next(part for part in shlex.split(told, comments=True) if part.startswith("# Written by AsynCluster"))
    thief = sky.folder / "thief.conf"
    thief.touch(mode=0o600)
    thief.write_text(conf.replace("/var/lib/asyncluster", str(sky.folder / "thief")))
    there = [*sky.beside.on("host1"), sys.executable, "-m", "asyncluster.node", "--config", str(thief)]
    with (sky.folder / "thief.log").open("wb") as log:
        robbing = subprocess.Popen(there, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        sky.master.wait_for(f"{sky.beside.address('host1')} failed its proof as ~burst-1")
    finally:
        robbing.kill()
        robbing.wait()
    assert [node["name"] for node in sky.told("nodes")] == ["burst-1"]

    sky.master.stop(signal.SIGKILL)
    sky.master = sky.site.start_master()
    until(lambda: sky.registered() == ["burst-1"], "the node is back")
    assert node_pid(sky, "burst-1") == pid
    assert "failed its proof" not in sky.master.text()

    sky.master.stop()
    sky.configure(0)
    sky.master = sky.site.start_master()
    until(sky.gone, "nothing is left")
    assert sky.told("cluster", "nodes") == {}


def test_a_node_that_ends_takes_its_machine_with_it(sky: Sky) -> None:
    """The machine shuts itself down, whoever ended the daemon; the pool has another one then."""
    until(lambda: sky.registered() == ["burst-1"], "the node is here")
    os.kill(node_pid(sky, "burst-1"), signal.SIGTERM)
    until(lambda: sky.machines.states()["burst-1"] == "gone", "the machine has ended")
    until(lambda: sky.registered() == ["burst-2"], "another one is here")
