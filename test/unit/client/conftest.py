"""A master in memory: what a session sends is kept, and answered when the test says so or at once."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from asyncluster.errors import RefusedError
from asyncluster.model.messages import (
    Cancel,
    Close,
    Code,
    CodeKind,
    Message,
    Outcome,
    Result,
    Step,
    StepDone,
    Task,
)

NODE = {"name": "a", "state": "idle", "host": "h", "slots": 2, "running": 0, "done": 0, "lost": 0}
NODE |= {"address": "", "python": "3.11", "serves": "*", "since": 0.0, "news": "of a later release"}
JOB = {"job": 7, "owner": "me", "name": "n", "queued": 1, "running": 2, "done": 3, "failed": 4, "news": "as above"}


class FakeLink:
    """Stands for the wire and everything behind it; also the place to connect to."""

    def __init__(self, reactor: Any = None, slots: int = 2) -> None:
        self.reactor = reactor  # answers by itself, in its turns, when there is one
        self.slots = slots
        self.sent: list[Message] = []
        self.queue: list[Task] = []
        self.codes: dict[int, Any] = {}
        self.names: dict[str, Callable[..., Any]] = {}
        self.handler: Any = None
        self.closed = False
        self.options: dict[str, Any] = {}
        self.answering = True
        self.connected = True
        self.received = 0
        self.terms: dict[str, float] | None = None

    async def connect(self, reactor: Any, handler: Callable[[Any], Any]) -> FakeLink:
        """As a place."""
        self.handler = handler(self)
        return self

    # -- SessionLink

    def send_now(self, messages: list[Message]) -> None:
        """No batches here."""
        self.send_all(messages)

    def send(self, *messages: Message) -> None:
        """As `send_all`."""
        self.send_all(list(messages))

    def send_all(self, messages: list[Message]) -> None:
        """Keep; answer in a later turn."""
        begin = not self.queue
        self.sent += messages
        for message in messages:
            if isinstance(message, Task):
                self.queue.append(message)
            else:
                self._other(message)
        if begin and self.queue and self.reactor is not None and self.answering:
            self.reactor.callLater(0, self.answer)

    def call(self, name: str, *args: Any) -> Deferred[Any]:
        """Verbs of the master."""
        if name == "open_job":
            self.options = args[0]
            return succeed(7)
        if name == "nodes":
            return succeed([{**NODE, "slots": self.slots}])
        if name == "jobs":
            return succeed([JOB])
        if name == "status":
            return succeed({"nodes": 1})
        if name == "terms" and self.terms is not None:
            return succeed(self.terms)
        return fail(RefusedError(name))

    def close(self, reason: str = "") -> None:
        """Ends at once."""
        if not self.closed:
            self.closed = True
            self.handler.lost("closed")

    def abort(self) -> None:
        """Ends at once."""
        self.close()

    # -- the far side

    def _other(self, message: Message) -> None:
        if isinstance(message, Code):
            name = message.payload.decode() if message.kind == CodeKind.NAME else ""
            self.codes[message.code] = self.names[name] if name else pickle.loads(message.payload)
        elif isinstance(message, Cancel):
            gone = set(message.seqs)
            self.queue = [task for task in self.queue if task.seq not in gone]
        elif isinstance(message, Step) and self.reactor is not None:
            self.reactor.callLater(0, self.handler.messages, [StepDone(message.job, message.step, "", "")])

    def answer(self, count: int | None = None) -> None:
        """Run what is queued and send the results."""
        count = len(self.queue) if count is None else count
        tasks, self.queue = self.queue[:count], self.queue[count:]
        results = [self.run(task) for task in tasks]
        if results and not self.closed:
            self.handler.messages(results)

    def run(self, task: Task) -> Result:
        """As a worker does."""
        try:
            args, kwargs = pickle.loads(task.payload)
            payload = pickle.dumps(self.codes[task.code](*args, **kwargs))
            return Result(task.job, task.seq, 1, Outcome.VALUE, payload, 100)
        except Exception as error:
            payload = pickle.dumps((error, traceback.format_exc()))
            return Result(task.job, task.seq, 1, Outcome.EXCEPTION, payload, 100)

    def of(self, kind: type[Message]) -> list[Any]:
        """Messages of that kind that were sent."""
        return [message for message in self.sent if isinstance(message, kind)]

    @property
    def closes(self) -> int:
        """How often the job was closed."""
        return len(self.of(Close))


@pytest.fixture
def link() -> FakeLink:
    """A far side that answers when told."""
    return FakeLink()


@pytest.fixture
def threaded_link() -> FakeLink:
    """One that lives on the private reactor and answers by itself."""
    from asyncluster.client.thread import reactor_thread

    return FakeLink(reactor_thread().reactor)
