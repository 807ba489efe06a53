"""The command line where nothing can be written any more: a sentence, and what only it knows is said elsewhere."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from asyncluster.cli import submit
from asyncluster.cli.main import main


@pytest.mark.parametrize("words", [("--help",), ("config", "template"), ("user", "add", "--help")])
def test_a_full_disk_is_a_sentence(words: tuple[str, ...]) -> None:
    """Also for what is printed before any command is known."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "asyncluster.cli", *words], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == f"asyncluster: nothing more can be written: {os.strerror(errno.ENOSPC)}\n"


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_number_of_a_job_is_not_lost(monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]) -> None:
    """It was handed in, and only this command knows as what."""

    def full(*_: object, err: bool = False, **__: object) -> None:
        if not err:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        said.append(str(_[0]))

    said: list[str] = []
    monkeypatch.setattr(submit, "_hand_in", lambda *_: 12)
    monkeypatch.setattr(click, "echo", full)
    assert CliRunner().invoke(main, ["submit", *more, "--", "true"]).exit_code == 1
    (text,) = said
    assert text.endswith("job 12 was submitted, and its number could not be written: No space left on device")
