"""Whether a process may read the Python that it runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncluster.node.readable import for_everybody, shut_folder

THERE = {"/": True, "/shut": False, "/opt": True, "/opt/python": True, "/opt/python/lib": False}
"""Folders that exist, and whether we may go through."""


def may(path: str, mode: int) -> bool:
    """As the kernel says it to somebody who is not root: what is behind a shut folder, does not exist."""
    above = os.path.dirname(path)
    if path != above and not may(above, os.X_OK):
        return False
    return path in THERE and (mode == os.F_OK or THERE[path])


@pytest.mark.parametrize(
    ("folders", "shut"),
    [
        ([], ""),
        (["", "relative/folder", "/opt", "/opt/python", "/opt/none/at/all"], ""),
        (["/opt", "/shut/python/lib/python3.11"], "/shut"),
        (["/shut"], "/shut"),
        (["/opt/python/lib/python3.11", "/shut"], "/opt/python/lib"),
    ],
)
def test_the_first_folder_that_is_shut(folders: list[str], shut: str) -> None:
    """Is named: it is the one to be opened; what is not there needs no opening."""
    assert shut_folder(folders, may) == shut


def test_what_everybody_may_is_asked_of_the_file(tmp_path: Path) -> None:
    """Root, who asks, may always; what is not there is not shut."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o750)
    inner = shut / "lib"
    inner.mkdir(mode=0o755)

    def rest(name: str, mode: int) -> bool:  # what is above is the machine's
        return not name.startswith(str(shut)) or for_everybody(name, mode)

    assert shut_folder([str(inner)], rest) == str(shut)
    shut.chmod(0o751)
    assert shut_folder([str(inner), str(shut / "gone" / "away")], rest) == ""
