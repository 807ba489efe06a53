"""Which tasks of a job wait for others, and whose values are still needed: pure.

    After --announce--> linked --admit--> waiting --(all it waits for gave values)--> queued, running --ended--> gone
                                 |            `--(one of them did not)--> answered DEPENDENCY, and so on down
                                 `--(nothing is missing)--> queued, running

Only tasks that an `After` was sent for have a record here.  It stays until the task ends, wherever the task is, because
the values among its arguments have to be sent with it each time that it is given out.  A value is held while
an unfinished task needs it; then the nodes that have it are told to forget it.

A dependency has to be known when it is named: queued, running or waiting here, or ended with a Result that its client
has not said it has.  So there are no cycles, and a number that never comes is answered at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from asyncluster.model.chain import MOST, depends, links, not_run
from asyncluster.model.messages import After, Forget, Message, Outcome, Result, Task, Value

MOST_IN_ALL = 5_000_000
"""Dependencies of one job that may wait at a time: each takes about 200 bytes."""
MOST_AHEAD = 100
"""Tasks of one job of which the dependencies have come and they themselves have not.  A client sends both together."""
BIG = 64 * 1024
"""A value above so many bytes, which another task needs, stays with the master until its client asks for it."""

_HOW: dict[int, str] = {
    Outcome.LOST: "was lost",
    Outcome.REFUSED: "was refused",
    Outcome.CANCELLED: "was cancelled",
    Outcome.UNPREPARED: "could not be run: a step of its job failed",
    Outcome.LIMIT: "went over a limit",
}


class Holder(Protocol):
    """A place that is sent values; in fact the share that a node has of the job."""

    values: set[int]


@attrs.define(eq=False)
class Linked:
    """A task that has dependencies and has not ended.

    missing: those that have not ended; failure: one did not end in a value, as a sentence.
    """

    values: tuple[int, ...]
    missing: set[int]
    failure: str = ""


class Dependencies:
    """Those of one job, made when its first `After` comes."""

    def __init__(self, job: int) -> None:
        self.job = job
        self.waiting: dict[int, Task] = {}  # came, and something is missing
        self._linked: dict[int, Linked] = {}
        self._ahead: dict[int, None] = {}  # keys of `_linked` whose tasks have not come, oldest first
        self._waiters: dict[int, dict[int, None]] = {}  # number -> those that miss it, in the order in which they came
        self._pending = 0  # invariant: the sum of len(linked.missing)
        self._users: dict[int, int] = {}  # number -> unfinished tasks that need its value
        self._values: dict[int, bytes] = {}  # keys: those of `_users` that have ended
        self._holders: dict[int, dict[int, Holder]] = {}  # who was sent that value, by id
        self._unneeded: list[int] = []  # values that are not held any more, and some have
        self._stay: set[int] = set()
        self._doomed: list[tuple[Task, str]] = []

    # What comes from the client

    def announce(self, after: After, alive: Callable[[int], bool], owed: Callable[[int], Result | None]) -> None:
        """A task that will come has these dependencies.  The first word of a number counts.

        alive: whether another task is queued or runs; owed: the Result of one that has ended, if its client may still
        name it.
        """
        if after.seq in self._linked:
            return
        self._ahead[after.seq] = None
        needed = dict.fromkeys(after.values)
        all_of_them = needed | dict.fromkeys(after.order)
        missing: set[int] = set()
        found: dict[int, bytes] = {}
        failure = ""
        if len(all_of_them) > MOST:
            failure = not_run(f"task {after.seq}", f"it depends on {len(all_of_them)} tasks, {MOST} are possible")
            all_of_them.clear()
        elif self._pending + len(all_of_them) > MOST_IN_ALL:
            failure = not_run(
                f"task {after.seq}", f"the tasks of its job wait for others in {MOST_IN_ALL} places already"
            )
            all_of_them.clear()
        for number in all_of_them:
            itself = number == after.seq
            if not itself and (number in self.waiting or alive(number)):
                missing.add(number)
                continue
            result = None if itself else owed(number)
            if result is None or result.outcome != Outcome.VALUE:
                failure = chain(after.seq, number, result)
                break
            if number in needed:
                found[number] = result.payload
        if failure:
            self._linked[after.seq] = Linked((), set(), failure)
            return
        self._linked[after.seq] = Linked(tuple(needed), missing)
        self._pending += len(missing)
        for number in missing:
            self._waiters.setdefault(number, {})[after.seq] = None
        for number in needed:
            self._users[number] = self._users.get(number, 0) + 1
        self._values.update(found)

    def forget_oldest(self) -> None:
        """Of too many tasks that have not come the first will not: they have ended, or there are none such."""
        while len(self._ahead) > MOST_AHEAD:
            self._release(next(iter(self._ahead)))

    def admit(self, tasks: dict[int, Task]) -> tuple[dict[int, Task], list[Result]]:
        """Tasks have come: those that may be queued, and answers to those that will never run.  The others wait."""
        ready: dict[int, Task] = {}
        answers = []
        for seq, task in tasks.items():
            linked = self._linked.get(seq)
            self._ahead.pop(seq, None)
            if linked is not None and linked.failure:
                answers.append(self._fail(task, linked.failure))
            elif linked is not None and linked.missing:
                self.waiting[seq] = task
            else:
                ready[seq] = task
        return ready, answers

    def refused(self, seq: int, alive: Callable[[int], bool]) -> None:
        """A task of that number came and was not taken on: what was announced of it goes, unless another one has it."""
        if seq not in self.waiting and not alive(seq):
            self._release(seq)

    def withdraw(self, seq: int) -> Task | None:
        """Take a waiting task out, None where none of that number waits.  It is answered, or is somebody's."""
        return self.waiting.pop(seq, None)

    # What becomes of tasks

    def ended(self, result: Result) -> tuple[list[Task], list[Result]]:
        """A task has its final answer: those that may be queued now, and answers to those that will never run."""
        seq = result.seq
        self.waiting.pop(seq, None)
        waiters = self._waiters.pop(seq, {})
        self._pending -= len(waiters)
        ready: list[Task] = []
        answers: list[Result] = []
        if result.outcome == Outcome.VALUE:
            if seq in self._users:
                self._values[seq] = result.payload
                if len(result.payload) > BIG:
                    self._stay.add(seq)
            for each in waiters:
                linked = self._linked[each]
                linked.missing.discard(seq)
                if not linked.missing and not linked.failure and each in self.waiting:
                    ready.append(self.waiting.pop(each))
        else:
            for each in waiters:
                linked = self._linked[each]
                linked.missing.discard(seq)
                linked.failure = linked.failure or chain(each, seq, result)
                task = self.waiting.pop(each, None)
                if task is not None:
                    answers.append(self._fail(task, linked.failure))
        self._release(seq)
        return ready, answers

    def may_queue(self, tasks: Iterable[Task]) -> list[Task]:
        """Tasks come back from a node: those that may be queued again.

        Where the master was killed before the journal had a result, a node may have a task of which
        this master has to wait for the dependencies once more.
        """
        ready = []
        for task in tasks:
            linked = self._linked.get(task.seq)
            self._ahead.pop(task.seq, None)
            if linked is None or not (linked.missing or linked.failure):
                ready.append(task)
            elif linked.failure:
                self._doomed.append((task, linked.failure))
            else:
                self.waiting[task.seq] = task
        return ready

    def doomed(self) -> list[Result]:
        """Answers to tasks that came back and cannot be run again."""
        doomed, self._doomed = self._doomed, []
        return [self._fail(task, text) for task, text in doomed]

    def stays(self, seq: int) -> bool:
        """Whether the value of a task that has just ended is not sent to its client unasked; asked once."""
        if seq in self._stay:
            self._stay.discard(seq)
            return True
        return False

    # What nodes have

    def give(self, holder: Holder, tasks: Iterable[Task], out: list[Message]) -> None:
        """These tasks go to that place: write what it has to have before them."""
        for task in tasks:
            linked = self._linked.get(task.seq)
            if linked is None or not linked.values:
                continue
            for number in linked.values:
                if number not in holder.values and number in self._values:
                    self._note(holder, number)
                    out.append(Value(self.job, number, self._values[number]))
            out.append(After(self.job, task.seq, list(linked.values), []))

    def agree(self, holder: Holder, has: Iterable[int], out: list[Message]) -> None:
        """That place is back and has these values: have it forget those that nobody needs."""
        holder.values.clear()
        over = []
        for number in sorted(set(has)):
            if number in self._values:
                self._note(holder, number)
            else:
                over.append(number)
        if over:
            out.append(Forget(self.job, over))

    def _note(self, holder: Holder, number: int) -> None:
        holder.values.add(number)
        self._holders.setdefault(number, {})[id(holder)] = holder

    def over(self) -> list[tuple[Holder, list[int]]]:
        """Who has to forget which values: said once."""
        told: dict[int, tuple[Holder, list[int]]] = {}
        unneeded, self._unneeded = self._unneeded, []
        for number in unneeded:
            if number in self._users:  # another task was announced meanwhile
                continue
            for key, holder in self._holders.pop(number, {}).items():
                holder.values.discard(number)
                told.setdefault(key, (holder, []))[1].append(number)
        return list(told.values())

    # What may be looked at

    def waits_for(self, seq: int) -> tuple[int, ...]:
        """The tasks that a waiting task still waits for; none for any other."""
        return tuple(sorted(self._linked[seq].missing)) if seq in self.waiting else ()

    def written(self) -> dict[int, After]:
        """What has to be known of the tasks that have not ended, by number: for a master that takes over."""
        told = {}
        for seq, linked in self._linked.items():
            order = sorted(linked.missing.difference(linked.values))
            # its task has not come: that one will fail there, too
            told[seq] = After(self.job, seq, *(([], [seq]) if linked.failure else (list(linked.values), order)))
        return told

    def held(self) -> dict[int, Result]:
        """The values that are held, by number."""
        return {seq: Result(self.job, seq, 0, Outcome.VALUE, payload) for seq, payload in self._values.items()}

    # Inside

    def _fail(self, task: Task, text: str) -> Result:
        return Result(self.job, task.seq, task.attempt, Outcome.DEPENDENCY, text.encode())

    def _release(self, seq: int) -> None:
        """That task needs nothing any more."""
        self._ahead.pop(seq, None)
        linked = self._linked.pop(seq, None)
        if linked is None:
            return
        self._pending -= len(linked.missing)
        for number in linked.missing:
            waiters = self._waiters.get(number, {})
            waiters.pop(seq, None)
            if not waiters:
                self._waiters.pop(number, None)
        for number in linked.values:
            self._users[number] -= 1
            if not self._users[number]:
                del self._users[number]
                self._values.pop(number, None)
                self._unneeded.append(number)


def chain(seq: int, number: int, result: Result | None) -> str:
    """Why a task is not run that depends on `number`, which ended so, or is not known (None)."""
    task = f"task {seq}"
    if result is None:
        if seq == number:
            return not_run(task, "it depends on itself")
        return not_run(task, f"it depends on task {number}, which is not known here, or not any more")
    if result.outcome == Outcome.DEPENDENCY:
        return depends(task, f"task {number}", links(result.payload.decode("utf-8", "replace")))
    return depends(task, f"task {number}", [_HOW.get(result.outcome, "failed")])
