"""The public face of the package."""

from __future__ import annotations

import subprocess
import sys

import asyncluster


def test_importing_is_light() -> None:
    """Neither the package nor `Cluster` imports Twisted before it is used."""
    code = "import sys, asyncluster; asyncluster.Cluster; sys.exit('twisted' in sys.modules)"
    path = ":".join(entry for entry in sys.path if entry)
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0


def test_all_names_are_there() -> None:
    """Everything in `__all__` can be had."""
    assert all(getattr(asyncluster, name) for name in asyncluster.__all__)
