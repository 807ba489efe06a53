"""The heart of the master: events in, actions out.

    client --code, submit, step, cancel, close-->  +-------+  --ToNode (Job, Step, Code, Task, Cancel, ...)-->
    node   --join, results, started, step_done,    | Board |
             leave------------------------------>  |       |
    timer  --tick------------------------------->  +-------+  --ToClient (Result, Started, StepDone)-->

A task is queued, then running, then answered once and forgotten.  An attempt that is returned unstarted goes
back to the front and charges nothing; one that is lost does too, until the job's `crash_limit` of losses.
Attempts are numbered at each assignment: an answer of another attempt, from another node, or to something
that was cancelled is counted in `counters.refused` and dropped.

`dispatch` alone gives out tasks: the master calls it once after a batch of events.  The board knows no clock
(`now` is given, seconds of any steady clock), no link and no pickle, and nothing that a client or node
sends makes it raise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import Action, NoteLoss, Outbox, ToClient, ToNode
from asyncluster.jobs.answers import take_results
from asyncluster.jobs.book import Counters, JobRecord, NodeRecord, Share
from asyncluster.jobs.credit import Pace
from asyncluster.jobs.dispatch import Dispatcher, introduce
from asyncluster.jobs.queue import Queue
from asyncluster.jobs.recovery import Recovered
from asyncluster.jobs.returning import Returning, add_up
from asyncluster.jobs.settle import lose, put_back
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.messages import Cancel, Close, Code, Held, Outcome, Result, Started, Step, StepDone, Task
from asyncluster.model.node import NodeFacts, NodeView

__all__ = ["Action", "Board", "NoteLoss", "ToClient", "ToNode"]


class Board:
    """All open jobs, all present nodes, and who has what."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.queue: Queue[JobRecord] = Queue()
        self.dispatcher = Dispatcher(self.queue)
        self._jobs: dict[int, JobRecord] = {}
        self._nodes: dict[str, NodeRecord] = {}
        self._pythons: Counter[str] = Counter()  # of the nodes present

    # What clients do

    def open(self, spec: JobSpec) -> None:
        """A job begins.  The master numbers jobs, so a number in use is its fault: ValueError."""
        if spec.job in self._jobs:
            raise ValueError(f"job {spec.job} is open already")
        self._jobs[spec.job] = JobRecord(spec)

    def restore(self, spec: JobSpec, recovered: Recovered) -> None:
        """A job as a killed master left it: all its tasks are queued; nodes that run some will say so."""
        self.open(spec)
        job = self._jobs[spec.job]
        for code in recovered.codes:
            self.code(code)
        job.steps = list(recovered.steps)
        job.losses = {seq: list(losses) for seq, losses in recovered.losses.items() if seq in recovered.tasks}
        job.highest = max([*recovered.tasks, *recovered.results], default=-1)
        self.queue.add(job, recovered.tasks)
        self.dispatcher.stir()
        self.counters.submitted += len(recovered.tasks)

    def as_recovered(self, number: int) -> Recovered:
        """What would have to be recovered of an open job now; without what is the client's."""
        job = self._jobs[number]
        running = {seq: share.tasks[seq] for seq, share in job.running.items()}
        tasks = {**running, **job.tasks}  # those that run were given out first
        return Recovered(0, list(job.codes.values()), list(job.steps), tasks, {}, dict(job.losses))

    def code(self, code: Code) -> list[Action]:
        """Something that tasks will call.  The first of a number counts; to a closed job it means nothing."""
        job = self._jobs.get(code.job)
        if job is not None and code.code not in job.codes:
            job.codes[code.code] = code
            job.paces[code.code] = Pace()
        return []

    def submit(self, number: int, tasks: list[Task]) -> list[Action]:
        """Queue tasks; those that cannot be are answered REFUSED with a sentence."""
        job = self._jobs.get(number)
        if job is None:
            return _refuse(number, ((task, reasons.no_job(number)) for task in tasks))
        if job.python and self._pythons and job.python not in self._pythons:
            text = reasons.wrong_python(job, self._nodes.values())
            return _refuse(number, ((task, text) for task in tasks))
        fresh = {task.seq: task for task in tasks}
        refused: list[tuple[Task, str]] = []
        if not _sound(job, tasks, fresh):
            fresh, refused = _sift(job, tasks)
        for task in fresh.values():
            task.attempt = 0
        if tasks:
            job.highest = max(job.highest, tasks[-1].seq)  # clients number them in order
        self.queue.add(job, fresh)
        self.dispatcher.stir()
        self.counters.submitted += len(fresh)
        return _refuse(number, refused) if refused else []

    def cancel(self, number: int, seqs: Iterable[int]) -> list[Action]:
        """These are not wanted: answered CANCELLED at once where they are alive, ignored where not."""
        job = self._jobs.get(number)
        if job is None:
            return []
        out = Outbox()
        running: dict[str, list[int]] = {}
        answers = out.client(number)
        for seq in seqs:
            task = self.queue.remove(job, seq)
            if task is None:
                share = job.running.pop(seq, None)
                if share is None:
                    continue
                task = share.tasks[seq]
                job.ghosts.add(seq)
                running.setdefault(share.node.name, []).append(seq)
            job.losses.pop(seq, None)
            answers.append(Result(number, seq, task.attempt, Outcome.CANCELLED, b""))
        self.queue.tidy(job)
        self.counters.cancelled += len(answers)
        for name, gone in running.items():
            out.node(name).append(Cancel(number, gone))
        return out.actions()

    def close(self, number: int) -> list[Action]:
        """The job is over: nothing of it is answered any more, and nodes forget it."""
        job = self._jobs.pop(number, None)
        if job is None:
            return []
        out = Outbox()
        self.queue.clear(job)
        job.running.clear()
        for share in job.shares.values():
            share.closed = True
            share.node.tidy(share)
            out.node(share.node.name).append(Close(number))
        job.shares.clear()
        return out.actions()

    def step(self, step: Step) -> list[Action]:
        """Every present node applies it now, others before their first task of the job."""
        job = self._jobs.get(step.job)
        if job is None:
            return [ToClient(step.job, [StepDone(step.job, step.step, "", reasons.no_job(step.job))])]
        if step.step != len(job.steps):
            text = f"step {step.step} came where step {len(job.steps)} was due"
            return [ToClient(step.job, [StepDone(step.job, step.step, "", text)])]
        job.steps.append(step)
        out = Outbox()
        asked = [node for node in self._nodes.values() if node.fits(job) and not node.draining]
        for node in asked:
            if not node.away:  # that one hears of it when it is back
                introduce(node, job, out.node(node.name))
        job.awaiting[step.step] = {node.name for node in asked}
        _finish_steps(job, out)
        return out.actions()

    # What nodes do

    def join(self, facts: NodeFacts, now: float) -> list[Action]:
        """A node is there and empty; one of that name that is still present is taken to be gone."""
        actions = self.leave(facts.name, "it registered anew", now)
        node = self._nodes[facts.name] = NodeRecord(facts)
        self._pythons[facts.python] += 1
        self.dispatcher.settle(node)
        return actions

    def away(self, name: str) -> list[Action]:
        """The node's link is broken: it gets nothing more and keeps what it has, until `rejoin` or `leave`."""
        node = self._nodes.get(name)
        if node is not None:
            node.away = True
            self.dispatcher.forget(node)
        return []

    def rejoin(self, facts: NodeFacts, held: Iterable[Held], now: float) -> list[Action]:
        """The same daemon is back with what it holds; after a restart of the master the node is new here.

        Results that it did not get rid of come afterwards, and count as held.
        """
        node = self._nodes.get(facts.name)
        if node is None:
            self.join(facts, now)
            node = self._nodes[facts.name]
        node.away = False
        node.recalled_at = None
        out = Outbox()
        returning = Returning(node, self.queue, self.dispatcher, out)
        told = add_up(held)
        for number, each in told.items():
            job = self._jobs.get(number)
            if job is not None:
                returning.agree(job, each)
                continue
            out.node(node.name).append(Close(number))
            if number in node.shares:
                returning.keep(node.shares[number], each)
        for share in [share for number, share in node.shares.items() if number not in told]:
            returning.forgotten(share)
        for job in self._jobs.values():
            if any(node.name in waiting for waiting in job.awaiting.values()):
                introduce(node, job, out.node(node.name))
        self.dispatcher.settle(node)
        return out.actions()

    def drain(self, name: str) -> list[Action]:
        """The node has announced its end: it gets nothing more, and what it cannot finish charges nothing."""
        node = self._nodes.get(name)
        if node is not None:
            node.draining = True
            self.dispatcher.forget(node)
        return []

    def leave(self, name: str, reason: str, now: float) -> list[Action]:
        """The node is gone with all it had."""
        node = self._nodes.pop(name, None)
        if node is None:
            return []
        self._pythons[node.python] -= 1
        self._pythons += Counter()  # drops zeros
        self.dispatcher.forget(node)
        out = Outbox()
        for share in node.shares.values():
            self._abandon(share, reason, out)
        for job in self._jobs.values():
            for waiting in job.awaiting.values():
                waiting.discard(name)
            _finish_steps(job, out)
        return out.actions()

    def _abandon(self, share: Share, reason: str, out: Outbox) -> None:
        job, node = share.job, share.node
        job.shares.pop(node.name, None)
        alive = [task for seq, task in share.tasks.items() if job.running.pop(seq, None) is not None]
        job.ghosts.difference_update(share.tasks)
        if not node.draining:
            self.counters.lost += len(alive)
            alive = lose(job, alive, f"node {node.name}: {reason}", self.counters, out)
        put_back(self.queue, self.dispatcher, job, alive)

    def results(self, name: str, results: list[Result], now: float) -> list[Action]:
        """Answers of a node, in order."""
        node = self._nodes.get(name)
        if node is None:
            self.counters.refused += len(results)
            return []
        out = Outbox()
        take_results(node, results, self.queue, self.dispatcher, self.counters, out)
        return out.actions()

    def started(self, name: str, started: Started) -> list[Action]:
        """A node says that an attempt is at work.  The client hears of it if that node has it and it is wanted."""
        node = self._nodes.get(name)
        share = None if node is None else node.shares.get(started.job)
        task = None if share is None else share.tasks.get(started.seq)
        if share is None or task is None or task.attempt != started.attempt:
            self.counters.refused += 1
            return []
        if share.job.running.get(started.seq) is not share:  # cancelled, or its job closed, a moment ago
            self.counters.refused += 1
            return []
        return [ToClient(started.job, [started])]

    def step_done(self, name: str, done: StepDone) -> list[Action]:
        """A node has applied a step or could not.  What nobody waits for is dropped."""
        job = self._jobs.get(done.job)
        waiting = job.awaiting.get(done.step) if job is not None else None
        if job is None or waiting is None or name not in waiting:
            return []
        waiting.discard(name)
        out = Outbox()
        told = StepDone(job.job, done.step, name, done.error)
        if done.error:
            job.broken.append(told)
        out.client(job.job).append(told)
        _finish_steps(job, out)
        return out.actions()

    # What time does

    def dispatch(self, now: float) -> list[Action]:
        """Give out what there is room for; costs next to nothing when nothing changed."""
        out = Outbox()
        self.dispatcher.deal(now, out)
        return out.actions()

    def tick(self, now: float) -> list[Action]:
        """Every 50 ms or so: as `dispatch`, and recall what waits on one node while another is idle."""
        out = Outbox()
        self.dispatcher.deal(now, out)
        self.dispatcher.recalls(now, out)
        return out.actions()

    # What may be looked at

    @property
    def queued(self) -> int:
        """Tasks that no node has."""
        return self.queue.total

    def steps_done(self, number: int) -> list[StepDone]:
        """How the steps that are over ended, once more; for a client that may have missed it."""
        job = self._jobs.get(number)
        if job is None:
            return []
        over = [StepDone(number, step.step, "", "") for step in job.steps if step.step not in job.awaiting]
        return [*job.broken, *over]

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
        return [job.view() for job in self._jobs.values()]

    def why_stuck(self, number: int) -> str:
        """Why tasks of this job wait and time alone will not help; "" when it will."""
        job = self._jobs.get(number)
        return "" if job is None else reasons.stuck(job, self._nodes.values())

    def why_waiting(self, number: int) -> str:
        """The one reason for which tasks of this job wait; "" when none does."""
        job = self._jobs.get(number)
        if job is None:
            return reasons.no_job(number)
        return reasons.wait(job, self._nodes.values(), self.queue.top())


