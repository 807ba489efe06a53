"""What may be looked at on the board: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterable

from asyncluster.jobs import explaining, reasons
from asyncluster.jobs.backlog import Backlog
from asyncluster.jobs.book import JobRecord, NodeRecord
from asyncluster.jobs.cancelling import in_order
from asyncluster.jobs.dependencies import Dependencies
from asyncluster.jobs.explaining import Explanation
from asyncluster.jobs.recovery import Recovered
from asyncluster.jobs.wanting import demand, line_id, may_be_wanted
from asyncluster.jobs.working import count_at_work
from asyncluster.model.batch import Demand
from asyncluster.model.job import JobView
from asyncluster.model.messages import StepDone
from asyncluster.model.need import Need
from asyncluster.model.node import NodeView


class Looks:
    """The board, for those who only ask."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self._jobs: dict[int, JobRecord] = {}
        self._nodes: dict[str, NodeRecord] = {}

    def as_recovered(self, number: int) -> Recovered:
        """What would have to be recovered of an open job now; without what is the client's."""
        return self._jobs[number].recoverable()

    @property
    def queued(self) -> int:
        """Tasks that no node has, without those of paused jobs."""
        return self.backlog.queue.total

    def steps_done(self, number: int) -> list[StepDone]:
        """How the steps that are over ended, once more; for a client that may have missed it."""
        job = self._jobs.get(number)
        if job is None:
            return []
        over = [StepDone(number, step.step, "", "") for step in job.steps if step.step not in job.awaiting]
        return [*job.broken, *over]

    def highest(self, number: int) -> int:
        """The number of the last task that came of an open job; -1: none has."""
        job = self._jobs.get(number)
        return -1 if job is None else job.highest

    def is_alive(self, number: int, seq: int) -> bool:
        """Whether that task has not ended."""
        job = self._jobs.get(number)
        return job is not None and (job.alive(seq) or (job.after is not None and seq in job.after.waiting))

    def alive_numbers(self, number: int) -> list[int]:
        """The tasks of an open job that have not ended."""
        return self._jobs[number].alive_numbers()

    def to_cancel(self, number: int, seqs: Iterable[int] | None) -> list[int]:
        """These tasks, or all that an order to cancel means, each once, as they are to be cancelled in slices."""
        job = self._jobs.get(number)
        return [] if job is None else in_order(job, seqs)

    def is_draining(self, name: str) -> bool:
        """Whether that node has announced its end."""
        node = self._nodes.get(name)
        return node is not None and node.draining

    def has_share(self, node: str, job: int) -> bool:
        """Whether that node was given anything of that job."""
        record = self._nodes.get(node)
        return record is not None and job in record.shares

    def node_views(self) -> list[NodeView]:
        """One line a node, in the order in which they joined."""
        return [node.view() for node in self._nodes.values()]

    def job_views(self) -> list[JobView]:
        """One line an open job."""
        counts = count_at_work(self._nodes.values())
        return [job.view(counts[job.job]) for job in self._jobs.values()]

    def dependencies(self, number: int) -> Dependencies | None:
        """Of an open job in which a task depends, or depended, on another."""
        job = self._jobs.get(number)
        return None if job is None else job.after

    def job_view(self, number: int) -> JobView | None:
        """The line of one job, while it is open."""
        job = self._jobs.get(number)
        if job is None:
            return None
        return job.view(count_at_work([share.node for share in job.shares.values()])[number])

    def needs(self, number: int) -> list[Need]:
        """What the tasks of a job may ask for, each once, in the order of their codes."""
        job = self._jobs.get(number)
        return [] if job is None else list(dict.fromkeys(job.codes[code].need for code in sorted(job.codes)))

    def is_over(self, number: int) -> bool:
        """Whether all tasks of this job, which is open, have ended."""
        job = self._jobs.get(number)
        return job is not None and not job.unfinished

    def demand(self, now: float) -> Demand:
        """What waits, and all nodes, for whoever provides nodes.  now: seconds of the steady clock."""
        return demand(self._jobs.values(), self._nodes.values(), now)

    def why_taken(self, name: str) -> str:
        """Who uses that node, and what becomes of tasks there meanwhile; "" where nobody does."""
        node = self._nodes.get(name)
        return "" if node is None or not node.user else reasons.taken(node)

    def why_stuck(self, number: int) -> str:
        """Why tasks of this job wait and time alone will not help; "" when it will."""
        return self.stuck(number)[0]

    def stuck(self, number: int) -> tuple[str, str]:
        """As `why_stuck`, and the batch job of `demand` that stands for those tasks; "" where they are paused."""
        job = self._jobs.get(number)
        for line in () if job is None else job.lines.values():
            if text := reasons.stuck(line, self._nodes.values()):
                return text, "" if line.paused or line.allowance.bar else line_id(line)
        return "", ""

    def wanted(self, number: int, seq: int) -> str:
        """The batch job of `demand` that stands for a task which waits for room; "" where it does not, or may not."""
        job = self._jobs.get(number)
        lines = () if job is None else job.lines.values()
        return next((line_id(line) for line in lines if seq in line.tasks and may_be_wanted(line)), "")

    def why_waiting(self, number: int) -> str:
        """The one reason for which the first of the waiting tasks of this job waits; "" when none does."""
        job = self._jobs.get(number)
        if job is None:
            return reasons.no_job(number)
        line = next((line for line in job.lines.values() if line.tasks), job.plain)
        return explaining.why_waiting(line, self._nodes.values(), self.backlog.queue.top())

    def explain(self, number: int, seq: int) -> Explanation:
        """Where a task is, and the one reason for it."""
        job = self._jobs.get(number)
        if job is None:
            return Explanation("unknown", reasons.no_job(number))
        return explaining.explain(job, seq, self._nodes.values(), self.backlog.queue.top())
