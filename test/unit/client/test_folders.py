"""Folders that the wire cannot carry are left out, instead of keeping a program from its cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from asyncluster.client.find import import_path
from asyncluster.client.opening import JobOptions


@pytest.mark.parametrize("how", ["no text", "removed"])
def test_where_we_are(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is no text, or it was removed: tasks run wherever workers are."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path)])
    if how == "removed":
        os.rmdir(folder)
    assert JobOptions().folder == ""
    assert import_path() == (str(tmp_path),)
