"""Daemons as an administrator runs them: clean stops, dismissal, giving up, names, checks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster import Cluster, LinkLostError, ProofError
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A master of this test's own."""
    with Site(tmp_path) as made:
        made.start_master()
        yield made


def test_a_node_stops_cleanly(site: Site) -> None:
    """What runs on a stopping node finishes there; what it had not begun is done elsewhere; each runs once."""
    first = site.start_node("first")
    notes, go_on = site.folder / "notes", site.folder / "go on"

    def note(number: int) -> int:
        with notes.open("a") as file:
            file.write(f"{number}\n")
        while not go_on.exists():
            time.sleep(0.01)
        return number

    with Cluster(socket=site.socket) as cluster:
        futures = [cluster.submit(note, number) for number in range(6)]
        until(notes.exists)
        site.start_node("second")
        first.process.send_signal(signal.SIGTERM)
        site.daemons[0].wait_for("node first is leaving")
        go_on.touch()
        assert first.process.wait(30) == 0
        assert [future.result(timeout=60) for future in futures] == list(range(6))
        assert sorted(notes.read_text().split()) == [str(number) for number in range(6)]
        (left,) = cluster.nodes()
        assert left.name == "second"
        assert left.done >= 1
    assert "Traceback" not in first.text()
    site.daemons[0].wait_for("leaving: the node stops")


def test_who_asks_twice_is_not_told_off(site: Site) -> None:
    """More SIGTERM and SIGINT to a daemon that stops already change nothing and leave no traceback."""
    node = site.start_node("node")
    begun, go_on = site.folder / "begun", site.folder / "go on"

    def work() -> int:
        begun.touch()
        while not go_on.exists():
            time.sleep(0.01)
        return 7

    with Cluster(socket=site.socket) as cluster:
        future = cluster.submit(work)
        until(begun.exists)
        node.process.send_signal(signal.SIGTERM)
        node.process.send_signal(signal.SIGTERM)
        site.daemons[0].wait_for("node node is leaving")
        node.process.send_signal(signal.SIGTERM)
        node.process.send_signal(signal.SIGINT)
        go_on.touch()
        assert future.result(timeout=30) == 7
        assert node.process.wait(30) == 0
    assert "Traceback" not in node.text()
    assert "ReactorNotRunning" not in node.text()


def test_a_task_longer_than_the_limit_is_returned(tmp_path: Path) -> None:
    """When the drain limit is over the task is given back uncharged, and runs on another node."""
    with Site(tmp_path) as site:
        site.start_master()
        first = site.start_node("first", client={"drain limit": "1s"})
        go_on = tmp_path / "go on"

        def wait_for_it() -> None:
            while not go_on.exists():
                time.sleep(0.01)

        with Cluster(socket=site.socket, crash_limit=1) as cluster:
            future = cluster.submit(wait_for_it)
            until(lambda: cluster.status()["running"])
            site.start_node("second")
            assert first.stop(signal.SIGTERM) == 0
            go_on.touch()
            assert future.result(timeout=60) is None
            (left,) = cluster.nodes()
            assert (left.name, left.done) == ("second", 1)


def test_a_master_stops_cleanly(site: Site) -> None:
    """What runs finishes and its large result arrives whole; what had not begun fails with a reason; exit 0."""
    node = site.start_node("node")
    begun = site.folder / "begun"

    def work() -> bytes:
        begun.touch()
        time.sleep(1.5)
        return b"x" * 20_000_000

    with Cluster(socket=site.socket, reconnect=0) as cluster:
        running = cluster.submit(work)
        queued = [cluster.submit(time.sleep, 300.0) for _ in range(4)]
        until(begun.exists)
        master = site.daemons[0]
        assert master.stop(signal.SIGTERM) == 0
        assert len(running.result(timeout=60)) == 20_000_000
        with pytest.raises(LinkLostError):
            queued[-1].result(timeout=60)
    assert not Path(site.socket).exists()
    node.wait_for("trying again in")
    assert "Traceback" not in master.text()


def test_a_node_finds_the_next_master(site: Site) -> None:
    """A master is killed and another started: the node is there again, by itself."""
    site.start_node("faithful")
    site.daemons[0].process.kill()
    site.daemons[0].process.wait()
    site.start_master()
    with Cluster(socket=site.socket) as cluster:
        until(cluster.nodes)
        assert cluster.submit(time.sleep, 0.0).result(timeout=60) is None


def test_a_node_gives_up(tmp_path: Path) -> None:
    """Without a master it retries every so often, then ends itself after its time, saying so."""
    with Site(tmp_path) as site:
        node = site.start_node("alone", wait=False, client={"give up after": "3s"})
        assert node.process.wait(30) == 1  # for who started it: it did not end as it should
        assert "no master answers at" in node.text()
        assert "this node ends itself" in node.text()


def test_dismissal(site: Site) -> None:
    """A dismissed node finishes what it runs and ends."""
    node = site.start_node("gone")
    site.start_node("stays")
    with Cluster(socket=site.socket) as cluster:
        futures = [cluster.submit(time.sleep, 0.3) for _ in range(8)]
        until(lambda: cluster.status()["running"] == 2)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", site.socket, "node", "remove", "gone"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert node.process.wait(60) == 0
        assert [future.result(timeout=60) for future in futures] == [None] * 8


