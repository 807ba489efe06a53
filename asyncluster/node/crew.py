"""Which worker of this node runs what: events in, list of actions out.

Decides when workers are forked, fed, recalled from, replaced and given up, and what the master is
told.  Knows no process, socket, pipe or clock: the supervisor obeys the actions and reports what came of them.

Why recalling needs no lock.  A worker and the daemon share two words.  Before it runs task i the worker
(1) gives it back if i <= skip, (2) stores started = i, (3) looks at skip again and gives it back if
i <= skip now.  The daemon stores skip = L (the last index it sent, and it sends no more meanwhile),
waits a millisecond, and loads started = s.  Claim: a task i <= L with i > s has not been started and
never will be.  Suppose the worker runs i <= L.  Then its load in (3) did not see L, so it happened
before the daemon's store became visible, and its store in (2) was issued before that load.  On x86 and
on ARM that store may still sit in the core's store buffer when the load is done (the one reordering that
matters here), but a store buffer empties in well under a microsecond, in finite time whatever the core does, and
being descheduled empties it too.  So a millisecond later both stores are visible and the daemon reads
s >= i.  The words are aligned and eight bytes wide, so no load sees half a store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from asyncluster.model.messages import (
    Beat,
    Message,
    Outcome,
    Result,
    Started,
    StepDone,
    Task,
)
from asyncluster.node.devices import Told
from asyncluster.node.orders import Orders
from asyncluster.node.paused import put_right
from asyncluster.node.room import Room
from asyncluster.node.roster import Action, Group, ToMaster, Worker, WorkerState
from asyncluster.node.staff import NUDGE_AFTER, STEAL_AFTER, TURN
from asyncluster.node.stepping import FAILURES

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds between failing starts
SPARED = 3  # times a task that was done but unreported is run again free of charge


class Crew(Orders):
    """The workers of one node, as values.

    `admit(owner)` gives "" or the sentence that refuses that owner; `memory_limit` is in bytes a worker, 0 = none;
    cores, memory (bytes) and gpus are what tasks share, cores 0 = as many as slots, memory 0 = it is not shared out.
    """

    def __init__(
        self,
        node: str,
        slots: int,
        admit: Callable[[str], str] = lambda owner: "",
        python: str = "",
        memory_limit: int = 0,
        cores: int = 0,
        memory: int = 0,
        gpus: Sequence[str] = (),
    ) -> None:
        super().__init__(node, Room(node, slots, cores, memory, list(gpus)), memory_limit, admit, python)
        self.done = 0

    # What others ask

    @property
    def running(self) -> int:
        """Workers that have a task."""
        return sum(1 for worker in self.workers.values() if worker.sent)

    @property
    def queued(self) -> int:
        """Tasks that no worker was sent."""
        return sum(len(group.queue) for group in self.groups.values())

    @property
    def empty(self) -> bool:
        """No task is here any more."""
        return not self.queued and not any(any(worker.sent) for worker in self.workers.values())

    def task_at(self, number: int, index: int) -> Task | None:
        """The task with that index on a worker, or the last one answered when it is gone."""
        worker = self.workers[number]
        place = index - worker.base - 1
        if 0 <= place < len(worker.sent):
            return worker.sent[place] or worker.last
        return worker.last

    def due(self, number: int) -> Task | None:
        """The task that this worker answers next."""
        sent = self.workers[number].sent
        return sent[0] if sent else None

    # Events: each gives the actions that follow from it

    def begin(self, owner: str, now: float) -> list[Action]:
        """Warm all slots for the one owner that this node serves."""
        group = self._group(owner, 0)
        for worker in self.workers.values():
            if worker.state is WorkerState.EMPTY:
                self._fork(worker, group)
        return self._finish(now)

    def receive(self, messages: Sequence[Message], now: float) -> list[Action]:
        """From the master."""
        for message in messages:
            if type(message) is Task:
                entry = self.jobs.get(message.job)
                if entry is None or entry.refusal or self.draining or message.code not in entry.codes:
                    self._turn_away(message, entry)
                    continue
                group = entry.group
                if not group.queue:
                    group.waiting_since = now
                group.queue.append(message)
            else:
                self._control(message, now)
        return self._finish(now)

    def results(self, number: int, messages: Sequence[Message], now: float) -> list[Action]:
        """From a worker; ends in `Kill` when it says what nobody asked."""
        worker = self.workers[number]
        worker.since, worker.patience = now, 0.0
        if worker.peak or worker.stopped:
            put_right(worker, messages)
        sent, news = worker.sent, self._news
        back: list[Task] = []
        known: tuple[int, int] | None = None
        count = spent = 0
        for message in messages:
            if type(message) is not Result:
                self._remark(worker, message)
                continue
            if not sent:
                self._distrust(worker)
                break
            task = sent.popleft()
            worker.base += 1
            if task is None:
                continue
            worker.last = task
            if task.seq != message.seq or task.job != message.job:
                sent.appendleft(task)
                worker.base -= 1
                self._distrust(worker)
                break
            if message.outcome == Outcome.RETURNED:
                back.append(task)
                continue
            if known != (task.job, task.code):
                self._learn(known, count, spent)
                known, count, spent = (task.job, task.code), 0, 0
            count += 1
            spent += message.wall
            self.done += 1
            news.append(message)
            self._forget(task)
        self._learn(known, count, spent)
        if not sent:
            worker.cut_at = None
            if worker.ask is not None:
                self._release(worker)
        self._put_back(back)
        return self._finish(now)

    def ready(self, number: int, now: float) -> list[Action]:
        """A forked worker said its first word."""
        worker = self.workers[number]
        if worker.state is WorkerState.STARTING and worker.group is not None:
            worker.state, worker.since = WorkerState.READY, now
            worker.group.failures = 0
            messages: list[Told] = []
            for job, step in sorted(self._pending):
                if number in self._pending[job, step].waiting and job in self.jobs:
                    self._preface(worker, self.jobs[job], messages)
            self._tell(worker, messages)
        return self._finish(now)

    def died(
        self,
        number: int,
        text: str,
        now: float,
        started: int = 0,
        finished: int = 0,
        stepping: tuple[int, int] | None = None,
    ) -> list[Action]:
        """A worker is gone (or never came): `text` says how; the rest is what it left in the shared words."""
        worker = self.workers[number]
        if worker.state is WorkerState.EMPTY:
            return []
        if worker.state is WorkerState.STARTING and worker.group is not None:
            self._failed_start(worker.group, text, now)
        verdict = worker.verdict or (Outcome.LOST, text)
        back: list[Task] = []
        for index, task in enumerate(worker.sent, worker.base + 1):
            if task is None:
                continue
            running = index == started and finished < started
            if self._unwanted(task):
                self._end(task, Outcome.CANCELLED, ran=_ran(worker, now) if running else 0, memory=worker.peak)
            elif running or verdict[0] is Outcome.LIMIT:
                self._end(
                    task, *verdict, _ran(worker, now), worker.peak
                )  # over a limit ends here in any case: else it might be tried for ever
            elif index > started or worker.verdict or self._spare(task):
                back.append(task)
            else:
                self._end(task, Outcome.LOST, text)
        if stepping is not None and stepping[0] in worker.awaiting:
            self._step_took(stepping[0], _ran(worker, now))
        if stepping is not None and stepping[0] in worker.jobs and worker.verdict is None:
            self._died_in_step(number, stepping, text)
        if worker.ask is not None:
            self._release(worker)
        worker.reset()
        self._put_back(back)
        for key in [key for key, step in self._pending.items() if number in step.waiting]:
            self._step_orphaned(key, number, text)
        return self._finish(now)

    def recalled(self, number: int, started: int, now: float) -> list[Action]:
        """A millisecond after a `Skip`: what the worker's `started` word says."""
        worker = self.workers[number]
        if not worker.recalling:
            return []
        worker.recalling, worker.seen = False, max(worker.seen, started)
        back: list[Task] = []
        keep = max(0, started - worker.base)
        for place in range(keep, len(worker.sent)):
            task = worker.sent[place]
            if task is not None:
                back.append(task)
                worker.sent[place] = None
        self._put_back(back)
        if not any(each.recalling for each in self.workers.values()):
            self._owed = 0
        self._begin_cut(worker, started, now)
        return self._finish(now)

    def looked(self, number: int, started: int, finished: int) -> list[Action]:
        """After a `Look`: what the worker's words say.  The master hears of a task at work, once."""
        worker = self.workers[number]
        place = started - worker.base - 1
        if finished >= started or worker.state is not WorkerState.READY or not 0 <= place < len(worker.sent):
            return []
        worker.told = started
        task = worker.sent[place]
        entry = self.jobs.get(task.job) if task is not None else None
        if task is None or entry is None or task.seq in entry.cancelled:
            return []
        return [ToMaster([Started(task.job, task.seq, task.attempt)])]

    def memory(self, number: int, size: int, now: float) -> list[Action]:
        """After a `Weigh`: the memory in bytes that a worker and what it started use; 0: nobody knows."""
        self._judge(self.workers[number], size)
        return self._finish(now)

    def started_again(self, now: float) -> list[Started]:
        """The tasks at work of which the master was told, for one whose link was away; and since when."""
        again, until = [], now if self.paused is None else self.paused
        for worker in self.workers.values():
            place = worker.told - worker.base - 1
            task = worker.sent[place] if 0 <= place < len(worker.sent) else None
            entry = self.jobs.get(task.job) if task is not None else None
            if task is not None and entry is not None and task.seq not in entry.cancelled:
                again.append(Started(task.job, task.seq, task.attempt, _ran(worker, until)))
        return again

    def tick(self, now: float) -> list[Action]:
        """Time has passed; see `wake`."""
        for job, deadline in list(self._closing.items()):
            if now >= deadline:
                del self._closing[job]
                if job in self.jobs:
                    self._cut_steps(job, now)
                else:
                    self._cut_closed(job, now)
        self._go_on_cutting(now)
        return self._finish(now)

    def drain(self, now: float) -> list[Action]:
        """Take nothing more, give back what was not started; `empty` says when the rest is done."""
        self.draining = True
        for group in self.groups.values():
            waiting, group.queue = list(group.queue), deque()
            self._put_back(waiting)
        for worker in self.workers.values():
            self._skip(worker)
        self._answer_steps()
        return self._finish(now)

    def hand_back(self, now: float) -> list[Action]:
        """The time to drain is over: kill what runs and give it back, free of charge."""
        self.draining = True
        for worker in self.workers.values():
            self._kill(worker, (Outcome.RETURNED, ""))
        return self._finish(now)

    def abandon(self, now: float) -> list[Action]:
        """Another master: forget everything; it gives job numbers anew."""
        for worker in self.workers.values():
            # What it still writes before it dies must not pass for the next master's jobs.
            worker.last = None
            worker.sent.clear()
            worker.jobs.clear()
            self._kill(worker, (Outcome.RETURNED, ""))
        for memory in (self.jobs, self.groups, self._pending, self._closing, self._news):
            memory.clear()
        self._owed = 0
        self._note_asking()
        return self._finish(now)

    def wake(self, now: float) -> float | None:
        """Seconds until `tick` has something to do; None when only another event can change anything."""
        moments = list(self._closing.values())
        if self.paused is not None:
            return self._until([*moments, *(w.cut_at for w in self.workers.values() if w.cut_at is not None)], now)
        empty = self._has_empty_slot()
        if self.asking or self._memory_limit:
            moments += self._limit_moments()
        for group in self.groups.values():
            mates = [worker for worker in self.workers.values() if worker.group is group]
            if group.queue or group.wants_step:
                moments += [group.not_before] if group.failures else []
                turn = group.waiting_since + TURN
                moments += (
                    [turn if turn > now else now + TURN] if not mates else []
                )  # late: whom it waits for may be seen
            idle = empty or any(worker.open and worker.idle for worker in mates)
            if idle and (self.asking or not group.queue):
                moments += [worker.since + STEAL_AFTER for worker in mates if worker.open and len(worker.sent) > 1]
        for worker in self.workers.values():
            if worker.state is not WorkerState.READY or not worker.sent:
                continue
            if worker.cut_at is not None:
                moments.append(worker.cut_at)
            if len(worker.sent) > 1:
                moments.append(max(worker.since + NUDGE_AFTER, worker.nudged + worker.patience))
            if self._unseen(worker):
                moments.append(self._look_at(worker))
        return self._until(moments, now)

    @staticmethod
    def _until(moments: list[float], now: float) -> float | None:
        # What was due by now has been tried in the event that called us; a hair later, so that rounding loses nothing.
        later = [moment + 1e-6 - now for moment in moments if moment + 1e-6 > now]
        return max(0.0005, min(later)) if later else None

    # Words of workers other than results

    def _remark(self, worker: Worker, message: Message) -> None:
        # A worker runs one owner's code: it is believed about jobs that it was given, and about nothing else.
        if isinstance(message, StepDone) and message.job in worker.jobs:
            left = worker.awaiting.pop(message.job, 0) - 1
            if left > 0:
                worker.awaiting[message.job] = left
            self._step_took(message.job, message.wall)
            if worker.ask is not None and worker.began is None and not worker.awaiting:
                worker.began = worker.since
            self._step_answer((message.job, message.step), worker.number, message.error)
        elif not isinstance(message, Beat):
            self._distrust(worker)

    def _distrust(self, worker: Worker) -> None:
        text = f"worker {worker.number} on node {self.node} was stopped: it answered what it was not asked"
        self._kill(worker, (Outcome.LOST, text))

    def _learn(self, known: tuple[int, int] | None, count: int, spent: int) -> None:
        entry = self.jobs.get(known[0]) if known else None
        if known and entry and count:
            mean, before = spent / count, entry.means.get(known[1])
            weight = 0.6 if count >= 8 else 0.3
            entry.means[known[1]] = mean if before is None else before + weight * (mean - before)

    # Charges

    def _spare(self, task: Task) -> bool:
        entry = self.jobs.get(task.job)
        if entry is None:  # closed: it is not run again anyhow
            return True
        entry.spared[task.seq] = entry.spared.get(task.seq, 0) + 1
        return entry.spared[task.seq] <= SPARED

    def _failed_start(self, group: Group, text: str, now: float) -> None:
        group.failures += 1
        group.not_before = now + min(FIRST_PAUSE * 2 ** (group.failures - 1), LONGEST_PAUSE)
        if group.failures >= FAILURES:
            text = f"node {self.node} cannot start workers for {group.owner}: {text}"
            while group.queue:
                self._end(group.queue.popleft(), Outcome.REFUSED, text)


def _ran(worker: Worker, now: float) -> int:
    """Microseconds for which it has been at its task, as far as anybody saw."""
    return max(0, int((now - (worker.since if worker.began is None else worker.began)) * 1e6))
