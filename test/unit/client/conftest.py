"""A master in memory: what a session sends is kept, and answered when the test says so or at once."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from asyncluster.errors import LinkLostError, MasterNotFoundError, RefusedError
from asyncluster.model.messages import (
    Cancel,
    Close,
    Code,
    CodeKind,
    Kept,
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
        self.reading_held = False
        self.terms: dict[str, float] | None = None
        self.detached: list[tuple[Any, ...]] = []
        self.cancelled: list[tuple[Any, ...]] = []
        self.owed: list[Message] = []  # what a detached job has to hand out
        self.yours = True
        self.tasks: tuple[list[list[int]], list[list[int]]] = [[0, 1], [3, 3]], [[4, 4]]  # of that job, in two pages

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
        if name == "detach":
            self.detached.append(args)
            return succeed(None)
        if name == "attach":
            self.handler.messages(self.owed)
            return succeed({"tasks": self.tasks[0], "more": bool(self.tasks[1]), "yours": self.yours, "owner": "bob"})
        if name == "job_tasks":
            return succeed({"tasks": self.tasks[1], "more": False})
        if name in ("cancel_job", "drop_tasks"):
            self.cancelled.append((name, *args))
            return succeed(1)
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
        elif isinstance(message, Close) and self.handler is not None:
            self.handler.messages([message])

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


class FakeWire:
    """One link to a `FakeMaster`; what is in flight when it is cut is lost."""

    def __init__(self, master: FakeMaster) -> None:
        self.master = master
        self.flight: list[Message] = []
        self.connected = True
        self.received = 0
        self.reading_held = False
        self.handler: Any = None
        self.told: list[Result] = []  # on this link, and not `Kept`
        self.heard = 0  # Results that were
        self.unanswered: list[Deferred[Any]] = []

    def send_now(self, messages: list[Message]) -> None:
        """As `send_all`."""
        self.send_all(messages)

    def send(self, *messages: Message) -> None:
        """As `send_all`."""
        self.send_all(list(messages))

    def send_all(self, messages: list[Message]) -> None:
        """Nothing happens on a link that has ended."""
        if self.connected:
            self.flight += messages
            if self.master.arriving:
                self.arrive()

    def arrive(self, count: int | None = None) -> None:
        """The first `count` of what is in flight reach the master, or all."""
        arrived, self.flight = self.flight[:count], [] if count is None else self.flight[count:]
        for message in arrived:
            self.master.arrived(self, message)

    def call(self, name: str, *args: Any) -> Deferred[Any]:
        """Verbs of the master."""
        return self.master.verb(self, name, args) if self.connected else fail(LinkLostError("it has ended"))

    def tell(self, *messages: Message) -> None:
        """From the master to the session."""
        if self.connected:
            self.received += 1
            self.told += [message for message in messages if isinstance(message, Result)]
            self.handler.messages(list(messages))

    def close(self, reason: str = "") -> None:
        """What is in flight arrives."""
        self.arrive()
        self.cut("closed")

    def abort(self) -> None:
        """What is in flight is lost."""
        self.cut("aborted")

    def cut(self, reason: str) -> None:
        """The link ends."""
        if self.connected:
            self.connected = False
            unanswered, self.unanswered = self.unanswered, []
            for answer in unanswered:  # before the handler hears of it, as on the real wire
                answer.errback(LinkLostError(f"the connection ended: {reason}"))
            self.handler.lost(reason)


class FakeMaster(FakeLink):
    """A master that remembers: its links can be cut, it can go away and come back.  `sent` is what has arrived."""

    def __init__(self, reactor: Any = None) -> None:
        super().__init__(reactor)
        self.realm = "r"
        self.error: Exception | None = None  # raised by whoever connects
        self.mute = False  # it connects and answers nothing
        self.arriving = True
        self.wires: list[FakeWire] = []
        self.unheard: dict[int, Result] = {}
        self.kept: int | None = None  # what `resume` says instead of the truth
        self.forgets = ""
        self.asked: list[str] = []
        self.answers_lost: list[str] = []  # verbs that are done once, and whose answers never come
        self.forgotten: list[int] = []

    @property
    def wire(self) -> FakeWire:
        """The newest link."""
        return self.wires[-1]

    async def connect(self, reactor: Any, handler: Callable[[Any], Any]) -> Any:
        """As a place."""
        if self.error is not None:
            raise self.error
        wire = FakeWire(self)
        wire.handler = handler(wire)
        self.wires.append(wire)
        return wire

    @property
    def counted(self) -> list[Message]:
        """Messages of the job that both sides count."""
        return [message for message in self.sent if isinstance(message, Code | Step | Task | Cancel)]

    def verb(self, wire: FakeWire, name: str, args: tuple[Any, ...]) -> Deferred[Any]:
        """One call."""
        self.asked.append(name)
        if self.mute:
            return Deferred()
        if name == "realm":
            return succeed(self.realm)
        if name in self.answers_lost:
            self.answers_lost.remove(name)
            self.verb(wire, name, args)
            wire.unanswered.append(Deferred())
            if self.reactor is not None:
                self.reactor.callLater(0, self.cut)
            return wire.unanswered[-1]
        if name in ("attach", "forget_job", "cancel_job", "job_info", "drop_tasks") and args[0] in self.forgotten:
            return fail(RefusedError(f"there is no job {args[0]} of yours"))
        if name == "forget_job":
            if "detached" in self.forgets:
                return fail(RefusedError(self.forgets))
            self.forgotten.append(args[0])
            return succeed(None)
        if name == "job_info":
            return succeed(JOB)
        if name == "cancel_job":
            self.cancelled.append((name, *args))
            return succeed(5 if len(self.cancelled) == 1 else 0)  # what is cancelled is not cancelled again
        if name == "attach":
            wire.tell(*self.owed)
            terms = {"kept": 0, "heartbeat": 3, "silence": 9}
            return succeed({"tasks": [[0, 1]], "more": False, "yours": True, "owner": "me", **terms})
        if name == "resume":
            if self.forgets:
                return fail(RefusedError(self.forgets))
            answer = {"kept": len(self.counted) if self.kept is None else self.kept, "heartbeat": 3, "silence": 9}
            wire.tell(*self.unheard.values())  # before the answer: a session has to be ready for that
            return succeed(answer)
        return self.call(name, *args)

    def arrived(self, wire: FakeWire, message: Message) -> None:
        """One message of the session."""
        if isinstance(message, Kept):
            for result in wire.told[: message.count - wire.heard]:
                self.unheard.pop(result.seq, None)
            wire.told = wire.told[message.count - wire.heard :]
            wire.heard = message.count
        elif isinstance(message, Close):
            self.sent.append(message)
            wire.tell(message)
        else:
            self.send_all([message])

    def keep(self) -> None:
        """All that has arrived is safe."""
        self.wire.tell(Kept(7, len(self.counted)))

    def answer(self, count: int | None = None) -> None:
        """Run what is queued; the results are the session's to keep."""
        count = len(self.queue) if count is None else count
        tasks, self.queue = self.queue[:count], self.queue[count:]
        results = [self.run(task) for task in tasks]
        self.unheard |= {result.seq: result for result in results}
        if results:
            self.wire.tell(*results)

    def cut(self, reason: str = "cut") -> None:
        """The newest link ends; what is in flight is lost."""
        self.wire.cut(reason)

    def leave(self, reason: str = "cut") -> None:
        """It goes away."""
        self.error = MasterNotFoundError("nobody listens there")
        self.cut(reason)

    def come_back(self) -> None:
        """It is there again."""
        self.error = None

    def _other(self, message: Message) -> None:
        if not isinstance(message, Step):  # the test answers those
            super()._other(message)


@pytest.fixture(scope="session")
def masters() -> type[FakeMaster]:
    """For tests that need many."""
    return FakeMaster


@pytest.fixture
def master() -> FakeMaster:
    """A far side that remembers, and answers when told."""
    return FakeMaster()


@pytest.fixture
def threaded_master() -> FakeMaster:
    """One that lives on the private reactor and answers by itself."""
    from asyncluster.client.thread import reactor_thread

    return FakeMaster(reactor_thread().reactor)


@pytest.fixture
def link() -> FakeLink:
    """A far side that answers when told."""
    return FakeLink()


@pytest.fixture
def threaded_link() -> FakeLink:
    """One that lives on the private reactor and answers by itself."""
    from asyncluster.client.thread import reactor_thread

    return FakeLink(reactor_thread().reactor)
