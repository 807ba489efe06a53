"""Which processes `down` takes for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from asyncluster.config.load import load
from asyncluster.errors import MasterNotFoundError, RefusedError
from asyncluster.personal import daemons, files
from asyncluster.personal.paths import Places, below, private_folder


@pytest.fixture
def own(tmp_path: Path) -> Places:
    """Folders of a personal master that does not run."""
    made = below(tmp_path)
    for folder in (made.config, made.state):
        private_folder(folder, os.getuid())
    return made


def test_a_pid_of_somebody_else_is_never_signalled(own: Places) -> None:
    """A pid file left by a dead service may name any process now: it is not ours unless it runs our file."""
    (own.state / "master.pid").write_text(str(os.getpid()))
    (own.state / "local-1.pid").write_text("nonsense")
    (own.state / "local-2.pid").write_text("1")
    assert daemons.running(own) == []
    assert daemons.down(own, 0.0) == ([], [])  # and this test is still alive


@pytest.mark.real
def test_ours_is_found_and_stopped(own: Places) -> None:
    """A process of ours that runs our file is listed, asked to end and, since it will not, killed."""
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(own.conf)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    (own.state / "master.pid").write_text(str(process.pid))
    assert [daemon.pid for daemon in daemons.running(own)] == [process.pid]
    stopped, killed = daemons.down(own, 0.1)
    assert [daemon.name for daemon in stopped] == [daemon.name for daemon in killed] == ["master"]
    assert process.wait(60) == -9
    assert not (own.state / "master.pid").exists()


@pytest.mark.real
def test_nodes_of_a_killed_master_are_kept_if_they_will_find_the_next_one(own: Places) -> None:
    """Those that would look for another port, or know another password, are stopped."""
    conf = own.node_conf("local-2")
    settings = files.Settings(own.socket, own.state, 4711, files.make_passwords(), "nodes")
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); import time; time.sleep(600)", str(conf)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    (own.state / "local-2.pid").write_text(str(process.pid))
    assert daemons._kept(own, settings, attrs.evolve(settings, subnets="10.0.0.0/8")) == {"local-2"}
    assert process.poll() is None
    assert daemons._kept(own, settings, attrs.evolve(settings, port=4712)) == set()
    assert process.wait(60) < 0


def test_names_of_further_nodes() -> None:
    """The first that are free."""
    assert daemons._free_names({"local-2"}, 2) == ["local-1", "local-3"]
    assert daemons._free_names({"local-2"}, -1) == []


def test_adding_a_node_needs_a_master(own: Places) -> None:
    """Without a master there is nothing to join."""
    with pytest.raises(MasterNotFoundError):
        daemons.add_node(own, None)


def test_another_machine_needs_an_open_port(own: Places) -> None:
    """While the master listens to this machine only, the message says how to open it; then the file is written."""
    settings = files.Settings(own.socket, own.state, 4711, files.make_passwords(), "nodes")
    files.write_private(own.conf, files.master_text(settings))
    with pytest.raises(RefusedError, match="--subnets"):
        daemons.for_other_machine(own, "head", "desk")
    open_settings = files.Settings(own.socket, own.state, 4711, settings.passwords, "nodes", subnets="10.0.0.0/8")
    files.write_private(own.conf, files.master_text(open_settings))
    path = daemons.for_other_machine(own, "head", "desk")
    assert "host = head\n" in path.read_text()
    assert daemons.elsewhere(own) == ["desk"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_limit_that_was_changed_stays(own: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node's settings are written anew at each start, save the one that people are told to change there."""
    monkeypatch.setattr(daemons, "_start", lambda *_: None)
    settings = files.Settings(own.socket, own.state, 4711, files.make_passwords(), "nodes")
    conf = own.node_conf("local-1")
    private_folder(conf.parent, os.getuid())
    daemons._start_node(own, settings, "local-1", 1, {})
    assert load(str(conf), need="node").client.output_limit == 16 << 20
    conf.write_text(conf.read_text().replace("# output limit = 16 MiB", "output limit = 1 GiB"))
    daemons._start_node(own, settings, "local-1", 2, {})
    client = load(str(conf), need="node").client
    assert (client.output_limit, client.slots) == (1 << 30, 2)


@pytest.mark.parametrize(
    "name", ["", "a b", "../../etc/cron.d/x", "-oProxyCommand=x", "a\nslots = 9", "$(id)", "x" * 65]
)
def test_a_node_elsewhere_has_a_proper_name(own: Places, name: str) -> None:
    """It becomes a file's name, a line of that file and a word for ssh; so do hosts: anything else is refused."""
    settings = files.Settings(own.socket, own.state, 4711, files.make_passwords(), "nodes", subnets="10.0.0.0/8")
    files.write_private(own.conf, files.master_text(settings))
    with pytest.raises(RefusedError, match="name"):
        daemons.for_other_machine(own, "head", name)
    with pytest.raises(RefusedError, match="host name"):
        daemons.for_other_machine(own, name and name * 4, "desk")
    assert daemons.elsewhere(own) == []