def test_a_name_is_taken(site: Site) -> None:
    """A second daemon of the same name is refused with what to change, and the first is not disturbed."""
    site.start_node("twin")
    copy = site.folder / "copy"
    copy.mkdir()
    second = Site(copy, port=site.port, password=site.password, server_password=site.server_password)
    with second:
        node = second.start_node("twin", wait=False)
        node.wait_for("give this one another `name`")
        with Cluster(socket=site.socket) as cluster:
            assert len(cluster.nodes()) == 1


def test_a_person_across_the_network(site: Site) -> None:
    """With an account somebody works over TCP; with a wrong password, or the nodes' account, nobody does."""
    site.start_node("node")
    site.add_user("root", "her own password")
    place = f"127.0.0.1:{site.port}"
    with Cluster(place, user="root", password="her own password") as cluster:
        assert cluster.submit(pow, 2, 10).result(timeout=60) == 1024
        assert list(cluster.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
    with Cluster(place, user="root", password="her own password", server_password=site.server_password) as cluster:
        assert len(cluster.nodes()) == 1
    for user, password in (("root", "wrong"), ("nobody", "her own password"), ("nodes", site.password)):
        with pytest.raises(ProofError, match="refused user"):
            Cluster(place, user=user, password=password)
    with pytest.raises(ProofError, match="server password"):
        Cluster(place, user="root", password="her own password", server_password="not that one")


def test_a_node_of_another_protocol(site: Site) -> None:
    """It is told so, both sides named; the master goes on."""
    config = site.config("odd", site.sections("odd"))
    code = (
        "import sys; from asyncluster.wire import conversation; conversation.PROTOCOL = 7;"
        "from asyncluster.daemon import run; from asyncluster.node.tap import Options, makeService;"
        "sys.exit(run(Options(), makeService, sys.argv[1:]))"
    )
    log = site.folder / "odd.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", code, "--config", str(config)], stdout=stream, stderr=stream)
    try:
        until(lambda: "protocol 7" in log.read_text() and "protocol 1" in log.read_text())
    finally:
        process.terminate()
        process.wait()
    site.start_node("even")
    with Cluster(socket=site.socket) as cluster:
        assert [node.name for node in cluster.nodes()] == ["even"]


@pytest.mark.parametrize("kind", ["master", "node"])
def test_check(tmp_path: Path, kind: str) -> None:
    """`--check` says all faults at once and ends with 1, or that all is good and ends with 0."""
    site = Site(tmp_path)
    twistd = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", twistd, "--nodaemon", "--pidfile=", f"asyncluster-{kind}", "--check", "--config"]
    good = site.config("good", site.sections("x"))
    done = subprocess.run([*command, str(good)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "good for a" in done.stdout) == (0, True), done.stderr
    sections = site.sections("x")
    sections["common"] |= {"tcp prot": "1", "server password": "YOU-MUST-CHANGE-THIS-TOO"}
    bad = site.config("bad", sections)
    done = subprocess.run([*command, str(bad)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "tcp port" in said
    assert "YOU-MUST-CHANGE-THIS" in said
    assert "Traceback" not in said


def test_logs_as_configured_under_twistd(tmp_path: Path) -> None:
    """`log file` and `log format` hold under twistd too; SIGUSR1 opens the file anew, as logrotate wants."""
    log = tmp_path / "own.log"
    site = Site(tmp_path, common={"log file": str(log), "log format": "json"})
    config = site.config("master", site.sections("master"))
    twistd = "from twisted.scripts.twistd import run; run()"
    command = [sys.executable, "-c", twistd, "--nodaemon", "--pidfile=", "asyncluster-master", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: log.exists() and "ready at socket" in log.read_text())
        assert all(json.loads(line) for line in log.read_text().splitlines())
        assert log.stat().st_mode & 0o077 == 0
        log.rename(tmp_path / "rotated.log")
        process.send_signal(signal.SIGUSR1)
        until(log.exists)
        process.terminate()
        process.wait(60)  # twistd ends by the signal that stopped it
        assert "the master has stopped" in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_port_in_use_under_twistd(site: Site, tmp_path: Path) -> None:
    """A sentence, not a traceback; the master that is there goes on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        sections = site.sections("second")
        sections["common"] |= {"tcp port": str(taken.getsockname()[1]), "socket": str(tmp_path / "other")}
        sections["server"] |= {"state folder": str(tmp_path / "second")}
        config = site.config("second", sections)
        twistd = "from twisted.scripts.twistd import run; run()"
        command = [sys.executable, "-c", twistd, "-n", "--pidfile=", "asyncluster-master", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "another program has the port" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_pools_that_cannot_be_had_under_twistd(tmp_path: Path) -> None:
    """Told on the terminal before it goes into the background, and its end is an error."""
    site = Site(tmp_path)
    config = site.config("master", site.sections("master"))
    yaml, template = config.with_suffix(".yaml"), tmp_path / "node.sh"
    template.write_text("#!/bin/sh\n{{ nothing }}\n")
    unit = f"{{image_id: a, instance_type: b, userdata_file: {template}}}"
    yaml.write_text(f"cloud: {{a: {{type: aws, quantity: {{max: 1}}, price: 1, config: {unit}}}}}\n")
    twistd = "from twisted.scripts.twistd import run; run()"
    logged = (f"--pidfile={tmp_path / 'pid'}", f"--logfile={tmp_path / 'log'}")
    command = [sys.executable, "-c", twistd, *logged, "asyncluster-master", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{template}, line 2: 'nothing' is undefined" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
