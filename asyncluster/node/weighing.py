"""How much memory a worker uses, together with the processes it started: read from /proc.

Cheap: a worker without children is one small file.  The sum counts what processes share (after a fork, say) once
each; only where it would be above the limit are the pages shared out, which costs the kernel a walk over them.
"""

from __future__ import annotations

import os

from asyncluster.node.kin import PROC, descendants

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
