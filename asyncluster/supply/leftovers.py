"""Which pilots are over, and what of their files is kept.

A batch system lists what is not over, so whoever was listed and is so no more has ended: its pool need not wait for a
node that will not come back.  One listing without it is not believed; the batch system is asked a second time at once.

A pilot that ends well removes its log itself (see `pilot_template`), so the logs of pilots that are over are those of
failures, and scripts are there only where they were refused: of both the newest are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

import attrs

from asyncluster.model.batch import BatchJob

KEPT = 10
"""Logs, and scripts, of failures that are kept in a pool's folder."""

TOLD = 600.0
"""Seconds for which it is told that a pilot is over."""

SCRIPT, LOG = ".sh", ".log"


@attrs.define(eq=False)
class Ends:
    """The jobs of one pool by id: those that were handed in or listed, and those that are over since some time."""

    _known: dict[str, BatchJob] = attrs.field(factory=dict, init=False)
    _over: dict[str, tuple[BatchJob, float]] = attrs.field(factory=dict, init=False)

    def known(self) -> dict[str, BatchJob]:
        """Those that should be in a listing that is asked for now."""
        return dict(self._known)

    def seen(self, jobs: Iterable[BatchJob]) -> None:
        """They are there."""
        for job in jobs:
            self._known[job.id] = job
            self._over.pop(job.id, None)

    def ended(self, jobs: Iterable[BatchJob], now: float) -> None:
        """They are over; now: seconds."""
        for job in jobs:
            self._known.pop(job.id, None)
            self._over[job.id] = job, now

    def over(self, now: float) -> list[BatchJob]:
        """Those that have ended lately."""
        self._over = {key: each for key, each in self._over.items() if now - each[1] < TOLD}
        return [job for job, _ in self._over.values()]


def tidy(folder: Path, living: Collection[str], is_ours: Callable[[str], bool]) -> None:
    """Remove all but the newest logs and scripts of our pilots that are over.

    living: the names of jobs that are not; is_ours: whether a job of that name was one of ours.
    """
    for kind in (LOG, SCRIPT):
        found: list[tuple[float, Path]] = []
        for path in folder.glob(f"*{kind}"):
            with suppress(OSError):  # its job has just removed it
                name = path.name.removesuffix(kind)
                if is_ours(name) and name not in living:
                    found.append((path.stat().st_mtime, path))
        for _, path in sorted(found, reverse=True)[KEPT:]:
            with suppress(OSError):
                path.unlink()
