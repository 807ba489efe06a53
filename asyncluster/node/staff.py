"""The part of the crew that hands out work: who gets a slot, how much is sent ahead, who gives back.

Pure as `crew` is, which adds the events.  Here are the rules:

- A slot's worker belongs to one group (owner and niceness) for its life; another group's waiting task
  replaces an idle one.  While all are busy, a group with fewer workers takes one from the group with
  most, when its present tasks are done; a group without any waits `TURN` at least.
- Ahead of a worker lies `AHEAD` of work at the job's measured mean, so that no worker waits for the
  daemon and no long task is hoarded; it is refilled once a quarter is free, so that frames stay large.
- An idle worker, or a new one where a slot is empty, gets what another has not begun (`Skip`), when that one made no
  progress for `STEAL_AFTER`.
- A worker without progress for `SEEN_AFTER` is at something long: it is looked at, and the master told of that task.
- A task that asks for more than a slot, or that has limits, is given to an idle worker only and alone (`weights`).
"""

from __future__ import annotations

from asyncluster.model.messages import Message, Outcome, StepDone, Task
from asyncluster.node.devices import Told
from asyncluster.node.room import Room
from asyncluster.node.roster import (
    Action,
    Fork,
    Group,
    JobEntry,
    Kill,
    Look,
    Nudge,
    PendingStep,
    Skip,
    ToMaster,
    ToWorker,
    Worker,
    WorkerState,
)

AHEAD = 5_000  # microseconds of work that a worker is sent ahead
LONG = 100_000  # from this mean wall time on, nothing is sent ahead
DEEPEST = 256  # tasks sent ahead at most
FRAME_BYTES = 4 << 20  # payload bytes after which a frame to a worker is full
STEAL_AFTER = 0.002  # seconds without progress after which a worker's unstarted tasks go to an idle one
NUDGE_AFTER, NUDGE_SLOWEST = 0.01, 1.0  # seconds without progress before a worker is asked for what it holds
SEEN_AFTER, LOOK_SLOWEST = 0.05, 1.0  # seconds without progress before it is seen what a worker is at, and again
TURN = 0.25  # seconds a group without any worker waits before another group's last one is taken


