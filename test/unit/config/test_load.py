"""Files: which one is found, which are refused, and how that is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncluster.config.load import exposure, find, load, look_around
from asyncluster.errors import ConfigError, SecretExposedError

GOOD = "[common]\nserver password = master-secret\n[client]\nuser = node\npassword = node-secret\n"
PLAIN = "[common]\nsocket = /run/x\n"


def file(folder: Path, text: str | bytes, mode: int = 0o600) -> str:
    """A file of that text and mode."""
    path = folder / "asyncluster.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def status(mode: int, uid: int, gid: int = 0) -> os.stat_result:
    """A file's status with just what matters."""
    return os.stat_result((0o100000 | mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "mend"),
    [
        (0o600, 7, 7, ""), (0o640, 7, 7, ""), (0o640, 0, 9, ""), (0o400, 0, 0, ""), (0o700, 7, 7, ""),
        (0o644, 7, 7, "chmod 600 /etc/x"), (0o644, 0, 9, "chmod 640 /etc/x"), (0o660, 7, 7, "chmod 600 /etc/x"),
        (0o602, 7, 7, "chmod 600 /etc/x"), (0o604, 0, 0, "chmod 600 /etc/x"), (0o600, 4242424, 7, "chown "),
    ],
)  # fmt: skip
def test_who_may_read_secrets(mode: int, uid: int, gid: int, mend: str) -> None:
    """Owner root or ourselves, nobody else writes, only the group reads; otherwise the command that mends it."""
    said = exposure("/etc/x", status(mode, uid, gid), 7)
    assert (mend in said) if mend else said == ""
    if said:
        assert f"{mode:04o}" in said


def test_an_exposed_file_is_refused_with_its_other_faults(tmp_path: Path) -> None:
    """By name, with the chmod, and whatever else is wrong in the same message."""
    path = file(tmp_path, GOOD + "slots = x\n", 0o644)
    with pytest.raises(SecretExposedError) as caught:
        load(path, need="node")
    assert f"chmod 600 {path}" in str(caught.value)
    assert "[client] slots" in str(caught.value)
    assert "secret\n" not in str(caught.value)


def test_placeholders_and_broken_text_count_as_secrets(tmp_path: Path) -> None:
    """The fresh template is told of its mode before a password is in it; in doubt a file holds secrets."""
    for text in ("[client]\npassword = YOU-MUST-CHANGE-THIS\n", "[client\npassword = x\n"):
        with pytest.raises(SecretExposedError):
            load(file(tmp_path, text, 0o644), need="client")
    url = "[server]\ndatabase = postgresql://me:pw@host/base\n"
    with pytest.raises(SecretExposedError):
        load(file(tmp_path, url, 0o644), need="client")


def test_a_file_without_secrets_may_be_read_by_all(tmp_path: Path) -> None:
    """As a client's own file with the socket alone."""
    assert load(file(tmp_path, PLAIN, 0o644), need="client").common.socket == "/run/x"


def test_a_good_file(tmp_path: Path) -> None:
    """Loads, with a byte order mark too, and knows where it came from."""
    path = file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), 0o640)
    found = load(path, need="master")
    assert found.origin == path
    assert found.client.slots >= 1
    assert found.client.name


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"[common]\n\xff", ":2: is not UTF-8"), (b"\0", "NUL"), (b"#" * (2 << 20), "larger than 1 MiB")],
)
def test_files_that_are_no_text(tmp_path: Path, text: bytes, said: str) -> None:
    """Each is a ConfigError that says so."""
    with pytest.raises(ConfigError, match=said):
        load(file(tmp_path, text), need="client")


def test_what_is_no_file(tmp_path: Path) -> None:
    """Missing, a folder, a FIFO, an impossible name: clear errors, and no waiting."""
    os.mkfifo(tmp_path / "fifo")
    for path, said in [
        (tmp_path / "none", r"No such file.*begin with a copy"), (tmp_path, "is a directory"),
        (tmp_path / "fifo", "no ordinary file"), ("a\0b", "cannot be read"), (tmp_path / ("x" * 300), "too long"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            load(str(path), need="client")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    """The message tells what a service and what a client can do."""
    with pytest.raises(ConfigError, match=r"Permission denied.*chgrp"):
        load(file(tmp_path, GOOD, 0o000), need="client")


def test_where_files_are_looked_for(tmp_path: Path) -> None:
    """Named, then $ASYNCLUSTER_CONF, then the person's."""
    own = tmp_path / ".config" / "asyncluster"
    own.mkdir(parents=True)
    home = {"HOME": str(tmp_path)}
    assert find(environment=home) in (None, "/etc/asyncluster.conf")
    expected = file(own, PLAIN)
    assert find(environment=home) == expected
    assert find(environment={**home, "XDG_CONFIG_HOME": "relative"}) == expected
    assert find(environment={"HOME": "/nowhere", "XDG_CONFIG_HOME": str(tmp_path / ".config")}) == expected
    assert find(environment={**home, "ASYNCLUSTER_CONF": "/named"}) == "/named"
    assert find("/first", environment={**home, "ASYNCLUSTER_CONF": "/named"}) == "/first"


def test_what_is_seen_of_the_machine() -> None:
    """systemd's state folder wins; there is a name and a core."""
    assert look_around({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).state == "/var/lib/a"
    here = look_around({"HOME": "/home/anna"})
    assert here.home == "/home/anna"
    assert here.cores >= 1
    assert here.state == ("/var/lib/asyncluster" if os.geteuid() == 0 else "/home/anna/.local/state/asyncluster")
