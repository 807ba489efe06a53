"""A reactor that counts seconds steadily.

Twisted's own clock is the time of day.  When somebody sets that, or the machine wakes up and is told the time, all
timers of a process are due at once, every peer seems to have been silent for long, or nothing is due for hours.
"""

from __future__ import annotations

import time
from typing import Any


def count_steadily(reactor: Any) -> None:
    """From now on `reactor.seconds()` and all its timers, those that are set already too, go by the steady clock.

    Harmless when done again.  A reactor that keeps its own time (asyncio's) is left alone.
    """
    if getattr(reactor, "seconds", None) is not time.time:
        return
    shift = time.monotonic() - time.time()
    for call in reactor.getDelayedCalls():
        call.time += shift
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