def _sound(job: JobRecord, tasks: list[Task], fresh: dict[int, Task]) -> bool:
    """Whether all of them can be queued, told without looking at one after the other in Python."""
    return (
        len(fresh) == len(tasks)
        and {task.code for task in tasks} <= job.codes.keys()
        and min(fresh, default=0) >= 0
        # this way round: the argument is what is walked, and it must be the batch, not the million queued
        and job.tasks.keys().isdisjoint(fresh)
        and job.running.keys().isdisjoint(fresh)
        and job.ghosts.isdisjoint(fresh)
    )


def _sift(job: JobRecord, tasks: list[Task]) -> tuple[dict[int, Task], list[tuple[Task, str]]]:
    """The good ones by number, and the others with their sentences."""
    good: dict[int, Task] = {}
    bad: list[tuple[Task, str]] = []
    for task in tasks:
        text = reasons.bad_task(task, job)
        if not text and task.seq in good:
            text = f"task {task.seq} of job {job.job} came twice"
        if text:
            bad.append((task, text))
        else:
            good[task.seq] = task
    return good, bad


def _refuse(job: int, refused: Iterable[tuple[Task, str]]) -> list[Action]:
    """Answer tasks that were never queued."""
    return [ToClient(job, [Result(job, task.seq, 0, Outcome.REFUSED, text.encode()) for task, text in refused])]


def _finish_steps(job: JobRecord, out: Outbox) -> None:
    """Tell the client of each step that nobody is waited for any more."""
    for step in [step for step, waiting in job.awaiting.items() if not waiting]:
        del job.awaiting[step]
        out.client(job.job).append(StepDone(job.job, step, "", ""))
