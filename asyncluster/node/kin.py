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

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 5
PROC = Path("/proc")


def adopt() -> None:
    """Be the parent of what descendants leave behind, from now on; children do not inherit that.

    Raises OSError where that is refused, as what contains us may have it; then it is the machine's first process's.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def die_with(parent: int) -> bool:
    """Be killed when our parent ends; whether it still is the one of that number.  A change of uid would undo it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def bury() -> dict[int, int]:
    """Children of ours that have ended, each for the only time: pid, status as from waitpid."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):  # there are no others
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = found[1]
    return ended


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
    return [each for each in descendants(pid) if not has_ended(each)]


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
    """By looking at all processes of the machine.  Without any library: a worker asks, whose folders are a task's."""
    parent = b"%d" % pid
    return [int(each) for each in os.listdir(PROC) if each.isdigit() and _told(each)[1:2] == [parent]]


def has_ended(pid: int) -> bool:
    """Whether it is gone, or only waits for its parent to ask how it ended."""
    return _told(pid)[:1] in ([], [b"Z"], [b"X"])


def _told(pid: int | str) -> list[bytes]:
    """State, parent and so on: what the kernel tells behind the name, which may be any bytes; [] where it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


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