class Staff:
    """Workers, groups, jobs, and the actions and news that gather while an event is handled."""

    def __init__(self, node: str, room: Room) -> None:
        self.node = node
        self.room = room
        self.asking = False  # whether any task here may ask for more than one slot, or be limited
        self._first: Group | None = None  # while `asking`: the group whose head the next free slots are kept for
        self.workers = {number: Worker(number) for number in range(1, room.slots + 1)}
        self.jobs: dict[int, JobEntry] = {}
        self.groups: dict[tuple[str, int], Group] = {}
        self.draining = False
        self.paused: float | None = None  # since when all workers are stopped and get nothing
        self._pending: dict[tuple[int, int], PendingStep] = {}
        self._news: list[Message] = []  # to the master
        self._out: list[Action] = []

    def _finish(self, now: float) -> list[Action]:
        """The actions of this event: what the master is told first, since clients wait for it."""
        self._retire()
        if self.paused is None:
            if not self.draining:
                wanting = [group for group in self.groups.values() if group.queue or group.wants_step]
                if wanting:
                    self._serve(wanting, now)
                self._steal(now)
            self._watch(now)
        out, self._out = self._out, []
        if self._news:
            out.insert(0, ToMaster(self._news))
            self._news = []
        return out

    def _serve(self, wanting: list[Group], now: float) -> None:
        """Workers, then work, for the groups that want some."""
        self._staff(wanting, now)
        for group in wanting:
            self._feed(group, now, len(self.workers))

    # Slots

    def _mates(self, group: Group) -> list[Worker]:
        return [w for w in self.workers.values() if w.group is group and w.state is not WorkerState.DYING]

    def _retire(self) -> None:
        for worker in self.workers.values():
            if worker.leaving and worker.idle:
                self._kill(worker)

    def _staff(self, wanting: list[Group], now: float) -> None:
        empty = [w for w in self.workers.values() if w.state is WorkerState.EMPTY]
        if not empty and len(self.groups) == 1:
            return
        coming = sum(1 for w in self.workers.values() if w.state is WorkerState.DYING)
        for group in sorted(wanting, key=lambda group: (len(self._mates(group)), group.waiting_since)):
            if now < group.not_before:
                continue
            lacking = self._lacking(group)
            while lacking > 0 and empty:
                self._fork(empty.pop(0), group)
                lacking -= 1
            covered = min(lacking, coming)
            coming -= covered
            for _ in range(lacking - covered):
                if not self._make_room(group, now):
                    break
            if group.wants_step and not group.queue and not self._mates(group) and not (coming or covered):
                self._let_step_pass(group)

    def _lacking(self, group: Group) -> int:
        """How many more workers that group could use now."""
        mates = [w for w in self._mates(group) if not w.leaving]
        busy = sum(1 for w in mates if w.sent)
        wanted = max(len(group.queue) + busy, 1 if group.wants_step else 0)
        return min(wanted, len(self.workers)) - len(mates)

    def _make_room(self, group: Group, now: float) -> bool:
        """Kill an idle worker of another group, or have a busy one leave; False: nothing can be done now."""
        first = self.asking and group is self._first  # those that have waited less get nothing before it
        for worker in self.workers.values():
            other = worker.group
            if other is None or other is group or not worker.idle:
                continue
            if not (other.queue or other.wants_step) or (first and other.waiting_since > group.waiting_since):
                self._kill(worker)
                return True
        if not group.queue:
            return False
        mine = len(self._mates(group))
        rivals = sorted((g for g in self.groups.values() if g is not group), key=lambda g: -len(self._mates(g)))
        for rival in rivals[:1]:
            mates = self._mates(rival)
            leavers = [w for w in mates if w.leaving]
            fair = len(mates) - len(leavers) > mine + 1
            turn = mine == 0 and len(mates) > len(leavers) and now - group.waiting_since >= TURN
            if leavers or not (fair or turn):
                return False
            ready = [w for w in mates if w.state is WorkerState.READY and self._served(w, now)]
            if not ready:
                return False
            worker = min(ready, key=lambda w: (len(w.sent), w.number))
            worker.leaving = True
            rival.waiting_since = now  # it had its turn
            self._skip(worker)
            self._retire()
            return True
        return False

    def _served(self, worker: Worker, now: float) -> bool:
        """Whether somebody had that worker's service, or will for certain: a task was done, or seen at work.

        Where forking is slow beside a turn, groups would else chase each other's workers out before they did anything.
        """
        return worker.base > 0 or worker.told > 0 or (not worker.sent and worker.since < now)

    def _let_step_pass(self, group: Group) -> None:
        """No slot is free to try a step in: say it went well; each worker applies it before its next task anyway."""
        group.wants_step = False
        for key, pending in list(self._pending.items()):
            if not pending.waiting and self.jobs[key[0]].group is group:
                del self._pending[key]
                self._news.append(StepDone(key[0], key[1], self.node, pending.error))

    def _fork(self, worker: Worker, group: Group) -> None:
        worker.state, worker.group = WorkerState.STARTING, group
        group.wants_step = False
        for (job, _), pending in self._pending.items():
            if not pending.waiting and self.jobs[job].group is group:
                pending.waiting.add(worker.number)
        self._out.append(Fork(worker.number, group.owner, group.niceness))

    def _kill(self, worker: Worker, verdict: tuple[Outcome, str] | None = None) -> None:
        if worker.state in (WorkerState.STARTING, WorkerState.READY):
            worker.state, worker.verdict, worker.recalling = WorkerState.DYING, verdict, False
            self._out.append(Kill(worker.number))

    # Work

    def _depth(self, task: Task) -> int:
        mean = self.jobs[task.job].means.get(task.code)
        if mean is None:
            return 2
        if mean >= LONG:
            return 1
        return max(2, min(DEEPEST, int(AHEAD / max(mean, 1.0))))

    def _feed(self, group: Group, now: float, room: int) -> None:
        """Give out from the head of a queue, to at most `room` idle workers."""
        if not group.queue:
            return
        mates = [w for w in self.workers.values() if w.group is group]
        if len(group.queue) == 1 and room > 0:  # somebody may wait for this one
            for worker in mates:
                if not worker.sent and worker.open:
                    self._give(worker, group, 1, now)
                    return
        starting = sum(1 for w in mates if w.state is WorkerState.STARTING)
        depth = self._depth(group.queue[0])
        takers = sorted((w for w in mates if w.open and len(w.sent) < depth), key=lambda w: len(w.sent))
        if takers and not takers[0].sent:  # somebody is idle: nothing for those that something long holds up
            takers = [w for w in takers if not w.sent or now - w.since < STEAL_AFTER]
            if room < len(takers):
                idle = [w for w in takers if not w.sent]
                takers = idle[: max(0, room)] + takers[len(idle) :]
        for place, worker in enumerate(takers):
            if not group.queue:
                return
            room = depth - len(worker.sent)
            if worker.sent and room < depth // 4 and room < len(group.queue):
                continue  # a larger frame later
            share = -(-len(group.queue) // (len(takers) - place + starting))
            self._give(worker, group, min(room, share), now)

    def _give(self, worker: Worker, group: Group, count: int, now: float) -> None:
        if not worker.sent:
            worker.since = now
        group.waiting_since = now
        messages: list[Told] = []
        queue, sent = group.queue, worker.sent
        job = code = -1
        size = 0
        needs: dict[int, list[int]] = {}
        for _ in range(count):
            task = queue.popleft()
            if task.code != code or task.job != job:
                entry = self.jobs[task.job]
                if task.code in entry.asks or (messages and len(sent) >= self._depth(task)):
                    queue.appendleft(task)
                    break
                job, code = task.job, task.code
                self._preface(worker, entry, messages, code)
                needs = entry.needs
            if needs and task.seq in needs:
                size += self._enclose(worker, entry, needs[task.seq], messages)
            messages.append(task)
            sent.append(task)
            size += len(task.payload)
            if size > FRAME_BYTES:
                break
        self._tell(worker, messages)

    def _enclose(self, worker: Worker, entry: JobEntry, seqs: list[int], messages: list[Told]) -> int:
        """The values that a task needs and its worker has not heard; how many bytes."""
        job, size = entry.job.job, 0
        for seq in seqs:
            value = entry.values.get(seq)
            if value is not None and (job, seq) not in worker.values:
                worker.values.add((job, seq))
                messages.append(value)
                size += len(value.payload)
        return size

    def _preface(self, worker: Worker, entry: JobEntry, messages: list[Told], code: int = -1) -> None:
        """What a worker has to hear before a task of that job, and of that code."""
        job = entry.job.job
        if job not in worker.jobs:
            worker.jobs.add(job)
            messages.append(entry.job)
        heard = worker.steps.get(job, 0)
        if heard < len(entry.steps):
            messages.extend(entry.steps[heard:])
            worker.awaiting[job] = worker.awaiting.get(job, 0) + len(entry.steps) - heard
            worker.steps[job] = len(entry.steps)
        if code >= 0 and (job, code) not in worker.codes:
            worker.codes.add((job, code))
            messages.append(entry.codes[code])

    def _tell(self, worker: Worker, messages: list[Told]) -> None:
        if messages:
            self._out.append(ToWorker(worker.number, messages))

    def _skip(self, worker: Worker, sure: int = 1) -> bool:
        """Have a worker give back what it has not started; False: it has no such thing.

        sure: so many are as good as begun, whether it is known or not.
        """
        begun = max(sure, worker.seen - worker.base)
        if worker.state is not WorkerState.READY or worker.recalling or not any(list(worker.sent)[begun:]):
            return False
        worker.recalling = True
        self._out.append(Skip(worker.number, worker.base + len(worker.sent)))
        return True

    def _steal(self, now: float) -> None:
        if len(self.workers) == 1 or (self.asking and self.room.free(self.workers.values()) <= 0):
            return
        for idler in self.workers.values():
            if not (idler.idle and idler.open) or idler.group is None:
                continue
            if idler.group.queue and not (self.asking and idler.group is self._first):
                continue
            self._steal_from(idler.group, now)
            return
        if self._has_empty_slot():
            for group in self.groups.values():
                if not group.queue and now >= group.not_before:
                    self._steal_from(group, now)

    def _steal_from(self, group: Group, now: float) -> None:
        for worker in self.workers.values():
            if worker.group is group and len(worker.sent) > 1 and now - worker.since >= STEAL_AFTER:
                self._skip(worker)

    def _has_empty_slot(self) -> bool:
        """Whether a process could be forked that nobody is waiting for."""
        return self._first is None and any(w.state is WorkerState.EMPTY for w in self.workers.values())

    def _watch(self, now: float) -> None:
        """Who shows no progress is at something long: what it has done must not wait, and who asked may know."""
        for worker in self.workers.values():
            if now - worker.since < NUDGE_AFTER or worker.state is not WorkerState.READY or not worker.sent:
                continue
            if len(worker.sent) > 1 and now - worker.nudged >= worker.patience:
                worker.nudged, worker.patience = now, min(max(NUDGE_AFTER, worker.patience * 2), NUDGE_SLOWEST)
                self._out.append(Nudge(worker.number, worker.base + 1))
            if self._unseen(worker) and not worker.recalling and now >= self._look_at(worker):
                worker.looked = now
                self._out.append(Look(worker.number))

    def _unseen(self, worker: Worker) -> bool:
        """Whether none of its tasks was seen at work."""
        return worker.told <= worker.base

    def _look_at(self, worker: Worker) -> float:
        """When to see what it is at; where nothing had begun (a step comes first), after as long again."""
        if worker.looked <= worker.since:
            return worker.since + SEEN_AFTER
        return worker.looked + min(worker.looked - worker.since, LOOK_SLOWEST)
