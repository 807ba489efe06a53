"""Everything below this process: its children and theirs, and whatever the kernel gives us since its parent ended."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import time
from collections.abc import Callable, Iterator

import psutil

GRACE = 5.0
"""Seconds that programs have to end after SIGTERM."""

_PR_SET_CHILD_SUBREAPER = 36


def inherit_orphans() -> None:
    """From now on what is below us stays below us, whoever of its parents ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_all(bury: Callable[[], object], grace: float = GRACE) -> None:
    """SIGHUP and SIGTERM to all, then, after the grace, SIGKILL; bury: waits for children that have ended.

    Returns when nothing is left, or nothing but what the kernel does not let go of within another grace.
    """

    def is_left() -> bool:
        bury()
        return any(True for _ in _below())

    for process in _below():
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            _signal(process, number)
    deadline = time.monotonic() + grace
    while is_left() and time.monotonic() < deadline:
        time.sleep(0.02)
    while is_left() and time.monotonic() < deadline + GRACE:
        for process in _below():
            _signal(process, signal.SIGKILL)
        time.sleep(0.01)


def _below() -> Iterator[psutil.Process]:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.send_signal(number)
