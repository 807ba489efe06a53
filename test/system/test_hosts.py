"""A pool of machines behind Debian's sshd, with a real master: nodes come with the work, outlive masters, and go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncluster import Cluster
from asyncluster.client.pools import Pools
from asyncluster.testing import hosts, sshd
from asyncluster.testing.clouds import end_all, processes
from asyncluster.testing.site import Site
from asyncluster.testing.sshd import PORT, SshHosts
from asyncluster.testing.waiting import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.skipif(bool(hosts.missing() or sshd.missing()), reason=hosts.missing() or sshd.missing()),
]

YAML = """\
dynamic-cluster: {{max_idle_time: {idle}, cloud_poller_interval: 0.5s, auto_provision_interval: 0.5s}}
cloud:
  desks:
    type: hosts
    quantity: {{max: 2}}
    config:
      hosts: [{machines}]
      user: root
      key: {key}
      known_hosts: {known_hosts}
      port: {port}
      ssh_command: {ssh}
      interpreter: {interpreter}
      folder: {folder}
      cores: 1
      time_limit: 60
"""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[SshHosts]:
    """Two of them."""
    with SshHosts(2, folder=tmp_path / "ssh") as made:
        yield made


@pytest.fixture
def site(machines: SshHosts, tmp_path: Path) -> Iterator[Site]:
    """A master on the head, not yet started; in the end no node is left."""
    site = Site(tmp_path, host=machines.address("head"), subnets="10.77.0.0/24", prefix=machines.on("head"))
    site.server |= {"drain limit": "2s"}
    with site:
        yield site
    end_all(tmp_path / "there")


def configure(site: Site, machines: SshHosts, idle: int) -> None:
    text = YAML.format(
        idle=idle,
        machines=", ".join(map(machines.address, machines.names)),
        key=machines.key,
        known_hosts=machines.known_hosts,
        port=PORT,
        ssh=machines.ssh,
        interpreter=machines.interpreter,
        folder=site.folder / "there",
    )
    (site.folder / "master.yaml").write_text(text)


def nodes(site: Site) -> dict[str, Any]:
    """What the engine says of its nodes; {} while the master does not answer."""
    with contextlib.suppress(Exception), Pools(socket=site.socket, reconnect=5.0) as pools:
        return dict(pools.status()["nodes"])
    return {}


def test_machines_work_while_there_is_work(site: Site, machines: SshHosts) -> None:
    """Started by ssh, replaced when they die, ended when they idle; no secret is on any command line."""
    configure(site, machines, idle=3)
    master = site.start_master()
    with Cluster(socket=site.socket) as cluster:
        calls = [cluster.submit(os.uname) for _ in range(4)]
        assert {call.result(60).nodename for call in calls} <= {"host1", "host2"}
        until(lambda: nodes(site))
        (first, *_) = processes(site.folder / "there")
        shown = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
        assert site.password not in shown
        os.killpg(first, signal.SIGKILL)
        assert cluster.submit(os.getpid).result(60)
    until(
        lambda: not nodes(site) and not processes(site.folder / "there"), lambda: (nodes(site), master.text()[-3000:])
    )
    assert not list((site.folder / "there").glob("*/*/node.conf"))


def test_nodes_outlive_a_master_and_a_broken_ssh(site: Site, machines: SshHosts) -> None:
    """A master that follows a killed one finds them, also those of machines that it cannot reach."""
    configure(site, machines, idle=3600)
    master = site.start_master()
    with Cluster(socket=site.socket) as cluster:
        calls = [cluster.submit(time.sleep, 1.0) for _ in range(8)]
        for call in calls:
            call.result(60)
    until(lambda: len([node for node in nodes(site).values() if node["life"] == "up"]) == 2, lambda: nodes(site))
    before = sorted(processes(site.folder / "there"))
    machines.stop("host1")
    master.stop(signal.SIGKILL)
    master = site.start_master()
    until(lambda: "Connection refused" in master.text(), lambda: master.text()[-3000:])
    until(lambda: [node["life"] for node in nodes(site).values()] == ["up", "up"], lambda: nodes(site))
    with Cluster(socket=site.socket) as cluster:
        assert cluster.submit(os.getpid).result(60)
    machines.start("host1")
    assert sorted(processes(site.folder / "there")) == before
    with Pools(socket=site.socket, reconnect=5.0) as pools:
        pools.steer("drain", "desks")
    until(
        lambda: not nodes(site) and not processes(site.folder / "there"), lambda: (nodes(site), master.text()[-3000:])
    )
