"""All of the product but sockets, processes and disk, on one clock: links, a journal, workers that do as told.

With these the real client, master and node daemons live through one history in one process: see
`test/unit/test_whole.py`.
"""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock

from asyncluster.errors import LinkLostError, RefusedError
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.model.messages import (
    Forget,
    Held,
    Message,
    Outcome,
    Result,
    Started,
    Step,
    StepDone,
    Task,
    Value,
    decode_batch,
    encode_batch,
)
from asyncluster.model.peer import Peer
from asyncluster.node.crew import Crew
from asyncluster.node.roster import Action, Fork, Kill, Look, Nudge, Skip, Terminate, ToMaster, ToWorker, Weigh


@attrs.frozen
class _Call:
    number: int
    name: str
    args: tuple[Any, ...]


@attrs.frozen
class _Answer:
    number: int
    value: Any
    error: str = ""


LONG, STEPS = 3, 8
"""Each third task is at work for so many steps more than the others."""

_END = object()
"""On its way behind all that was said before a link was closed."""


@attrs.define(eq=False)
class End:
    """One end of a link, as `wire.link.Link`.  What it says waits in `out` until the other end takes it."""

    clock: Clock
    peer: Peer
    handler: Any = None
    connected: bool = True
    received: int = 0
    reading_held: bool = False
    out: deque[Any] = attrs.field(factory=deque)
    far: Any = None  # the other End
    _deaf: bool = False
    _closing: bool = False
    _calls: dict[int, Deferred[Any]] = attrs.field(factory=dict)
    _asked: int = 0

    def keep_payloads(self, room: object, spoiled: object) -> None:
        """All are in memory here."""

    def send_all(self, messages: Sequence[Message]) -> None:
        """As a link's, and so are those that follow."""
        if self.connected and not self._closing:
            self.out.extend(decode_batch(encode_batch(messages)))

    send_now = send_all

    def send(self, *messages: Message) -> None:
        """Also that."""
        self.send_all(messages)

    def call(self, name: str, *args: object) -> Deferred[Any]:
        """A verb of the other side."""
        answer: Deferred[Any] = Deferred()
        if not self.connected:
            answer.errback(LinkLostError("the connection has ended"))
            return answer
        self._asked += 1
        self._calls[self._asked] = answer
        self.out.append(_Call(self._asked, name, args))
        return answer

    def close(self, reason: str = "") -> None:
        """After all that waits."""
        if self.connected and not self._closing:
            self._closing = True
            self.out.append(_END)

    def abort(self) -> None:
        """At once, and nothing more is heard; the other end learns of it when somebody tells it."""
        self._deaf = True
        self.clock.callLater(0, self.end, "aborted")

    def end(self, reason: str) -> None:
        """It is over, as this end sees it."""
        if self.connected:
            self.connected = False
            calls, self._calls = self._calls, {}
            for call in calls.values():
                call.errback(LinkLostError(f"the connection ended: {reason}"))
            if self.handler is not None:
                self.handler.lost(reason)

    def take(self, count: int) -> None:
        """So many things that the other end said arrive here, in batches."""
        batch: list[Message] = []
        while count > 0 and self.far.out and self.connected and not self._deaf:
            count -= 1
            thing = self.far.out.popleft()
            if not isinstance(thing, _Call | _Answer) and thing is not _END:
                batch.append(thing)
                continue
            batch = self._batch(batch)
            self._other(thing)
        self._batch(batch)

    def _batch(self, batch: list[Message]) -> list[Message]:
        if batch and self.connected and not self._deaf:
            self.received += 1
            self.handler.messages(batch)
        return []

    def _other(self, thing: Any) -> None:
        if isinstance(thing, _Call):
            answer = maybeDeferred(self.handler.verb, thing.name, thing.args)
            answer.addCallbacks(
                lambda value: self._answer(_Answer(thing.number, value)),
                lambda failure: self._answer(_Answer(thing.number, None, failure.getErrorMessage() or "?")),
            )
        elif isinstance(thing, _Answer):
            waiting = self._calls.pop(thing.number)
            waiting.errback(RefusedError(thing.error)) if thing.error else waiting.callback(thing.value)
        else:
            self.end("closed")
            self.far.end("closed")

    def _answer(self, answer: _Answer) -> None:
        if self.connected:
            self.out.append(answer)


