"""The heart of the master: events in, actions out.

    client --code, submit, step, cancel, close-->  +-------+  --ToNode (Job, Step, Code, Task, Cancel, ...)-->
    node   --join, results, started, step_done,    | Board |
             leave------------------------------>  |       |
    timer  --tick------------------------------->  +-------+  --ToClient (Result, Started, StepDone)-->

A task waits for those that it depends on (see `dependencies`), is queued, then running, then answered once and
forgotten.  An attempt that is returned unstarted goes back to the front and charges nothing; one that is lost
does too, until the job's `crash_limit` of losses, and one that raised or went over a limit, until the `retries` of
what it calls are used up.
Attempts are numbered at each assignment: an answer of another attempt, from another node, or to something
that was cancelled is counted in `counters.refused` and dropped.

`dispatch` alone gives out tasks: the master calls it once after a batch of events.  The board knows no clock
(`now` is given, seconds of any steady clock), no link and no pickle, and nothing that a client or node
sends makes it raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from asyncluster.jobs import reasons
from asyncluster.jobs.actions import Action, NoteLoss, NoteTried, Outbox, ToClient, ToNode, noted
from asyncluster.jobs.answers import take_results
from asyncluster.jobs.book import Counters, JobRecord, NodeRecord
from asyncluster.jobs.cancelling import cancel
from asyncluster.jobs.dependencies import Dependencies
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.explaining import Explanation
from asyncluster.jobs.following import follow
from asyncluster.jobs.leaving import cut, hold, leave, occupy, vacate
from asyncluster.jobs.looking import Looks
from asyncluster.jobs.owners import Owners
from asyncluster.jobs.placing import Kinds, NodeKind
from asyncluster.jobs.recovery import Recovered
from asyncluster.jobs.returning import Returning, add_up
from asyncluster.jobs.stepping import Steps
from asyncluster.jobs.submitting import refusal, refuse, sift
from asyncluster.jobs.working import note_begun
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    After,
    Close,
    Code,
    Held,
    Result,
    Started,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.node import NodeFacts

__all__ = ["Action", "Board", "Explanation", "NoteLoss", "NoteTried", "ToClient", "ToNode"]

NOTHING: Mapping[int, Result] = {}


class Board(Looks):
    """All open jobs, all present nodes, and who has what."""

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.dispatcher = Dispatcher(self.backlog.queue)
        self.owners = Owners(self.dispatcher, self._nodes)
        self._steps = Steps(self._nodes, self.counters)
        self._kinds = Kinds()  # of the nodes present
        self.owed: Callable[[int, int], Result | None] = lambda _job, _seq: None  # what a client may still name

    # What clients do

    def open(self, spec: JobSpec) -> None:
        """A job begins.  The master numbers jobs, so a number in use is its fault: ValueError."""
        if spec.job in self._jobs:
            raise ValueError(f"job {spec.job} is open already")
        self._jobs[spec.job] = JobRecord(spec, self.owners.of(spec.owner))

    def restore(self, spec: JobSpec, recovered: Recovered) -> list[Action]:
        """A job as a killed master left it: all its tasks are queued; nodes that run some will say so.

        A task that was written down, but not yet refused when the master was killed, is refused now.
        """
        self.open(spec)
        job = self._jobs[spec.job]
        for code in recovered.codes:
            self.code(code)
        for step in recovered.steps:
            if step.step == len(job.steps) and not job.shipped.fault_of_step(step, len(job.steps)):
                job.steps.append(step)
        job.losses = {seq: list(losses) for seq, losses in recovered.losses.items() if seq in recovered.tasks}
        job.tries = {seq: count for seq, count in recovered.tries.items() if seq in recovered.tasks}
        self.backlog.pause(job, recovered.paused)
        job.highest = max([*recovered.tasks, *recovered.results], default=-1)
        fresh, refused = sift(job, list(recovered.tasks.values()), self._kinds, self._nodes.values())
        out = Outbox()
        if recovered.after:
            job.after = Dependencies(job.job)
            for after in recovered.after.values():
                job.after.announce(after, recovered.tasks.__contains__, recovered.ended)
            out = self._admit(job, job.after, fresh)
            job.after.forget_oldest()
        else:
            self._queue(job, fresh)
        out.client(job.job).extend(refusal(job.job, task, text) for task, text in refused)
        return self._told(out)

    def code(self, code: Code) -> list[Action]:
        """Something that tasks will call.  The first of a number counts; to a closed job it means nothing."""
        job = self._jobs.get(code.job)
        if job is not None and code.code not in job.codes and code.code not in job.faulty:
            if text := job.shipped.fault_of_code(code, len(job.codes)):
                job.code_refusal = job.code_refusal or text
            else:
                job.learn(code)
        return []

    def submit(self, number: int, tasks: list[Task]) -> list[Action]:
        """Queue tasks; those that cannot be are answered REFUSED with a sentence."""
        if (job := self._jobs.get(number)) is None:
            return refuse(number, ((task, reasons.no_job(number)) for task in tasks))
        for task in tasks:
            task.attempt = 0
        fresh, refused = sift(job, tasks, self._kinds, self._nodes.values())
        if tasks:
            job.highest = max(job.highest, tasks[-1].seq)  # clients number them in order
        told: list[Action] = []
        if job.after is None:
            self._queue(job, fresh)
        else:
            told = self._told(self._admit(job, job.after, fresh))
            for task, _ in refused:
                job.after.refused(task.seq, job.alive)
        return told + refuse(number, refused) if refused else told

    def _queue(self, job: JobRecord, fresh: dict[int, Task]) -> None:
        if job.special:
            self.backlog.add(job, fresh)
        else:
            self.backlog.queue.add(job.plain, fresh)
        self.dispatcher.stir()
        self.counters.submitted += len(fresh)

    def _admit(self, job: JobRecord, after: Dependencies, fresh: dict[int, Task]) -> Outbox:
        ready, answers = after.admit(fresh)
        self._queue(job, ready)
        self.counters.submitted += len(fresh) - len(ready)
        out = Outbox()
        out.client(job.job).extend(answers)
        return out

    def pause(self, number: int, paused: bool) -> list[Action]:
        """Give out nothing of a job, or again; what nodes have of it goes on."""
        if (job := self._jobs.get(number)) is not None:
            self.backlog.pause(job, paused)
            self.dispatcher.stir()
        return []

    def after(self, after: After, answered: Mapping[int, Result] = NOTHING) -> list[Action]:
        """A task that comes next depends on others; what is wrong with that is told when it has come.

        answered: Results that the client is about to be told, and that nobody owes it yet.
        """
        job = self._jobs.get(after.job)
        if job is not None and not job.alive(after.seq):
            if job.after is None:
                job.after = Dependencies(job.job)
            number = job.job
            job.after.announce(after, job.alive, lambda seq: answered.get(seq) or self.owed(number, seq))
            job.after.forget_oldest()
        return []

    def submit_linked(self, number: int, messages: Iterable[After | Task]) -> list[Action]:
        """Tasks and what they depend on, in the order in which they came."""
        actions: list[Action] = []
        answered: dict[int, Result] = {}
        tasks: list[Task] = []
        for message in messages:
            if isinstance(message, Task):
                tasks.append(message)
                continue
            if tasks:
                actions += noted(self.submit(number, tasks), answered)
                tasks = []
            actions += self.after(message, answered)
        return actions + self.submit(number, tasks) if tasks else actions

    def refuse(self, task: Task, text: str) -> list[Action]:
        """This task came, and cannot be queued: `text` says why."""
        job = self._jobs.get(task.job)
        if job is not None and job.after is not None:
            job.after.refused(task.seq, job.alive)
        return refuse(task.job, [(task, text)])

    def cancel(self, number: int, seqs: Iterable[int] | None, cut: bool = False) -> list[Action]:
        """These, or all there are, are not wanted: answered CANCELLED at once where they are alive, ignored where not.

        cut: what runs of them is ended, else it may go on to its end.
        """
        if (job := self._jobs.get(number)) is None:
            return []
        out = Outbox()
        self.counters.cancelled += cancel(job, self.backlog, seqs, cut, out)
        self.dispatcher.stir()
        return self._told(out)

    def hold_job(self, number: int, held: bool) -> list[Action]:
        """Give out nothing of a job while it is being cancelled, or again; counted, and not what `pause` is."""
        if (job := self._jobs.get(number)) is not None:
            self.backlog.hold(job, held)
            self.dispatcher.stir()
        return []

    def close(self, number: int) -> list[Action]:
        """The job is over: nothing of it is answered any more, and nodes forget it."""
        if (job := self._jobs.pop(number, None)) is None:
            return []
        out = Outbox()
        self._steps.close(job)
        job.allowance.jobs.pop(number)
        self.backlog.clear(job)
        self.dispatcher.stir()
        job.running.clear()
        for share in job.shares.values():
            share.closed = True
            share.node.tidy(share)
            out.node(share.node.name).append(Close(number))
        job.shares.clear()
        return out.actions()

    def step(self, step: Step) -> list[Action]:
        """Every present node that may applies it now, others before their next task of the job."""
        return self._steps.take(self._jobs.get(step.job), step)

    # What nodes do

    def join(self, facts: NodeFacts, now: float) -> list[Action]:
        """A node is there and empty; one of that name that is still present is taken to be gone."""
        actions = self.leave(facts.name, "it registered anew", now)
        node = self._nodes[facts.name] = NodeRecord(facts, now)
        self._kinds.add(node.kind)
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
        node.lives(facts.left, now)
        out = Outbox()
        returning = Returning(node, self.backlog, self.dispatcher, out)
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
        self._steps.again(node, self._jobs.values(), out)
        cut(node, out)
        self.dispatcher.settle(node)
        return self._told(out)

    def drain(self, name: str) -> list[Action]:
        """The node has announced its end: it gets nothing more, and what it cannot finish charges nothing."""
        node = self._nodes.get(name)
        if node is not None:
            node.draining = True
            self.dispatcher.forget(node)
        return []

    def hold(self, name: str, held: bool) -> list[Action]:
        """A node gets nothing more, and gives back what it has not begun; or it gets work again."""
        node = self._nodes.get(name)
        return [] if node is None else hold(node, held, self.dispatcher).actions()

    def vacate(self, name: str) -> list[Action]:
        """The same, and what it has begun ends there and begins anew elsewhere, which charges nothing."""
        node = self._nodes.get(name)
        return [] if node is None else vacate(node, self.dispatcher).actions()

    def occupy(self, name: str, user: str, way: str) -> list[Action]:
        """Somebody sits at that machine, or ("") nobody does; way: what becomes of tasks, see `NodeRecord`."""
        node = self._nodes.get(name)
        return [] if node is None else occupy(node, user, way, self.dispatcher).actions()

    def expect(self, kinds: Iterable[NodeKind]) -> None:
        """Nodes of these kinds may come when work waits for them, so nothing that they can run is infeasible."""
        self._kinds.expected = tuple(kinds)

    def leave(self, name: str, reason: str, now: float) -> list[Action]:
        """The node is gone with all it had."""
        node = self._nodes.pop(name, None)
        if node is None:
            return []
        self._kinds.drop(node.kind)
        return self._told(leave(node, reason, self._jobs.values(), self.backlog, self.dispatcher, self.counters))

    def results(self, name: str, results: list[Result], now: float) -> list[Action]:
        """Answers of a node, in order."""
        node = self._nodes.get(name)
        if node is None:
            self.counters.refused += len(results)
            return []
        out = Outbox()
        take_results(node, results, self.backlog, self.dispatcher, self.counters, out)
        return self._told(out)

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
        note_begun(share, started)
        return [ToClient(started.job, [started])]

    def step_done(self, name: str, done: StepDone) -> list[Action]:
        """A node has applied a step or could not, or tells how long it took.  What nobody waits for is dropped."""
        return self._steps.done(self._jobs.get(done.job), name, done)

    def _told(self, out: Outbox) -> list[Action]:
        """What came of an event that ended tasks, with what it means to those that depend on them."""
        for number in out.jobs():
            job = self._jobs.get(number)
            if job is not None and job.after is not None:
                follow(job, self.backlog, self.dispatcher, self.counters, out)
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
