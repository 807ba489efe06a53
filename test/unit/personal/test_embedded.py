"""Folders of programs that run are never swept away, those of dead ones always are."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

import pytest

from asyncluster.personal import embedded


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder for temporary files is this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def made() -> Path:
    """A folder as the module makes it."""
    return Path(tempfile.mkdtemp(prefix=embedded._PREFIX))


def test_a_sweep_at_any_moment_leaves_a_new_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program sweeps just before the lock is taken, and just after: the folder stays."""
    folder, flock = made(), fcntl.flock

    def slow(lock: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        embedded.sweep()
        flock(lock, how)
        embedded.sweep()

    monkeypatch.setattr(fcntl, "flock", slow)
    lock = embedded._lock_folder(folder)
    embedded.sweep()
    assert [path.name for path in folder.iterdir()] == ["lock"]
    os.close(lock)  # as the kernel does for a program that is killed
    end = time.monotonic() + 60
    while folder.exists():  # a child that another thread has just forked may have the lock until it is another program
        assert time.monotonic() < end
        embedded.sweep()
