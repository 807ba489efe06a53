"""The demonstration, as `bin/demo` runs it after installing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real


@pytest.mark.timeout(240)
def test_demo_runs_and_leaves_nothing(tmp_path: Path) -> None:
    """It compares, reports, and removes its folders and services."""
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
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
    assert list(tmp_path.iterdir()) == []
