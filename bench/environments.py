"""Makes each system's virtual environment under bench/.envs, once; a system that cannot be installed is skipped.

Ours gets the dependencies that pyproject.toml names and runs from the working tree; rivals see nothing of the
repository but the `bench` package.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from bench.plan import System

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "bench" / ".envs"
PATIENCE = 900  # seconds for one pip


class CannotInstallError(Exception):
    """The environment could not be made; the text is the reason shown in the table."""


def needs(system: System) -> tuple[str, ...]:
    """What pip is asked for."""
    if system.environment != "ours":
        return system.needs
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return tuple(project["dependencies"])


def prepare(system: System) -> Path:
    """The Python of the system's environment, made on demand. Raises CannotInstallError."""
    home = ENVIRONMENTS / system.environment
    python = home / "bin" / "python"
    wanted = needs(system)
    mark = hashlib.sha256("\n".join((sys.version, *wanted)).encode()).hexdigest()
    stamp = home / "asyncluster-bench.stamp"
    if python.exists() and stamp.exists() and stamp.read_text() == mark:
        return python
    home.mkdir(parents=True, exist_ok=True)
    log = ENVIRONMENTS / f"{system.environment}.log"
    call([sys.executable, "-m", "venv", str(home)], log)
    if wanted:
        call([str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *wanted], log)
    stamp.write_text(mark)
    return python


def call(command: list[str], log: Path) -> None:
    """Run one installation step with its output in `log`. Raises CannotInstallError."""
    try:
        with log.open("w") as stream:
            subprocess.run(
                command, check=True, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, timeout=PATIENCE
            )
    except (subprocess.SubprocessError, OSError) as error:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
        raise CannotInstallError(f"{lines[-1] if lines else error} (see {log.relative_to(ROOT)})") from error


def import_path(system: System) -> str:
    """PYTHONPATH for a system: the whole tree for ours, for rivals a folder in which only `bench` is found."""
    if system.environment == "ours":
        return str(ROOT)
    folder = ENVIRONMENTS / "path"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "bench"
    if not link.is_symlink():
        link.symlink_to(ROOT / "bench", target_is_directory=True)
    return str(folder)


def variables(system: System, temporary: Path) -> dict[str, str]:
    """The environment of a driver: private folders, no telemetry, one thread per numerical library."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    private = {name: str(temporary) for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "IPYTHONDIR")}
    private |= {f"XDG_{name}_HOME": str(temporary / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")}
    python_bin = ENVIRONMENTS / system.environment / "bin"
    return {
        **kept,
        **private,
        "PATH": f"{python_bin}:{kept.get('PATH', os.defpath)}",  # Parsl and ipyparallel start their helpers by name
        "PYTHONPATH": import_path(system),
        "PYTHONUNBUFFERED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "DO_NOT_TRACK": "1",
    }
