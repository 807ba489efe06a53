"""Which nodes are here, in a file: a master that follows one that was killed waits for these, and no longer.

The file is a help, not a promise: without it, or when it is a moment old, the new master rests for its whole time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_log = Logger()

FILE = "nodes.json"
SAY_SECONDS = 0.05
"""How long changes are gathered: a thousand nodes may come at once."""


class Roll:
    """Names in a file of the state folder."""

    def __init__(self, clock: IReactorTime, path: Path) -> None:
        self._clock, self._path = clock, path
        self._names: list[str] = []
        self._due = False

    def former(self) -> set[str] | None:
        """Who was here when a former master ended; None when that is not known."""
        try:
            names = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return set(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None

    def note(self, names: Iterable[str]) -> None:
        """These are here now; written down in a moment."""
        self._names = list(names)
        if not self._due:
            self._due = True
            self._clock.callLater(SAY_SECONDS, self._write)

    def _write(self) -> None:
        self._due = False
        fresh = self._path.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(self._names), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            _log.warn("cannot write {path}: {error}", path=str(self._path), error=str(error))
