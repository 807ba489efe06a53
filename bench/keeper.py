"""Runs one driver with a time limit and leaves nothing of it behind.

This process makes itself the reaper of orphans (PR_SET_CHILD_SUBREAPER), so every daemon that a system detaches
ends up as our child: what belongs to the system is exactly what is below us, and only that is ever signalled.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyncluster.node import kin
from bench.environments import variables
from bench.plan import Load, System
from bench.processes import descendants

GRACE = 5.0  # seconds between the polite and the final signal


def become_reaper() -> None:
    """Adopt orphans from now on, and hear of children's ends. Raises OSError where the kernel cannot."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    kin.adopt()


def reap() -> dict[int, int]:
    """Collect all children that have ended: exit code (negative: signal) by pid."""
    return {pid: os.waitstatus_to_exitcode(status) for pid, status in kin.bury().items()}


def wait(pid: int, seconds: float) -> int | None:
    """Wait for one child while reaping all; its exit code, or None when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        ended = reap()
        if pid in ended:
            return ended[pid]
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        signal.sigtimedwait({signal.SIGCHLD}, min(left, 1.0))


def settle(seconds: float = 3.0) -> None:
    """Let helpers that end when they see their parent's end do so (multiprocessing's resource tracker)."""
    deadline = time.monotonic() + seconds
    while descendants(os.getpid()) and time.monotonic() < deadline:
        reap()
        time.sleep(0.05)


def clear(grace: float = GRACE) -> int:
    """End everything below us, politely and then not; how many there were."""
    first = descendants(os.getpid())
    for order in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + grace
        for process in descendants(os.getpid()):
            send(process.pid, order)
        while descendants(os.getpid()) and time.monotonic() < deadline:
            reap()
            time.sleep(0.05)
        reap()
    return len(first)


def send(pid: int, order: signal.Signals) -> None:
    """Signal one process, unless it is gone already."""
    try:
        os.kill(pid, order)
    except ProcessLookupError:
        return


def unblock() -> None:
    """A child starts with the usual signal mask."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def drive(system: System, python: Path, load: Load, figures: tuple[str, ...], log: Path) -> dict[str, Any]:
    """One turn of one system. Gives its figures by name, and `version`, `python`, `error` where there are any."""
    temporary = Path(tempfile.mkdtemp(prefix="acb-", dir="/tmp"))  # short: UNIX sockets have 107 characters
    out = temporary / "figures.jsonl"
    arguments = [str(out), str(time.monotonic()), system.driver, json.dumps(asdict(load)), ",".join(figures)]
    try:
        with log.open("ab") as stream:
            child = subprocess.Popen(
                [str(python), "-m", "bench.drivers.run", *arguments],
                cwd=temporary,
                env=variables(system, temporary),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=unblock,  # noqa: PLW1509  the keeper has one thread, the mask must be set before exec
            )
            code = wait(child.pid, load.limit)
            child.returncode = code if code is not None else -signal.SIGKILL  # we reap, subprocess must not
            settle()
            left = clear()
        result = collect(out)
    finally:
        clear()
        shutil.rmtree(temporary, ignore_errors=True)
    if code is None:
        result["error"] = f"not finished in {load.limit:.0f} s"
    elif code != 0:
        result.setdefault("error", f"ended with exit code {code}, see {log.name}")
    if code is not None and left:
        result["left_behind"] = left
    return result


def collect(out: Path) -> dict[str, Any]:
    """Read the records of one turn."""
    result: dict[str, Any] = {"figures": {}}
    lines = out.read_text().splitlines() if out.exists() else []
    for line in lines:
        record = json.loads(line)
        if "figure" in record:
            result["figures"][record["figure"]] = record["values"]
        else:
            result |= record
    return result
