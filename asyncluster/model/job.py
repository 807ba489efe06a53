"""What all tasks of a job have in common."""

from __future__ import annotations

import attrs


@attrs.frozen
class JobSpec:
    """Options of a job as the master keeps them.

    niceness: 0..19; crash_limit: a task is failed when this many attempts of it were lost; priority: the
    higher goes first; path: folders put on the workers' sys.path; python: "3.11", the only
    version whose nodes can run it, or "".
    """

    job: int
    owner: str
    name: str = ""
    niceness: int = 0
    priority: int = 0
    crash_limit: int = 3
    path: tuple[str, ...] = ()
    python: str = ""


@attrs.frozen
class JobView:
    """One line of a list of jobs."""

    job: int
    owner: str
    name: str
    queued: int
    running: int
    done: int
    failed: int
