"""Whether a process may read the Python that it runs: that of root is often in a folder of root's alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path


def for_everybody(name: str, mode: int) -> bool:
    """As `os.access` for whoever is neither the owner of a file nor in its group; links are followed."""
    try:
        found = os.stat(name)
    except OSError:
        return False
    return mode == os.F_OK or bool(found.st_mode & 0o001)


def shut_folder(folders: Iterable[str], may: Callable[[str, int], bool] = os.access) -> str:
    """The first folder on the way to one of these that this process may not go through, or "".

    What does not exist is not shut.  may: as `os.access`.
    """
    for folder in folders:
        path = Path(folder)
        if not path.is_absolute():
            continue
        for step in (*reversed(path.parents), path):
            name = str(step)
            if not may(name, os.F_OK):
                break
            if not may(name, os.X_OK):
                return name
    return ""
