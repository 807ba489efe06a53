"""The end of a session: everything below this process is asked to end, and then made to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from asyncluster.node.kin import living, signal_one

GRACE = 5.0
"""Seconds that programs have to end after SIGTERM."""


def end_all(bury: Callable[[], object], grace: float = GRACE) -> None:
    """SIGHUP and SIGTERM to all, then, after the grace, SIGKILL; bury: waits for children that have ended.

    grace: seconds.  Returns when nothing is left, or nothing but what the kernel does not let go of within another one.
    """

    def is_left() -> bool:
        bury()
        return bool(living(os.getpid()))

    for pid in living(os.getpid()):
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            signal_one(pid, number)
    deadline = time.monotonic() + grace
    while is_left() and time.monotonic() < deadline:
        time.sleep(0.02)
    while is_left():
        for pid in living(os.getpid()):  # once at least: with no grace at all, too
            signal_one(pid, signal.SIGKILL)
        if time.monotonic() >= deadline + grace:
            return
        time.sleep(0.01)
