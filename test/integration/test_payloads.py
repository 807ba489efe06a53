"""Large arguments and results through real processes: memory is bounded, nothing is lost, nobody waits for others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster import Cluster
from asyncluster.errors import RefusedError
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # gigabytes, on a machine that has other things to do

MIB = 1024 * 1024
LIMIT = 300.0
"""Seconds after which a test gives up; on a machine that does nothing else it takes a tenth."""

SLACK = 120 * MIB
"""What a process has beside its payloads: its code, buffers of links, what the allocator has not given back."""

SLOW_CLIENT = """
import sys
from asyncluster import Cluster

with Cluster(socket=sys.argv[1], durable=False) as cluster:
    made = [cluster.submit(bytes, 16 << 20) for _ in range(12)]
    print("submitted", flush=True)
    sys.stdin.readline()
    print(sum(len(each.result()) for each in made), flush=True)
"""


def anonymous(pid: int) -> int:
    """Bytes that cannot be had back by writing them to a file."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


class Watch:
    """The most anonymous memory that processes had, while in use as a context manager."""

    def __init__(self, *pids: int) -> None:
        self.most = dict.fromkeys(pids, 0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            for pid in self.most:
                self.most[pid] = max(self.most[pid], anonymous(pid))


turned = bytes.swapcase
"""Other bytes and as many, by a function that is everywhere."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A master that keeps 64 MiB of payloads in memory; nobody is taken for dead."""
    common = {"heartbeat": "5s", "silence limit": "120s"}
    with Site(tmp_path, common=common, server={"payload memory": "64 MiB"}) as made:
        yield made


def start_node(site: Site) -> int:
    """One with the same bound; its process."""
    return site.start_node("a", slots=2, client={"payload memory": "64 MiB"}).pid


def test_many_large_payloads_both_ways(site: Site) -> None:
    """20 of 64 MiB: master and node stay near 64 MiB of memory, and all come right."""
    master, node = site.start_master().pid, start_node(site)
    data = [os.urandom(MIB) * 64 for _ in range(20)]
    with Watch(master, node) as watch, Cluster(socket=site.socket, durable=False) as cluster:
        made = [cluster.submit(turned, each) for each in data]
        for sent in data:
            assert made.pop(0).result(LIMIT) == turned(sent)
    assert watch.most[master] < 64 * MIB + SLACK
    assert watch.most[node] < 64 * MIB + SLACK


def test_one_payload_that_is_larger_than_memory(site: Site) -> None:
    """600 MiB there and back, while small tasks go on."""
    master, node = site.start_master().pid, start_node(site)
    data = os.urandom(MIB) * 600
    with Watch(master, node) as watch, Cluster(socket=site.socket, durable=False) as cluster:
        made = cluster.submit(turned, data)
        with Cluster(socket=site.socket, durable=False) as other:
            assert list(other.map(abs, range(-100, 0))) == list(range(100, 0, -1))
        assert made.result(LIMIT) == turned(data)
    assert watch.most[master] < 64 * MIB + SLACK
    assert watch.most[node] < 64 * MIB + SLACK


def test_a_killed_master_comes_back_within_its_memory(site: Site) -> None:
    """Arguments that wait in the journal are not all read into memory, neither then nor when they are given out."""
    first = site.start_master()
    data = [os.urandom(MIB) * 16 for _ in range(12)]
    with Cluster(socket=site.socket, reconnect=LIMIT) as cluster:
        made = [cluster.submit(turned, each) for each in data]
        until(lambda: cluster.status()["queued"] == len(data), limit=LIMIT)
        until(lambda: _journal(site) > len(data) * 16 * MIB, limit=LIMIT)
        first.stop(signal.SIGKILL)
        master = site.start_master().pid
        with Watch(master) as watch:
            start_node(site)
            for sent in data:
                assert made.pop(0).result(LIMIT) == turned(sent)
    assert watch.most[master] < 64 * MIB + SLACK


def _journal(site: Site) -> int:
    return sum(file.stat().st_size for file in (site.folder / "state").glob("asyncluster.sqlite*"))


def test_a_client_that_does_not_read_holds_up_nobody(site: Site) -> None:
    """What it is owed waits, on disk beyond the bound; another one works on; then it gets all of it."""
    master = site.start_master().pid
    start_node(site)
    command = [sys.executable, "-c", SLOW_CLIENT, site.socket]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as slow,
        Watch(master) as watch,
        Cluster(socket=site.socket, durable=False) as other,
    ):
        assert slow.stdout is not None
        assert slow.stdout.readline() == "submitted\n"
        slow.send_signal(signal.SIGSTOP)
        try:
            until(lambda: other.status()["running"] == other.status()["queued"] == 0, limit=LIMIT)
            assert list(other.map(abs, range(-100, 0))) == list(range(100, 0, -1))
            data = os.urandom(MIB) * 32
            assert other.submit(turned, data).result(LIMIT) == turned(data)
        finally:
            slow.send_signal(signal.SIGCONT)
        assert slow.communicate("go on\n", LIMIT)[0] == f"{12 * 16 * MIB}\n"
        assert slow.returncode == 0
    assert watch.most[master] < 64 * MIB + SLACK


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_at_the_master(site: Site, small_disk: Path) -> None:
    """Tasks whose arguments find no room are refused, and say what would help; the others are done."""
    site.server |= {"payload memory": "1 MiB", "payload folder": str(small_disk)}
    site.start_master()
    data = os.urandom(MIB) * 16
    with Cluster(socket=site.socket) as cluster:
        made = [cluster.submit(turned, data) for _ in range(6)]
        until(lambda: sum(each.done() for each in made) >= 3, limit=LIMIT)
        start_node(site)
        ends = [each.exception(LIMIT) for each in made]
        refused = [end for end in ends if end is not None]
        assert 3 <= len(refused) < 6
        for end in refused:
            assert isinstance(end, RefusedError)
            assert "No space left on device" in str(end)
            assert f"{small_disk}" in str(end)
            assert "[server] payload folder" in str(end)
        assert all(each.result() == turned(data) for each, end in zip(made, ends, strict=True) if end is None)
        assert cluster.submit(turned, data).result(LIMIT) == turned(data)


def test_a_full_disk_at_the_node(site: Site, small_disk: Path) -> None:
    """A result, or arguments, that find no room there are told as that; the node goes on."""
    site.start_master()
    keys = {"payload memory": "1 MiB", "payload folder": str(small_disk)}
    site.start_node("a", slots=1, client=keys)
    with Cluster(socket=site.socket) as cluster:
        for end in (
            cluster.submit(bytes, 60 * MIB).exception(LIMIT),
            cluster.submit(len, bytes(60 * MIB)).exception(LIMIT),
        ):
            assert isinstance(end, RefusedError)
            assert "[client] payload folder" in str(end)
        assert cluster.submit(len, bytes(20 * MIB)).result(LIMIT) == 20 * MIB
        assert len(cluster.submit(bytes, 20 * MIB).result(LIMIT)) == 20 * MIB
