"""The part of the crew that does what the master says: jobs, codes, steps, cancelling, recalling, closing.

Pure as `crew` is, which adds the events of the workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from asyncluster.model.messages import (
    STEPS,
    After,
    Cancel,
    Close,
    Code,
    Forget,
    Held,
    Job,
    Message,
    Outcome,
    Recall,
    Result,
    Step,
    Task,
    Value,
)
from asyncluster.node.paused import let_go_on
from asyncluster.node.room import Room
from asyncluster.node.roster import Action, Group, JobEntry, Nudge, Terminate, Worker, WorkerState
from asyncluster.node.stepping import Stepping

CLOSE_GRACE = 2.0  # seconds that a running task of a closed job may go on, or one that was asked to end
CUT_AFTER = 0.05  # seconds that a running task which is to be ended has to end by itself, and results to be told


class Orders(Stepping):
    """What the master wants, as far as it is known."""

    def __init__(self, node: str, room: Room, memory_limit: int, admit: Callable[[str], str], python: str) -> None:
        super().__init__(node, room, memory_limit)
        self.lost = 0
        self._admit, self._python = admit, python
        self._closing: dict[
            int, float
        ] = {}  # job -> when its running tasks are cut, or its steps alone while it is open
        self._owed = 0  # tasks that the master wants back and has not got

    def held(self) -> list[Held]:
        """What is here, a job: for a master that wants to know after the link broke.

        A closed job counts while a task of it runs.
        """
        tasks: dict[int, list[tuple[int, int]]] = {job: [] for job in self.jobs}
        lines = [worker.sent for worker in self.workers.values()] + [group.queue for group in self.groups.values()]
        for line in lines:
            for task in line:
                if task is not None:
                    tasks.setdefault(task.job, []).append((task.seq, task.attempt))
        held = []
        for job, here in tasks.items():
            entry = self.jobs.get(job)
            if entry is None:
                held.append(Held(job, [], 0, here))
            else:
                codes = sorted({*entry.codes, *entry.unfit})
                held.append(Held(job, codes, len(entry.steps), here, sorted(entry.values)))
        return held

    # Messages of the master other than tasks

    def _control(self, message: Message, now: float) -> None:
        if isinstance(message, Job):
            self._open(message)
        elif isinstance(message, Code):
            self._code(message)
        elif isinstance(message, Step):
            self._step(message, now)
        elif isinstance(message, Cancel):
            fresh = self._cancel(message)
            if message.cut:
                self._cut(message.job, fresh if message.unknown else set(message.seqs), now)
                if STEPS in message.seqs:
                    self._end_steps(message.job)
                    self._cut_steps(message.job, now)
        elif isinstance(message, Close):
            self._close(message.job, now)
        elif isinstance(message, Recall):
            self._recall(message.count)
        elif isinstance(message, Value):
            if message.job in self.jobs:
                self.jobs[message.job].values[message.seq] = message
        elif isinstance(message, After):
            if message.job in self.jobs:
                self.jobs[message.job].needs[message.seq] = message.values
        elif isinstance(message, Forget):
            self._forget_values(message)

    def _open(self, job: Job) -> None:
        refusal = self._admit(job.owner)
        if not refusal and job.python and self._python and job.python != self._python:
            refusal = f"the job's functions were made by Python {job.python}, node {self.node} runs {self._python}"
        self.jobs.setdefault(job.job, JobEntry(job, self._group(job.owner, job.niceness), refusal))

    def _code(self, code: Code) -> None:
        entry = self.jobs.get(code.job)
        if entry is None:
            return
        ask = self.room.ask(code.need)
        if ask is not None and (text := self.room.unfit(ask)):
            entry.unfit[code.code] = text
            return
        entry.codes[code.code] = code
        if ask is not None:
            entry.asks[code.code] = ask
            self.asking = True

    def _forget_values(self, forget: Forget) -> None:
        entry = self.jobs.get(forget.job)
        if entry is None:
            return
        for seq in forget.seqs:
            entry.values.pop(seq, None)
        gone = {(forget.job, seq) for seq in forget.seqs}
        for worker in self.workers.values():
            has = worker.values & gone
            if has:
                worker.values -= has
                self._tell(worker, [Forget(forget.job, sorted(seq for _, seq in has))])

    def _group(self, owner: str, niceness: int) -> Group:
        key = (owner, niceness)
        if key not in self.groups:
            self.groups[key] = Group(owner, niceness)
        return self.groups[key]

    def _turn_away(self, task: Task, entry: JobEntry | None) -> None:
        if entry is None:
            self._end(task, Outcome.REFUSED, f"node {self.node} was not told of job {task.job}")
        elif entry.refusal:
            self._end(task, entry.refused_as, entry.refusal)
        elif self.draining:
            self._end(task, Outcome.RETURNED)
        elif task.code in entry.unfit:
            self._end(task, Outcome.REFUSED, entry.unfit[task.code])
        else:
            self._end(task, Outcome.REFUSED, f"node {self.node} was not sent code {task.code} of job {task.job}")

    def _cancel(self, cancel: Cancel) -> set[int]:
        """Which of these are here, and were not cancelled before."""
        entry = self.jobs.get(cancel.job)
        if entry is None:
            return set()
        held = [task for worker in self.workers.values() for task in worker.sent if task is not None]
        here = {task.seq for task in (*entry.group.queue, *held) if task.job == cancel.job}
        fresh = here.intersection(cancel.seqs) - entry.cancelled  # the others' ends were told already
        entry.cancelled |= fresh
        self._drop_cancelled(entry)
        return fresh

    def _cut(self, job: int, seqs: set[int], now: float) -> None:
        """What runs of these is to be ended: see in a millisecond what that is, and give the others to others."""
        entry = self.jobs.get(job)
        if entry is None:
            return
        entry.cut |= entry.cancelled & seqs
        for worker in self.workers.values():
            if any(task is not None and task.job == job and task.seq in entry.cut for task in worker.sent):
                known = not self._skip(worker, 0) and not worker.recalling  # it has nothing but what it began
                if known and worker.state is WorkerState.READY:
                    self._begin_cut(worker, worker.seen, now)

    def _begin_cut(self, worker: Worker, started: int, now: float) -> None:
        """A recall is over: that worker has nothing but what it began, the last of it as `started`."""
        place = started - worker.base - 1
        task = worker.sent[place] if 0 <= place < len(worker.sent) else None
        entry = self.jobs.get(task.job) if task is not None else None
        if task is not None and entry is not None and task.seq in entry.cut and worker.cut_at is None:
            worker.cut_at = now + CUT_AFTER
            if place > 0:  # what it did before that must not be lost with it
                self._out.append(Nudge(worker.number, worker.base + 1))

    def _go_on_cutting(self, now: float) -> None:
        """Ask those to end whose task has not ended by itself, then kill them."""
        for worker in self.workers.values():
            if worker.cut_at is None or now < worker.cut_at or worker.state is not WorkerState.READY:
                continue
            if worker.terminated:
                self._kill(worker, (Outcome.CANCELLED, ""))
            else:
                worker.terminated = worker.leaving = True
                worker.cut_at = now + CLOSE_GRACE
                self._out.append(Terminate(worker.number))

    def _drop_cancelled(self, entry: JobEntry) -> None:
        """Take cancelled tasks from the queue, and recall from workers that hold unstarted ones."""
        number, cancelled = entry.job.job, entry.cancelled
        waiting, entry.group.queue = entry.group.queue, deque()
        for task in waiting:
            if task.job == number and task.seq in cancelled:
                self._end(task, Outcome.CANCELLED)
            else:
                entry.group.queue.append(task)
        for worker in self.workers.values():
            ahead = list(worker.sent)[1:]
            if any(task is not None and task.job == number and task.seq in cancelled for task in ahead):
                self._skip(worker)

    def _close(self, job: int, now: float) -> None:
        entry = self.jobs.pop(job, None)
        if entry is None:
            return
        for task in entry.group.queue:
            if task.job == job:
                entry.cancelled.add(task.seq)
        for worker in self.workers.values():
            if job in worker.jobs:
                # Modules that the job imported may be newer on disk for the next one: never reused.
                worker.leaving = True
                self._skip(worker)
                if job in worker.awaiting or any(task is not None and task.job == job for task in worker.sent):
                    self._closing[job] = now + CLOSE_GRACE
        self._drop_cancelled(entry)
        self._note_asking()
        for key in [key for key in self._pending if key[0] == job]:
            del self._pending[key]

    def _cut_closed(self, job: int, now: float) -> None:
        """The time is over that what runs of a closed job had to end by itself."""
        for worker in self.workers.values():
            if any(task is not None and task.job == job for task in worker.sent):
                self._kill(worker, (Outcome.CANCELLED, ""))
        self._cut_steps(job, now)

    def _cut_steps(self, job: int, now: float) -> None:
        """End what workers apply of its steps; where a task is at work before one, that has its time, and then it."""
        for worker in self.workers.values():
            if job in worker.awaiting and worker.state is WorkerState.READY:
                if worker.told > worker.base or worker.recalling or worker.cut_at is not None:
                    self._closing[job] = now + CLOSE_GRACE
                else:
                    self._kill(worker, (Outcome.RETURNED, ""))

    def _recall(self, count: int) -> None:
        for group in sorted(self.groups.values(), key=lambda group: -len(group.queue)):
            while group.queue and count > 0:
                self._end(group.queue.pop(), Outcome.RETURNED)
                count -= 1
        if count > 0:
            for worker in self.workers.values():
                if self._skip(worker):
                    self._owed = count

    # Somebody sits at the machine

    def pause(self, now: float) -> list[Action]:
        """All workers are stopped where they are: they get nothing, and nothing is expected of them, until `go_on`."""
        if self.paused is None:
            self.paused = now
            self._answer_steps()
        return self._finish(now)

    def go_on(self, now: float) -> list[Action]:
        """They work again; the time between is none of their tasks'."""
        if self.paused is not None:
            paused, self.paused = self.paused, None
            for worker in self.workers.values():
                let_go_on(worker, paused, now)
        return self._finish(now)

    def renew(self, now: float) -> list[Action]:
        """Have each worker replaced by a new one once it has done what it has."""
        for worker in self.workers.values():
            if worker.state in (WorkerState.STARTING, WorkerState.READY):
                worker.leaving = True
        return self._finish(now)

    # Ends of tasks

    def _died_in_step(self, number: int, stepping: tuple[int, int], text: str) -> None:
        entry = self.jobs.get(stepping[0])
        if entry is None:
            return
        entry.step_deaths += 1
        text = f"step {stepping[1]} of the job: {text}"
        self._step_answer(stepping, number, text)
        if entry.step_deaths > 1:  # once may be chance; twice and every new worker would die of it
            entry.refusal, entry.refused_as = text, Outcome.UNPREPARED
            entry.cancelled.clear()
            entry.cut.clear()
            waiting, entry.group.queue = entry.group.queue, deque()
            self._put_back(list(waiting))

    def _end(self, task: Task, outcome: Outcome, text: str = "", ran: int = 0, memory: int = 0) -> None:
        """ran: microseconds; memory: bytes that were measured."""
        payload = text.encode("utf-8", "replace")
        self._news.append(Result(task.job, task.seq, task.attempt, outcome, payload, ran, memory))
        self.lost += outcome is Outcome.LOST
        self._forget(task)

    def _forget(self, task: Task) -> None:
        """The task's end is told: keep nothing of it."""
        entry = self.jobs.get(task.job)
        if entry is not None:
            entry.cancelled.discard(task.seq)
            entry.cut.discard(task.seq)
            entry.spared.pop(task.seq, None)
            entry.needs.pop(task.seq, None)

    def _unwanted(self, task: Task) -> bool:
        """It was cancelled, or its job was closed: how it ends means nothing."""
        entry = self.jobs.get(task.job)
        return entry is None or task.seq in entry.cancelled

    def _put_back(self, tasks: Iterable[Task]) -> None:
        """Tasks that no worker has: to the head of the queue, or wherever they are wanted."""
        for task in reversed(list(tasks)):
            entry = self.jobs.get(task.job)
            if entry is None or task.seq in entry.cancelled:
                self._end(task, Outcome.CANCELLED)
            elif entry.refusal:
                self._end(task, entry.refused_as, entry.refusal)
            elif self.draining or self._owed > 0:
                self._owed -= not self.draining
                self._end(task, Outcome.RETURNED)
            else:
                entry.group.queue.appendleft(task)
