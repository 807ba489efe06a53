"""A batch system that only keeps a list: a `PilotQueue` for tests of what asks for pilots.

`state` moves a job on, `end` takes it off; `refuse` and `silent` make the next calls fail as a real one would;
`after_listing` happens when a listing has been made.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from asyncluster.errors import CommandFailedError, NoAnswerError
from asyncluster.model.batch import BatchJob, BatchState

_NAME = re.compile(r"^#(?:SBATCH --job-name=|\$ -N |PBS -N )(\S+)$", re.MULTILINE)


@attrs.define(eq=False)
class FakeQueue:
    """jobs: by id, in the order of submission; scripts: what was handed in; cancelled, released: ids."""

    jobs: dict[str, BatchJob] = attrs.field(factory=dict)
    scripts: dict[str, str] = attrs.field(factory=dict)
    cancelled: list[str] = attrs.field(factory=list)
    released: list[str] = attrs.field(factory=list)
    refuse: str = ""  # what it says to a submission
    silent: bool = False  # it cannot be asked
    deaf: bool = False  # a submission is taken, and its answer lost
    after_listing: Callable[[], object] = lambda: None

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Take a job; its name is read off the script, as a real one does."""
        self._answer()
        if self.refuse:
            raise CommandFailedError(f"submit: {self.refuse}", ("submit", *extra), 1, self.refuse)
        found = _NAME.search(script)
        job = str(len(self.scripts) + 1)
        state = BatchState.HELD if held else BatchState.QUEUED
        self.jobs[job] = BatchJob(job, state, name=found[1] if found is not None else "")
        self.scripts[job] = script
        if self.deaf:
            raise NoAnswerError("submit did not end in time")
        return job

    async def cancel(self, job: str) -> None:
        """Take it off the list; one that is not there is no fault."""
        self._answer()
        self.cancelled.append(job)
        self.jobs.pop(job, None)

    async def release(self, job: str) -> None:
        """It has its turn."""
        self._answer()
        self.released.append(job)
        self.state(job, BatchState.QUEUED)

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Those whose names begin so."""
        self._answer()
        found = tuple(job for job in self.jobs.values() if job.name.startswith(prefix))
        self.after_listing()
        return found

    def state(self, job: str, state: BatchState, *nodes: str, reason: str = "") -> None:
        """The job is in that state now, on these nodes."""
        self.jobs[job] = attrs.evolve(self.jobs[job], state=state, nodes=nodes, reason=reason)

    def end(self, job: str) -> None:
        """It is over."""
        self.jobs.pop(job, None)

    def _answer(self) -> None:
        if self.silent:
            raise NoAnswerError("the batch system does not answer")
