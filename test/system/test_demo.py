"""The demonstration, as `bin/demo` runs it after installing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.real


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with room for a socket's name; pytest's are too deep, and /tmp would be taken in their place."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.timeout(240)
def test_demo_runs_and_leaves_nothing(short: Path) -> None:
    """It compares, reports, and removes its folders and services."""
    environ = {**os.environ, "TMPDIR": str(short)}
    found = subprocess.run(
        [sys.executable, "-P", "-m", "asyncluster.demo"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    for part in ("times as fast", "equal results", "local-1", "local-2", "What to type next"):
        assert part in found.stdout
    assert list(short.iterdir()) == []
