"""Tests of the file of verifiers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.logger import LogEvent, globalLogPublisher

from asyncluster.errors import ConfigError, SecretExposedError
from asyncluster.wire.proof import Verifier, make_verifier
from asyncluster.wire.verifiers import VerifierFile

NODE = make_verifier("node: odd %name", "node", "p", iterations=4096)
ANN = make_verifier("ann", "client", "p", iterations=4096)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "state" / "accounts"


def test_put_find_remove(path: Path) -> None:
    """What was put is found in its role only, by another reader too, until it is removed."""
    accounts = VerifierFile(path)
    assert accounts.find("ann", "client") is None
    accounts.put(NODE)
    accounts.put(ANN)
    other = VerifierFile(path)
    assert other.find("ann", "client") == ANN
    assert other.find("ann", "node") is None
    assert other.find("node: odd %name", "node") == NODE
    assert other.names() == [("ann", "client"), ("node: odd %name", "node")]
    assert accounts.remove("ann", "client")
    assert not accounts.remove("ann", "client")
    assert other.find("ann", "client") is None


def test_file_is_private_and_whole(path: Path) -> None:
    """The file has mode 0600 whatever the umask, and no temporary file stays."""
    old = os.umask(0)
    try:
        VerifierFile(path).put(NODE)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["accounts"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_exposed_file_is_refused(path: Path, mode: int) -> None:
    """A file that others can read or write is refused with the chmod that mends it."""
    VerifierFile(path).put(NODE)
    path.chmod(mode)
    with pytest.raises(SecretExposedError, match=f"chmod 600 {path}"):
        VerifierFile(path)


def test_faults_name_their_lines_and_no_key(path: Path) -> None:
    """All faulty lines are named; none is quoted."""
    VerifierFile(path).put(NODE)
    with path.open("a") as stream:
        stream.write("nonsense-secret\n\n" + NODE.to_line() + "\n")
    with pytest.raises(ConfigError) as caught:
        VerifierFile(path)
    assert f"{path}, line 3: not a line" in str(caught.value)
    assert f"{path}, line 5: that account is there twice" in str(caught.value)
    assert "nonsense" not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text"):
        VerifierFile(path)


def test_damage_while_running_keeps_the_last_good_state(path: Path) -> None:
    """A slip in an editor locks nobody out, is logged once, is never overwritten, and mends itself."""
    accounts = VerifierFile(path)
    accounts.put(ANN)
    good = path.read_bytes()
    path.write_bytes(b"oops\n")
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        found: list[Verifier | None] = [accounts.find("ann", "client") for _ in range(3)]
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert found == [ANN] * 3
    assert len(events) == 1
    with pytest.raises(ConfigError):
        accounts.put(NODE)
    assert path.read_bytes() == b"oops\n"
    path.write_bytes(good + NODE.to_line().encode() + b"\n")
    assert accounts.find(NODE.name, "node") == NODE


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """A path through a file is a ConfigError naming it, not an empty list of accounts."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/accounts"):
        VerifierFile(tmp_path / "file" / "accounts").put(ANN)
