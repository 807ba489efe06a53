"""The part of the crew for steps: who tries one at once, who answers for the node, what becomes of the others.

Pure as `crew` is.  Each worker applies all steps of a job before its next task of it (`_preface`); what is here is
about telling the master, and about ending a step that runs.
"""

from __future__ import annotations

from asyncluster.model.messages import STEPS, Step, StepDone
from asyncluster.node.devices import Told
from asyncluster.node.roster import PendingStep, WorkerState
from asyncluster.node.weights import Weights

TELLING = 1_000  # microseconds that a worker has to be at a step for the master to be told of it
FAILURES = 3  # starts that fail in a row before tasks are refused


class Stepping(Weights):
    """Steps that some workers have not answered yet are in `_pending`."""

    def _step(self, step: Step, now: float) -> None:
        entry = self.jobs.get(step.job)
        if entry is None or entry.refusal:
            text = entry.refusal if entry else f"node {self.node} was not told of job {step.job}"
            self._news.append(StepDone(step.job, step.step, self.node, text))
            return
        if step.step < len(entry.steps):  # a master was killed before it had written down what it told us
            if (step.job, step.step) not in self._pending:
                self._news.append(StepDone(step.job, step.step, self.node, entry.step_errors.get(step.step, "")))
            return
        entry.steps.append(step)
        if self.paused is not None:  # each worker applies it before its next task
            self._news.append(StepDone(step.job, step.step, self.node, ""))
            return
        group = entry.group
        mates = [w for w in self.workers.values() if w.group is group and not w.leaving]
        for worker in mates:
            messages: list[Told] = []
            if worker.state is WorkerState.READY:
                if worker.idle:
                    worker.since = now
                self._preface(worker, entry, messages)
                self._tell(worker, messages)
        waiting = {w.number for w in mates if w.state is WorkerState.READY} or {
            w.number for w in mates if w.state is WorkerState.STARTING
        }
        self._pending[step.job, step.step] = PendingStep(waiting)
        if not waiting:
            group.wants_step, group.waiting_since = True, now

    def _answer_steps(self) -> None:
        """No worker will try the steps that are due: say they went well; each applies them before its next task."""
        for key in list(self._pending):
            for number in list(self._pending[key].waiting):
                if key in self._pending:
                    self._step_answer(key, number, "")

    def _step_answer(self, key: tuple[int, int], number: int, error: str) -> None:
        pending = self._pending.get(key)
        if pending is None:
            return
        pending.waiting.discard(number)
        pending.error = pending.error or error
        if not pending.waiting:
            del self._pending[key]
            if pending.error and key[0] in self.jobs:
                self.jobs[key[0]].step_errors[key[1]] = pending.error
            self._news.append(StepDone(key[0], key[1], self.node, pending.error))

    def _end_steps(self, job: int) -> None:
        """Nobody waits for steps of a job any more; they count as gone well, and come before the next task of it."""
        for key in [key for key in self._pending if key[0] == job]:
            pending = self._pending[key]
            pending.waiting.clear()
            self._step_answer(key, 0, "")
        for group in self.groups.values():
            group.wants_step = any(
                not pending.waiting and self.jobs[number].group is group
                for (number, _), pending in self._pending.items()
            )

    def _step_took(self, job: int, ran: int) -> None:
        """So many microseconds of a worker: they are its owner's, though no task's."""
        if ran >= TELLING:
            self._news.append(StepDone(job, STEPS, self.node, "", ran))

    def _step_orphaned(self, key: tuple[int, int], number: int, text: str) -> None:
        """A worker died before it answered a step: others speak for the node, or another one has to try."""
        group, pending = self.jobs[key[0]].group, self._pending[key]
        if len(pending.waiting) > 1 or any(w.state is WorkerState.READY for w in self._mates(group)):
            self._step_answer(key, number, "")
        elif group.failures >= FAILURES:
            self._step_answer(key, number, text)
        else:
            pending.waiting.discard(number)
            group.wants_step = True
