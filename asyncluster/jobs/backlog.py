"""The queued tasks of whole jobs: each goes to its line, by what its code needs.

A job has one line in the queue for each room that its tasks need (see `placing`): what does not fit a node holds up
nothing that does.  Most jobs have the plain line only.
"""

from __future__ import annotations

from asyncluster.jobs.book import JobRecord, TaskLine
from asyncluster.jobs.queue import Queue
from asyncluster.model.messages import Task


class Backlog:
    """What is done to the queue by job; `queue` is what the dispatcher takes from."""

    def __init__(self) -> None:
        self.queue: Queue[TaskLine] = Queue()

    def add(self, job: JobRecord, tasks: dict[int, Task]) -> None:
        """Append tasks (by number); their numbers must not be queued yet."""
        if not job.special:
            self.queue.add(job.plain, tasks)
            return
        for line, some in _by_line(job, tasks).items():
            self.queue.add(line, some)

    def put_back(self, job: JobRecord, tasks: list[Task]) -> None:
        """Put tasks in front of their lines, the first of them foremost."""
        if not job.special:
            self.queue.put_back(job.plain, tasks)
            return
        for line, some in _by_line(job, {task.seq: task for task in tasks}).items():
            self.queue.put_back(line, some.values())

    def remove(self, job: JobRecord, seq: int) -> Task | None:
        """Take one task out, None where it is not queued.  Lines may be left empty: see `tidy`."""
        for line in job.lines.values():
            task = self.queue.remove(line, seq)
            if task is not None:
                return task
        return None

    def tidy(self, job: JobRecord) -> None:
        """After removals: empty lines leave the turns."""
        for line in job.lines.values():
            self.queue.tidy(line)

    def clear(self, job: JobRecord) -> None:
        """Forget all tasks of a job."""
        for line in job.lines.values():
            self.queue.clear(line)

    def pause(self, job: JobRecord, paused: bool) -> None:
        """Give out nothing of this job, or again."""
        job.paused = paused
        self._let(job)

    def hold(self, job: JobRecord, held: bool) -> None:
        """Give out nothing of this job until as many have said that it may be given out again."""
        job.held += 1 if held else -1
        self._let(job)

    def _let(self, job: JobRecord) -> None:
        for line in job.lines.values():
            self.queue.pause(line, job.stands)


def _by_line(job: JobRecord, tasks: dict[int, Task]) -> dict[TaskLine, dict[int, Task]]:
    lines: dict[TaskLine, dict[int, Task]] = {}
    for seq, task in tasks.items():
        lines.setdefault(job.line(task.code), {})[seq] = task
    return lines
