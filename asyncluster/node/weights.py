"""The part of the crew for tasks that ask for more than a slot, or that have limits; pure as `crew` is.

- Such a task is given to an idle worker, alone: what it takes and how long it runs is then known without asking.
- The loads of all workers never exceed the slots.  Groups are served in the order in which they have waited; a head
  that does not fit yet holds up what is behind it, also of other groups, until it does.  One that lacks gpus or
  memory holds up its own group only.
- Memory is measured every `WEIGH_EVERY`, and only where it has a limit.  Before a task with such a limit it is
  measured what its worker uses already: one that earlier tasks left large is replaced.

While no task here asks for anything, none of this is even looked at.
"""

from __future__ import annotations

from asyncluster.model.messages import Outcome, Task
from asyncluster.node.devices import Devices, Told
from asyncluster.node.room import GROWN, Room, deadline, outgrown, over_memory, over_time, use
from asyncluster.node.roster import Ask, Group, Weigh, Worker, WorkerState
from asyncluster.node.staff import Staff

WEIGH_EVERY = 0.25  # seconds between looks at the memory of a worker with a limit


class Weights(Staff):
    """`memory_limit` is in bytes a worker, 0 = none."""

    def __init__(self, node: str, room: Room, memory_limit: int) -> None:
        super().__init__(node, room)
        self._memory_limit = memory_limit

    # Giving out

    def _serve(self, wanting: list[Group], now: float) -> None:
        if not self.asking:
            super()._serve(wanting, now)
            return
        wanting.sort(key=lambda group: group.waiting_since)
        self._first = next((group for group in wanting if self._holds(group, now)), None)
        self._staff(wanting, now)
        for group in wanting:
            left = -1
            while group.queue and len(group.queue) != left:
                left = len(group.queue)
                self._feed_weighed(group, now)
            if self._holds(group, now):
                return

    def _ask_of(self, task: Task) -> Ask | None:
        return self.jobs[task.job].asks.get(task.code)

    def _holds(self, group: Group, now: float) -> bool:
        """Whether the head of that group is to have the next slots that come free."""
        if not group.queue or now < group.not_before:
            return False
        ask = self._ask_of(group.queue[0])
        return ask is not None and not self.room.lacks(ask, self.workers.values())

    def _feed_weighed(self, group: Group, now: float) -> None:
        ask, free = self._ask_of(group.queue[0]), self.room.free(self.workers.values())
        if ask is None:
            self._feed(group, now, free)
        elif ask.slots <= free and not self.room.lacks(ask, self.workers.values()):
            for worker in self.workers.values():
                if worker.group is group and worker.open and not worker.sent and self._suits(worker, ask, now):
                    self._give_alone(worker, group, ask, now)
                    return

    def _suits(self, worker: Worker, ask: Ask, now: float) -> bool:
        """Whether what earlier tasks left in a worker would not be held against the next one."""
        if not ask.need.memory:
            return True
        if worker.size_at != worker.base:
            worker.weighed = now
            self._out.append(Weigh(worker.number, worker.fresh + ask.need.memory // GROWN))
            return False  # for the moment that this takes
        if outgrown(worker, ask):
            self._kill(worker)
            return False
        return True

    def _give_alone(self, worker: Worker, group: Group, ask: Ask, now: float) -> None:
        task = group.queue.popleft()
        messages: list[Told] = []
        self._preface(worker, self.jobs[task.job], messages, task.code)
        self.room.take(worker, ask)
        worker.began = None if worker.awaiting else now  # steps that come first are not its time
        messages += [Devices(worker.devices), task, Devices(())] if worker.devices else [task]
        worker.sent.append(task)
        worker.since = worker.weighed = group.waiting_since = now
        self._tell(worker, messages)

    def _release(self, worker: Worker) -> None:
        """What that worker's task took is free again."""
        self.room.release(worker)
        self._note_asking()

    def _note_asking(self) -> None:
        self.asking = any(entry.asks for entry in self.jobs.values()) or any(w.ask for w in self.workers.values())

    # Limits

    def _watch(self, now: float) -> None:
        super()._watch(now)
        if self.asking or self._memory_limit:
            for worker in self.workers.values():
                if worker.state is WorkerState.READY:
                    self._enforce(worker, now)

    def _enforce(self, worker: Worker, now: float) -> None:
        if text := over_time(worker, self.node, now):
            self._kill(worker, (Outcome.LIMIT, text))
        elif (moment := self._weigh_at(worker)) is not None and now >= moment:
            worker.weighed = now
            self._out.append(Weigh(worker.number, self._limit_of(worker)))

    def _limit_of(self, worker: Worker) -> int:
        """Bytes above which something happens; 0: nobody minds."""
        limits = (self._memory_limit, worker.ask.need.memory if worker.ask is not None else 0)
        return min(filter(None, limits), default=0)

    def _weigh_at(self, worker: Worker) -> float | None:
        """When to measure its memory: while it is at work, and once more after that."""
        if not self._limit_of(worker) or not (worker.sent or worker.since > worker.weighed):
            return None
        return worker.weighed + WEIGH_EVERY

    def _judge(self, worker: Worker, size: int) -> None:
        """Its memory was measured."""
        if worker.state is not WorkerState.READY:
            return
        worker.size, worker.size_at = size, worker.base
        if worker.sent:
            worker.peak = max(worker.peak, size)
        if worker.base == 0 and not worker.sent:
            worker.fresh = size
        if text := over_memory(worker, self.node, size):
            self._kill(worker, (Outcome.LIMIT, text))
        elif 0 < self._memory_limit < size:
            text = (
                f"worker {worker.number} on node {self.node} was stopped: it used {use(size)}, with what it started, "
                f"above the limit of {self._memory_limit >> 20} MiB a worker (`memory limit` in [client])"
            )
            self._kill(worker, (Outcome.LOST, text))

    def _limit_moments(self) -> list[float]:
        """When a limit is reached, or memory is to be measured."""
        ready = [worker for worker in self.workers.values() if worker.state is WorkerState.READY]
        moments = [moment for worker in ready for moment in (deadline(worker), self._weigh_at(worker))]
        return [moment for moment in moments if moment is not None]
