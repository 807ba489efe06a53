"""What a process started, in whatever session or process group: found, signalled, and given to whom it is to end with.

Who *adopts* becomes the parent of descendants whose own parent ended before them, which else is the machine's first
process.  So all that was started below stays below, and nothing that somebody else started is ever mistaken for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 5
PROC = Path("/proc")


def adopt() -> None:
    """Be the parent of what descendants leave behind, from now on; children do not inherit that."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found: list[int] = []
    line = [pid]
    while line:
        offspring = children(line.pop())
        found += offspring
        line += offspring
    return found


def living(pid: int) -> list[int]:
    """The descendants that have not ended."""
    return [each for each in descendants(pid) if not _has_ended(each)]


def children(pid: int) -> list[int]:
    """The processes of which that one is the parent."""
    folder = PROC / str(pid) / "task"
    try:
        threads = os.listdir(folder)
    except OSError:  # it is gone
        return []
    texts = []
    for thread in threads:
        with contextlib.suppress(OSError):  # that thread is gone, the others have theirs
            texts.append((folder / thread / "children").read_text())
    if not texts and not (PROC / "self" / "task" / str(os.getpid()) / "children").exists():
        return _slowly(pid)  # this kernel does not tell children
    return [int(child) for text in texts for child in text.split()]


def _slowly(pid: int) -> list[int]:
    import psutil  # which processes that fork do without

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _has_ended(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def signal_one(pid: int, number: signal.Signals) -> None:
    """Send it, if that process is there and may be sent one: what has become another user is not ours to end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send it to the process group of that number, or to the process alone while it has none yet."""
    with contextlib.suppress(PermissionError):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            signal_one(pid, number)


def signal_family(pid: int, number: signal.Signals) -> None:
    """Send it to a leader of a process group, to that group, and to all that it started in others; to each once.

    SIGCONT: who is missed stays stopped for ever, so there is a second look also where the first found nobody.
    """
    signal_group(pid, number)
    reached: set[int] = set()
    for turn in range(ROUNDS):  # some may be started meanwhile
        fresh = [each for each in descendants(pid) if each not in reached]
        if not fresh and (turn or number != signal.SIGCONT):
            return
        reached.update(fresh)
        for each in fresh:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(each) != pid:
                    signal_one(each, number)
