"""How much memory a worker uses, together with the processes it started: read from /proc.

Cheap: a worker without children is one small file.  The sum counts what processes share (after a fork, say) once
each; only where it would be above the limit are the pages shared out, which costs the kernel a walk over them.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")


def weigh(pid: int, limit: int) -> int:
    """Bytes in use by a process and its descendants, fairly counted where that is above `limit`; 0: it is gone."""
    size = _resident(pid)
    family = descendants(pid) if size else []
    if not family:
        return size
    size += sum(map(_resident, family))
    if size <= limit:
        return size
    return sum(_fair(member) for member in [pid, *family])


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found: list[int] = []
    line = [pid]
    while line:
        children = _children(line.pop())
        found += children
        line += children
    return found


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(PROC / str(pid) / "task")
        texts = [(PROC / str(pid) / "task" / thread / "children").read_text() for thread in threads]
    except FileNotFoundError:  # it, or one of its threads, is gone; or this kernel does not tell children
        return [] if (PROC / "self" / "task" / str(os.getpid()) / "children").exists() else _slowly(pid)
    except OSError:
        return []
    return [int(child) for text in texts for child in text.split()]


def _slowly(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _resident(pid: int) -> int:
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _fair(pid: int) -> int:
    """Resident bytes, those that are shared divided by their sharers; where we may not see that, all of them."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident(pid)
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), _resident(pid))