def link(near: Clock, far: Clock, peer: Peer) -> tuple[End, End]:
    """Both ends, each on its clock."""
    one, other = End(near, peer), End(far, peer)
    one.far, other.far = other, one
    return one, other


class Book:
    """A journal: what is queued becomes durable from its beginning on, as far as it is told."""

    waiting_bytes = 0

    def __init__(self) -> None:
        self.jobs: dict[int, StoredJob] = {}
        self.entries: list[Entry] = []
        self.next_job = 1
        self._queue: list[tuple[bool, Callable[[], object]]] = []  # whether it is a callback

    def open_job(self, job: StoredJob) -> None:
        """See `master.ledger.Book`, as of the others."""
        self.next_job = max(self.next_job, job.job + 1)
        self._queue.append((False, lambda: self.jobs.update({job.job: job})))

    def append(self, entry: Entry) -> None:
        """Another entry."""
        self._queue.append((False, lambda: self.entries.append(entry)))

    def rewrite(self, job: int, entries: Sequence[Entry]) -> None:
        """A shorter log."""

        def write() -> None:
            self.entries = [entry for entry in self.entries if entry.job != job] + list(entries)

        self._queue.append((False, write))

    def drop_job(self, job: int) -> None:
        """Nothing of it is left."""

        def drop() -> None:
            del self.jobs[job]
            self.entries = [entry for entry in self.entries if entry.job != job]

        self._queue.append((False, drop))

    def when_durable(self, callback: Callable[[], object]) -> None:
        """When what was queued before it is, or at once."""
        if self._queue:
            self._queue.append((True, callback))
        else:
            callback()

    @property
    def behind(self) -> int:
        """So much is queued."""
        return len(self._queue)

    def commit(self, count: int, told: bool = True) -> None:
        """The first so many are durable; without `told` nobody hears of it: the master was killed in that moment."""
        group, self._queue = self._queue[:count], self._queue[count:]
        for call, what in group:
            if not call:
                what()
        for call, what in group:
            if call and told:
                what()

    def killed(self) -> None:
        """What was not committed never was."""
        self._queue.clear()


@attrs.define
class _Process:
    ready: bool = False
    dying: bool = False
    inbox: deque[tuple[int, Any]] = attrs.field(factory=deque)
    values: dict[tuple[int, int], bytes] = attrs.field(factory=dict)
    sent: int = 0
    begun: int = 0
    finished: int = 0
    left: int = 0  # steps until its task is done
    skip: int = 0
    said: list[Any] = attrs.field(factory=list)


