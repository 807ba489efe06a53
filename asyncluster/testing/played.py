"""A master's peers and journal, played for tests: no sockets, no workers, no disk, and everything happens when told.

What they are given is checked: a job is opened once, code and steps come before their tasks, results are those of
tasks that were wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from asyncluster.model.journal import Entry, StoredJob
from asyncluster.model.messages import (
    Beat,
    Cancel,
    Close,
    Code,
    Held,
    Job,
    Kept,
    Message,
    Outcome,
    Recall,
    Result,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer
from asyncluster.node.keeping import Keeping


class Book:
    """A journal that commits when it is told to."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.orders: list[Callable[[Book], None]] = []
        self.calls: list[tuple[int, Callable[[], object]]] = []
        self.jobs: dict[int, StoredJob] = {}
        self.entries: list[Entry] = []

    def open_job(self, job: StoredJob) -> None:
        """See `master.ledger.Book`, as of the next four."""
        self.orders.append(lambda book: book.jobs.update({job.job: job}))

    def append(self, entry: Entry) -> None:
        """Another entry."""
        self.orders.append(lambda book: book.entries.append(entry))

    def rewrite(self, job: int, entries: Sequence[Entry]) -> None:
        """Not to be called."""
        raise AssertionError("logs are short here")

    def drop_job(self, job: int) -> None:
        """Not to be called."""
        raise AssertionError("nobody closes the job")

    def when_durable(self, callback: Callable[[], object]) -> None:
        """At the next commit, or at once."""
        if self.orders or self.calls:
            self.calls.append((len(self.orders), callback))
        else:
            callback()

    def commit(self) -> None:
        """All that waits is durable from now on."""
        orders, self.orders = self.orders, []
        for order in orders:
            order(self)
        calls, self.calls = self.calls, []
        for _, call in calls:
            call()

    def killed(self) -> None:
        """What was not committed never was."""
        self.orders, self.calls = [], []


@attrs.define(eq=False)
class Wire:
    """One link: the master's end, and what is on its way."""

    peer: Peer
    connected: bool = True
    received: int = 0
    reading_held: bool = False
    down: list[Message] = attrs.field(factory=list)  # to the peer
    up: list[Message] = attrs.field(factory=list)
    perspective: Any = None

    def keep_payloads(self, room: object, spoiled: object) -> None:
        """All are in memory here."""

    def send_all(self, messages: Sequence[Message]) -> None:
        """As a link's, of the master's end."""
        if self.connected:
            # the board's tasks change under it when they are given out again
            self.down += [_copied(message) for message in messages if not isinstance(message, Beat)]

    send_now = send_all

    def send(self, *messages: Message) -> None:
        """As a link's."""
        self.send_all(messages)

    def abort(self) -> None:
        """As a link's: the master lets go of it."""
        self.connected = False

    def deliver_up(self, count: int) -> None:
        """To the master, unless it has let go of this link."""
        some, self.up = self.up[:count], self.up[count:]
        if self.connected and some:
            self.received += 1
            self.perspective.messages(some)

    def end(self) -> None:
        """The master hears that it is over."""
        self.connected = False
        self.perspective.lost("cut")


def _copied(message: Message) -> Message:
    return Task(message.job, message.seq, message.attempt, message.code, b"") if isinstance(message, Task) else message


class Node:
    """A daemon: what it has to run, and what it ran and cannot forget yet."""

    def __init__(self, name: str, due: dict[int, int], excused: set[int]) -> None:
        self.excused = excused
        self.due = due  # seq -> steps that were submitted before it
        self.facts = NodeFacts(name, "h", 2, 2, 0, "3.11", session=f"session-of-{name}")
        self.keeping = Keeping()
        self.tasks: list[Task] = []
        self.knows: tuple[bool, set[int]] = (False, set())
        self.steps = 0
        self.wire: Wire | None = None

    def held(self) -> list[Held]:
        """What it says when it registers."""
        crew = [Held(1, sorted(self.knows[1]), self.steps, [(task.seq, task.attempt) for task in self.tasks])]
        return self.keeping.held(crew if self.knows[0] else [])

    def tell(self, result: Result | StepDone) -> None:
        """To the master, now or later."""
        self.keeping.put([result])
        if self.wire is not None:
            self.wire.up.append(result)

    def hear(self, message: Message) -> None:
        """A message of the master."""
        if isinstance(message, Job):
            assert not self.knows[0], "a job is opened once"
            self.knows = (True, set())
        elif isinstance(message, Code):
            self.knows[1].add(message.code)  # once more after a master that had not written it down
        elif isinstance(message, Step):
            assert message.step <= self.steps, "steps come in order"
            self.steps = max(self.steps, message.step + 1)
            self.tell(StepDone(1, message.step, self.facts.name, ""))
        elif isinstance(message, Task):
            assert message.code in self.knows[1], "code comes before its tasks"
            assert self.steps >= self.due[message.seq], "steps come before the tasks that were submitted after them"
            twice = (message.seq, message.attempt) in {(task.seq, task.attempt) for task in self.tasks}
            assert not twice or message.seq in self.excused, "an attempt is given once"
            self.tasks.append(message)
        elif isinstance(message, Kept):
            self.keeping.kept(message.job, message.count)
        elif isinstance(message, Cancel):
            self._return([task for task in self.tasks if task.seq in message.seqs], Outcome.CANCELLED)
        elif isinstance(message, Recall):
            self._return(self.tasks[2:][-message.count :], Outcome.RETURNED)
        else:
            assert isinstance(message, Close), message

    def _return(self, tasks: list[Task], outcome: Outcome) -> None:
        for task in tasks:
            self.tasks.remove(task)
            self.tell(Result(task.job, task.seq, task.attempt, outcome, b""))


class Client:
    """Keeps what is not safe at the master, and knows which tasks have their result."""

    def __init__(self) -> None:
        self.counted: list[Message] = [Code(1, 0, 0, b"f")]
        self.safe = 0
        self.results: dict[int, Result] = {}
        self.due: dict[int, int] = {}
        self.steps = 0
        self.stepped: set[int] = set()
        self.wanted: set[int] = set()
        self.came = 0
        self.wire: Wire | None = None

    def hear(self, message: Message) -> None:
        """A message of the master."""
        if isinstance(message, Kept):
            assert self.safe <= message.count <= len(self.counted)
            self.safe = message.count
        elif isinstance(message, Result):
            self.came += 1
            assert message.seq in self.wanted
            if message.seq not in self.results:
                self.results[message.seq] = message
        elif isinstance(message, StepDone):
            assert message.error == ""
            if not message.node:
                self.stepped.add(message.step)
