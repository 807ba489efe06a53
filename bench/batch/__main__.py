"""Runs each system in turns on a Slurm of two hosts in network namespaces. Needs root, Slurm, and our dependencies."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from asyncluster.testing.slurm import RealSlurm, missing
from bench.batch.systems import NODES, SYSTEMS
from bench.environments import CannotInstallError, import_path, prepare
from bench.plan import System

LIMIT = 240.0
LOOK = 0.1  # seconds between two looks at the queue


class Meter:
    """Node-seconds: what runs or is just ending, seen every tenth of a second."""

    def __init__(self, slurm: RealSlurm) -> None:
        self.slurm = slurm
        self.used = 0.0
        self.jobs: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.is_set():
            lines = self.slurm.call("squeue", "-h", "-t", "R,CG", "-o", "%i", check=False).split()
            now = time.monotonic()
            self.used += len(lines) * (now - last)
            self.jobs.update(lines)
            last = now
            time.sleep(LOOK)

    def stop(self) -> None:
        """Wait until nothing runs, then look no more."""
        deadline = time.monotonic() + LIMIT
        while self.slurm.call("squeue", "-h", check=False).strip() and time.monotonic() < deadline:
            time.sleep(LOOK)
        self._over.set()
        self._thread.join()


def turn(slurm: RealSlurm, system: System, python: Path) -> dict[str, float]:
    """One system from nothing to nothing. Raises RuntimeError with what it said."""
    with tempfile.TemporaryDirectory(prefix="acb-batch-") as folder:
        settings = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        settings |= {**slurm.environment, "HOME": folder, "PYTHONPATH": import_path(system), "USER": "root"}
        settings["PATH"] = f"{python.parent}:{settings.get('PATH', os.defpath)}"
        command = [slurm.hosts.there("head"), "env", "-i", *(f"{name}={value}" for name, value in settings.items())]
        meter = Meter(slurm)
        with subprocess.Popen(
            [*command, str(python), "-m", "bench.batch.drivers", system.driver, folder, str(time.time())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        ) as driver:
            try:
                out, err = driver.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                driver.kill()
                out, err = driver.communicate()
            finally:
                slurm.call("true")
        if driver.returncode:
            slurm.call("scancel", "-u", "root", check=False)
        meter.stop()
        if driver.returncode:
            raise RuntimeError(f"it ended with {driver.returncode}: {err[-2000:]}")
        figures: dict[str, float] = json.loads(out.strip().splitlines()[-1])
        return figures | {"node-seconds": meter.used, "jobs": len(meter.jobs)}


@contextlib.contextmanager
def cluster() -> Iterator[RealSlurm]:
    """Slurm, with a folder that all its hosts see."""
    with tempfile.TemporaryDirectory(prefix="acb-slurm-") as folder:
        os.chmod(folder, 0o755)
        with RealSlurm(Path(folder) / "slurm", static=NODES, spare=0) as slurm:
            yield slurm


def main() -> int:
    """Print a line for each turn, then the medians; 1 when some turn failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.batch", description=__doc__)
    parser.add_argument("--only", default=",".join(system.name for system in SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if why := missing():
        print(why, file=sys.stderr)
        return 2
    ready: list[tuple[System, Path]] = []
    for system in SYSTEMS:
        if system.name in given.only.split(","):
            try:
                ready.append((system, prepare(system)))
            except CannotInstallError as error:
                print(f"{system.name}: cannot be installed: {error}", file=sys.stderr)
    found: dict[str, list[dict[str, float]]] = {system.name: [] for system, _ in ready}
    failed = False
    with cluster() as slurm:
        for number in range(given.rounds):
            for place in range(len(ready)):  # each begins a round in its turn: what comes first finds cold caches
                system, python = ready[(number + place) % len(ready)]
                try:
                    figures = turn(slurm, system, python)
                except (RuntimeError, ValueError, AssertionError) as error:
                    failed = True
                    print(f"{number + 1} {system.name}: failed: {error}", flush=True)
                    continue
                found[system.name].append(figures)
                shown = ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
                print(f"{number + 1} {system.name}: {shown}", flush=True)
    for system, _ in ready:
        if turns := found[system.name]:
            middle = {name: median(each[name] for each in turns) for name in turns[0]}
            shown = "  ".join(f"{name} {value:6.1f}" for name, value in middle.items())
            print(f"{system.label:<36} {shown}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