class Bench:
    """In the place of a `Supervisor`: the real crew, with workers that work when they are told.

    A task gives its first argument back, and must have been sent the values that it needs.
    """

    def __init__(self, clock: Clock, name: str, slots: int, tell: Callable[[list[Message]], None]) -> None:
        self.crew = Crew(name, slots)
        self._clock, self._tell = clock, tell
        self._processes: dict[int, _Process] = {}
        self._drained: list[Deferred[None]] = []

    # -- what a node service uses

    def start(self) -> Deferred[None]:
        """The workers are warm at once."""
        return succeed(None)

    def receive(self, messages: Sequence[Message]) -> None:
        """From the master."""
        self._obey(self.crew.receive(messages, self._clock.seconds()))

    def held(self) -> list[Held]:
        """What is here."""
        return self.crew.held()

    def started_again(self) -> list[Started]:
        """What is at work."""
        return self.crew.started_again(self._clock.seconds())

    def drain(self, limit: float) -> Deferred[None]:
        """Give back what was not started."""
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._obey(self.crew.drain(self._clock.seconds()))
        return drained

    def abandon(self) -> None:
        """Another master."""
        self._obey(self.crew.abandon(self._clock.seconds()))

    def stop(self) -> Deferred[None]:
        """Nothing to be killed."""
        return succeed(None)

    # -- what workers do

    def work(self, number: int) -> None:
        """One step of a worker: begin something, be done with it, or die if it has to; what it did is said."""
        now = self._clock.seconds()
        self._obey(self.crew.tick(now))
        process = self._processes.get(number)
        if process is None:
            return
        if process.dying:
            self.die(number)
        elif not process.ready:
            process.ready = True
            self._obey(self.crew.ready(number, now))
        elif process.inbox:
            self._one(process)
            said, process.said = process.said, []
            self._obey(self.crew.results(number, said, now))

    def _one(self, process: _Process) -> None:
        index, thing = process.inbox[0]
        if isinstance(thing, Task) and max(process.begun, process.skip) < index:
            process.begun, process.left = index, 0 if thing.seq % LONG else STEPS
            return  # it is at work until the next step, at least
        if isinstance(thing, Task) and process.begun >= index and process.left:
            process.left -= 1
            return
        process.inbox.popleft()
        if isinstance(thing, Value):
            process.values[thing.job, thing.seq] = thing.payload
        elif isinstance(thing, Forget):
            for seq in thing.seqs:
                process.values.pop((thing.job, seq), None)
        elif isinstance(thing, Step):
            process.said.append(StepDone(thing.job, thing.step, "", ""))
        elif index <= process.skip and process.begun < index:
            process.said.append(Result(thing.job, thing.seq, thing.attempt, Outcome.RETURNED, b""))
        else:
            process.finished = index
            try:
                outcome, value = Outcome.VALUE, _first_argument(thing, process)
            except KeyError:  # what needs it may have been given here twice, and be done
                outcome, value = Outcome.EXCEPTION, (LookupError("a value did not come"), "")
            process.said.append(Result(thing.job, thing.seq, thing.attempt, outcome, pickle.dumps(value), 900))

    def die(self, number: int) -> None:
        """A worker is killed, with a task under way where it has one."""
        process = self._processes.pop(number, None)
        if process is not None:
            self._obey(self.crew.died(number, "died", self._clock.seconds(), process.begun, process.finished))

    # -- what the crew wants

    def _obey(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, ToMaster):
                self._tell(action.messages)
            elif isinstance(action, Fork):
                self._processes[action.worker] = _Process()
            elif isinstance(action, Kill | Terminate):  # Python functions die of both
                self._processes[action.worker].dying = True
            elif isinstance(action, Skip):
                process = self._processes[action.worker]
                process.skip = action.upto
                self._clock.callLater(0.001, self._recalled, action.worker, process)
            elif isinstance(action, ToWorker):
                process = self._processes[action.worker]
                for message in action.messages:
                    process.sent += isinstance(message, Task)
                    if isinstance(message, Task | Step | Value | Forget):
                        process.inbox.append((process.sent, message))
            elif isinstance(action, Look):
                process = self._processes[action.worker]
                self._obey(self.crew.looked(action.worker, process.begun, process.finished))
            elif isinstance(action, Weigh):
                self._obey(self.crew.memory(action.worker, 0, self._clock.seconds()))
            elif not isinstance(action, Nudge):  # what is done is said at once here
                raise NotImplementedError(type(action).__name__)
        if self._drained and self.crew.empty:
            drained, self._drained = self._drained, []
            for each in drained:
                each.callback(None)

    def _recalled(self, number: int, process: _Process) -> None:
        if self._processes.get(number) is process and not process.dying:
            self._obey(self.crew.recalled(number, process.begun, self._clock.seconds()))


def _first_argument(task: Task, process: _Process) -> Any:
    file = io.BytesIO(task.payload)
    sources = pickle.load(file)  # noqa: S301 (ours)
    if type(sources) is tuple:  # no values of other tasks are among them: these are the arguments
        return sources[0][0]

    class Filling(pickle.Unpickler):
        def persistent_load(self, place: Any) -> Any:
            source = sources[place]
            return pickle.loads(process.values[task.job, source] if isinstance(source, int) else source)  # noqa: S301

    return Filling(file).load()[0][0]
