"""`asyncluster user`: accounts are verifiers in the master's state folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from asyncluster.cli.main import main
from asyncluster.wire.verifiers import ACCOUNTS_FILE, VerifierFile


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A master's configuration."""
    path = tmp_path / "asyncluster.conf"
    path.touch(mode=0o600)
    path.write_text(
        f"[common]\nserver password = one-long-password\n[server]\nstate folder = {tmp_path / 'state'}\n"
        "[client]\nuser = nodes\npassword = another-long-password\n"
    )
    return path


def run(*words: str) -> str:
    """Run the command; what it printed."""
    result = CliRunner().invoke(main, words, env={"ASYNCLUSTER_PASSWORD": "jane's own password"})
    assert result.exit_code == 0, result.output
    return result.output


def test_an_account_comes_and_goes(conf: Path) -> None:
    """Add, list, remove; the file holds no password."""
    added = run("user", "add", "jane", "--config", str(conf), "--json")
    assert json.loads(added) == {"added": "jane"}
    file = conf.parent / "state" / ACCOUNTS_FILE
    assert VerifierFile(file).find("jane", "client") is not None
    assert "jane's own password" not in file.read_text()
    assert json.loads(run("user", "list", "--config", str(conf), "--json")) == ["jane"]
    assert json.loads(run("user", "remove", "jane", "--config", str(conf), "--json")) == {"removed": "jane"}
    assert run("user", "list", "--config", str(conf)) == ""


def test_nobody_to_remove(conf: Path) -> None:
    """An unknown name is told, with where to look."""
    result = CliRunner().invoke(main, ["user", "remove", "joe", "--config", str(conf)])
    assert result.exit_code == 1
    assert "no account joe" in result.output
