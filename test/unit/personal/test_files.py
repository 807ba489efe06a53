"""The configuration that personal mode writes is one that the services accept."""

from __future__ import annotations

from pathlib import Path

import attrs

from asyncluster.config.load import load
from asyncluster.personal.files import Passwords, Settings, make_passwords, master_text, node_text, write_private

SETTINGS = Settings("/tmp/s.sock", Path("/tmp/state"), 4711, Passwords("node-secret", "server-secret"), "nodes")


def test_master_accepts_its_file(tmp_path: Path) -> None:
    """Every key is known, nothing is missing, and the port is closed to the network."""
    write_private(tmp_path / "m.conf", master_text(SETTINGS))
    settings = load(str(tmp_path / "m.conf"), need="master")
    assert settings.common.tcp_port == 4711
    assert settings.common.socket == "/tmp/s.sock"
    assert settings.server.listen == "127.0.0.1"
    assert settings.client.password.reveal() == "node-secret"
    assert settings.warnings == ()


def test_open_master_listens_everywhere(tmp_path: Path) -> None:
    """With other subnets it listens on all interfaces."""
    write_private(tmp_path / "m.conf", master_text(attrs.evolve(SETTINGS, subnets="127.0.0.1, 10.0.0.0/8")))
    assert load(str(tmp_path / "m.conf"), need="master").server.listen == ""


def test_node_accepts_its_file(tmp_path: Path) -> None:
    """Name, slots and the user of all tasks arrive; without them the defaults hold."""
    write_private(tmp_path / "n.conf", node_text(SETTINGS, "local-1", 3, "root", Path("/tmp/node")))
    settings = load(str(tmp_path / "n.conf"), need="node")
    assert (settings.client.name, settings.client.slots, settings.client.run_tasks_as) == ("local-1", 3, "root")
    assert settings.common.server_password.reveal() == "server-secret"
    write_private(tmp_path / "n.conf", node_text(SETTINGS, "local-1", None))
    assert load(str(tmp_path / "n.conf"), need="node").client.run_tasks_as == ""


def test_passwords_are_long_apart_and_masked() -> None:
    """Two different passwords, and a repr that shows neither."""
    one = make_passwords()
    assert one.node != one.server
    assert min(len(one.node), len(one.server)) >= 32
    assert one.node not in repr(one)
    assert one.server not in repr(one)


def test_written_files_are_private(tmp_path: Path) -> None:
    """0600 from the first moment, also in place of one that was open."""
    path = tmp_path / "x.conf"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
