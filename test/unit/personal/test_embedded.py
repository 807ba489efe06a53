"""Folders of programs that run are never swept away, those of dead ones always are."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster.personal import embedded


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder for temporary files is this test's own; its name is short, else ours would be made elsewhere."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield


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
    embedded.sweep()
    assert not folder.exists()
