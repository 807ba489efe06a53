"""What a service is given, and how a failed start is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncluster.inherited import LISTEN_FD
from asyncluster.personal.spawn import StartFailedError, environment, failed, listen, wait_until_ready


def test_environment_holds_no_secret_and_no_relative_path() -> None:
    """Our own variables, passwords among them, stay here; folders of modules become absolute."""
    base = {
        "PATH": "/bin",
        "ASYNCLUSTER_PASSWORD": "x",
        "ASYNCLUSTER_SOCKET": "/s",
        "PYTHONPATH": f"lib{os.pathsep}/abs",
    }
    made = environment(base, {LISTEN_FD: 7})
    assert {name for name in made if name.startswith("ASYNCLUSTER_")} == {LISTEN_FD}
    assert made[LISTEN_FD] == "7"
    assert made["PYTHONPATH"].split(os.pathsep)[:2] == [os.path.abspath("lib"), "/abs"]
    assert made["PATH"] == "/bin"


def test_listen_falls_back_to_a_free_port() -> None:
    """A port that somebody has is replaced by a free one; the socket never makes a reactor wait."""
    with listen() as first, listen(first.getsockname()[1]) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert not first.getblocking()


def test_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    """The last lines and the path are in the message."""
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    text = str(failed("it ended", log))
    assert "line 99" in text
    assert "line 50" not in text
    assert str(log) in text
    assert "nothing was written" in str(failed("it ended", tmp_path / "none"))


@pytest.mark.real
def test_waiting_ends_when_a_service_fails(tmp_path: Path) -> None:
    """A service that ends with a code other than 0 is told at once, not after the time limit."""
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(StartFailedError, match="code 3"):
        wait_until_ready(str(tmp_path / "s"), [(process, tmp_path / "log")], 20.0)
