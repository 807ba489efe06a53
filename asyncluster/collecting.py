"""When garbage is looked for: rarely in a daemon, and not while a thread makes very many values at a time.

A full search goes through all that there is, and holds up every thread for as long.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

THRESHOLD = 50_000
"""Values made and not freed between searches: a busy daemon makes many that live a millisecond (docs/wire.md)."""

_pauses = 0


def calm() -> None:
    """Keep what is loaded out of the search, and search less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 20)


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Do not search meanwhile; may be nested and overlap.  From the reactor's thread only."""
    global _pauses  # the interpreter has one collector
    if _pauses == 0 and not gc.isenabled():  # somebody else's wish
        yield
        return
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if _pauses == 0:
            gc.enable()
