"""Waiting for what another thread or process does: looked at now and then, not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONG = 60.0
"""Seconds after which a test that waits has failed."""


def until(condition: Callable[[], T], told: str | Callable[[], object] = "", limit: float = LONG) -> T:
    """What the condition gives, once that is true; AssertionError after so many seconds.

    told: what is waited for, or what tells how it stands.  Some looks are long, as programs of a batch system: no more
    than half of the time goes to them.
    """
    end = time.monotonic() + limit
    while True:
        begun = time.monotonic()
        found = condition()
        if found:
            return found
        now = time.monotonic()
        assert now < end, f"it did not come to this within {limit:.0f} s: {told() if callable(told) else told}"
        time.sleep(max(0.02, now - begun))
