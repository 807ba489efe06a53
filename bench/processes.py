"""Reads processor time and memory of processes from /proc; needs no library, so that any environment can do it.

Which processes belong to a system is told by the tree: the keeper makes itself the reaper of orphans, so whatever
a driver starts, daemons that leave their parent included, stays below the keeper. Linux only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """One process; `seconds` is its own processor time, `reaped` that of the dead children it has waited for."""

    pid: int
    parent: int
    state: str
    seconds: float
    reaped: float


def parse_stat(text: str) -> Stat:
    """Read one /proc/PID/stat; the command may itself hold blanks and brackets, so count from the last bracket."""
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    own, waited = (int(fields[11]) + int(fields[12])) / TICKS, (int(fields[13]) + int(fields[14])) / TICKS
    return Stat(int(head.split(" ", 1)[0]), int(fields[1]), fields[0], own, waited)


def stat(pid: int) -> Stat | None:
    """One process, or None when it is gone."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
    except (OSError, IndexError, ValueError):
        return None


def everybody() -> list[Stat]:
    """All processes of the machine."""
    found = (stat(int(entry)) for entry in os.listdir(PROC) if entry.isdigit())
    return [process for process in found if process is not None]


def below(root: int, processes: Iterable[Stat]) -> list[Stat]:
    """The descendants of `root`, without itself."""
    children: dict[int, list[Stat]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found: list[Stat] = []
    waiting = [root]
    while waiting:
        fresh = children.get(waiting.pop(), [])
        found += fresh
        waiting += [process.pid for process in fresh]
    return found


def descendants(root: int) -> list[Stat]:
    """The living descendants of `root`."""
    return [process for process in below(root, everybody()) if process.state != "Z"]


def tree_seconds(root: int) -> float:
    """Processor time in seconds of all descendants of `root`, with what their dead children took."""
    return sum(process.seconds + process.reaped for process in below(root, everybody()))


def own_seconds(pid: int) -> float | None:
    """Processor time in seconds of one process, None when it is gone."""
    process = stat(pid)
    return None if process is None else process.seconds


def resident(pid: int) -> int | None:
    """Resident memory of one process in bytes, None when it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def command(pid: int) -> list[str]:
    """The argument list of one process, empty when it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []
