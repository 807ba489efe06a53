"""Steps of jobs: which nodes apply one at once, what is heard of it, and what its time is charged to.

A step is applied by every worker before its next task of the job.  That it is tried at once, on nodes that may have
nothing to do for the job, is for its client, who then knows whether it works.  So where a task would not be given out
now, no step is either: it is taken to have gone well, and what is wrong with it is told by the next task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import Action, Outbox, ToClient
from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.book import Counters, JobRecord, NodeRecord, Spent
from asyncluster.jobs.helping import introduce
from asyncluster.jobs.settle import finish_steps
from asyncluster.model.messages import STEPS, Cancel, Step, StepDone

CLOSED = 1000
"""Jobs with steps that were closed last, whose owners are charged for what nodes still tell of them."""

HAD = 100_000
"""Nodes that had those jobs, a node counted once for each; beyond that, too, the oldest job is forgotten."""


class Steps:
    """Of one board.  nodes: those that are present."""

    def __init__(self, nodes: Mapping[str, NodeRecord], counters: Counters) -> None:
        self._nodes, self._counters = nodes, counters
        self._closed: dict[int, tuple[Allowance, frozenset[str]]] = {}  # and the nodes that had it
        self._had = 0  # nodes in there

    def take(self, job: JobRecord | None, step: Step) -> list[Action]:
        """A client has one more; None: for a job that is not open."""
        if job is None:
            return [_refused(step, reasons.no_job(step.job))]
        if not job.step_refusal and step.step != len(job.steps):
            return [_refused(step, f"step {step.step} came where step {len(job.steps)} was due")]
        if text := job.step_refusal or job.shipped.fault_of_step(step, len(job.steps)):
            job.step_refusal = text  # those behind it have no place any more
            return [_refused(step, text)]
        job.steps.append(step)
        out = Outbox()
        asked = [node for node in self._nodes.values() if _may_try(node, job)]
        for node in asked:
            if not node.away:  # that one hears of it when it is back
                introduce(node, job, out.node(node.name))
        job.awaiting[step.step] = {node.name for node in asked}
        finish_steps(job, out)
        return out.actions()

    def again(self, node: NodeRecord, jobs: Iterable[JobRecord], out: Outbox) -> None:
        """A node is back: it is asked once more, unless the job may not be tried there any more.

        Then nobody waits for it; and what it applies ends only where tasks end, too.
        """
        for job in jobs:
            if any(node.name in waiting for waiting in job.awaiting.values()):
                if _may_try(node, job):
                    introduce(node, job, out.node(node.name))
                elif job.allowance.bar or node.vacating or node.way == "return":
                    end_steps(node, [job], out)
                else:
                    _await_no_more(node, job, out)

    def done(self, job: JobRecord | None, name: str, done: StepDone) -> list[Action]:
        """A node has applied a step, or could not, or tells of one that nobody waits for how long it took."""
        if done.wall:
            self._charge(job, name, done)
        waiting = job.awaiting.get(done.step) if job is not None else None
        if job is None or waiting is None or name not in waiting:
            return []
        waiting.discard(name)
        out = Outbox()
        told = StepDone(job.job, done.step, name, done.error)
        if done.error:
            job.broken.append(told)
        out.client(job.job).append(told)
        finish_steps(job, out)
        return out.actions()

    def close(self, job: JobRecord) -> None:
        """The job is over; nodes may yet tell how long its steps took."""
        if job.steps:
            self._closed[job.job] = job.allowance, frozenset(job.shares)
            self._had += len(job.shares)
            while len(self._closed) > CLOSED or (self._had > HAD and len(self._closed) > 1):
                _, nodes = self._closed.pop(next(iter(self._closed)))
                self._had -= len(nodes)

    def _charge(self, job: JobRecord | None, name: str, done: StepDone) -> None:
        """One core for so long; no task has ended by it."""
        node = self._nodes.get(name)
        allowance = None if node is None else self._whose(job, node, done.job)
        if allowance is None or node is None:
            return
        spent = self._counters.spent.get((name, done.job))
        if spent is None:
            spent = self._counters.spent[name, done.job] = Spent(allowance.owner, node.facts.pool)
        spent.wall += done.wall
        spent.core_wall += done.wall
        allowance.spent += done.wall

    def _whose(self, job: JobRecord | None, node: NodeRecord, number: int) -> Allowance | None:
        """Who is charged for what that node did; None where it was not given the job, or never would be.

        So a person's own node can charge nobody but that person, whatever it says.
        """
        if job is not None:
            allowance, had = job.allowance, number in node.shares
        else:
            known = self._closed.get(number)
            if known is None:
                return None
            allowance, had = known[0], node.name in known[1]
        return allowance if had and node.serves in ("*", allowance.owner) else None


def end_steps(node: NodeRecord, jobs: Iterable[JobRecord], out: Outbox) -> None:
    """What the node applies of these jobs' steps ends, and nobody waits for it: it comes before the next task."""
    for job in jobs:
        if not job.steps:
            continue
        if job.job in node.shares:
            out.node(node.name).append(Cancel(job.job, [STEPS], True))
        _await_no_more(node, job, out)


def _await_no_more(node: NodeRecord, job: JobRecord, out: Outbox) -> None:
    for waiting in job.awaiting.values():
        waiting.discard(node.name)
    finish_steps(job, out)


def _may_try(node: NodeRecord, job: JobRecord) -> bool:
    """Whether that node may apply steps of the job at once.

    Not of an owner with a limit of slots: all nodes would take more of them than the owner may have.
    """
    allowance = job.allowance
    if node.draining or node.on_hold or node.taken or not node.fits(job):
        return False
    return allowance.slots is None and not allowance.rests


def _refused(step: Step, text: str) -> ToClient:
    return ToClient(step.job, [StepDone(step.job, step.step, "", text)])
