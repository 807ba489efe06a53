"""What a proven peer may do at the master: one class for nodes, one for clients.

Everything that comes in is checked here: type, size and right; the rest of the master works with values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, cast

import attrs
from msgspec import MsgspecError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.master.service import Master
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    Beat,
    Cancel,
    Close,
    Code,
    Held,
    Kept,
    Leaving,
    Message,
    Output,
    Result,
    Started,
    Step,
    StepDone,
    Task,
    decode_batch,
)
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Role
from asyncluster.wire.beating import Beating
from asyncluster.wire.link import Link, LinkHandler

_log = Logger()

SAY_SECONDS = 0.05
"""How long `Kept` may be gathered: a message of its own for each result would cost everybody a turn."""

MAX_JOBS = 1000
"""Open jobs of one client; each is a namespace, not a task."""


class Owing:
    """Jobs whose new count a peer has not been told; `say(job)` is called for each a moment later, once."""

    def __init__(self, clock: IReactorTime, say: Callable[[int], None]) -> None:
        self._clock, self._say = clock, say
        self._jobs: set[int] = set()

    def add(self, jobs: set[int]) -> None:
        """These have a new one."""
        if jobs and not self._jobs:
            self._clock.callLater(SAY_SECONDS, self._tell)
        self._jobs |= jobs

    def _tell(self) -> None:
        jobs, self._jobs = self._jobs, set()
        for job in jobs:
            self._say(job)


def welcome(master: Master, link: Link) -> LinkHandler:
    """The perspective of a newly proven peer."""
    return NodePerspective(master, link) if link.peer.role is Role.NODE else ClientPerspective(master, link)


def _by_kind(messages: list[Message]) -> Iterable[tuple[tuple[type, int], Iterable[Message]]]:
    """Runs of the same kind and job, so that a thousand tasks cost one look-up."""
    # Mostly all are of one run, which is seen without a call for each.
    if messages and (kind := type(messages[0])) in (Task, Result):
        job = _kind(messages[0])[1]
        if all(type(each) is kind and each.job == job for each in messages):
            return (((kind, job), messages),)
    return groupby(messages, key=_kind)


def _kind(message: Message) -> tuple[type, int]:
    return type(message), getattr(message, "job", 0)


@attrs.define(eq=False)
class NodePerspective:
    """A node daemon."""

    master: Master
    link: Link
    name: str = ""
    taken: Counter[int] = attrs.field(factory=Counter)  # Results and StepDones of this link, by job
    _owing: Owing = attrs.field(init=False)
    _beating: Beating = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._owing = Owing(self.master.reactor, self._say_kept)
        self._beating = self.master.attach(self.link)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """`realm()`, and once `register(facts, held, …)`; what is held comes in pieces that the wire can carry."""
        match name, args:
            case "realm", ():
                return self.master.realm
            case "register", (dict() as facts, *held):
                return self._register(facts, held)
        raise RefusedError(f"a node cannot ask for {name[:40]}")

    def _register(self, words: dict[str, Any], pieces: Sequence[Any]) -> object:
        if self.name:
            raise RefusedError("this node is registered already")
        try:
            facts = NodeFacts(**words)
            has = [each for piece in pieces for each in decode_batch(piece)]
            if not all(isinstance(each, Held) for each in has):
                raise TypeError("what it holds is something else")  # noqa: TRY301 (told like the others)
        except (TypeError, ValueError, MsgspecError) as error:
            raise RefusedError(f"the facts of this node are not understood: {error}") from error
        answer = self.master.attach_node(facts, cast("list[Held]", has), self.link)
        self.name = facts.name
        return answer

    def messages(self, messages: list[Message]) -> None:
        """Results, output and signs of life, of tasks and its own."""
        if not self.name:
            self._break("it is not registered")
            return
        touched: set[int] = set()
        for (kind, job), group in _by_kind(messages):
            if kind is Result:
                results = cast("list[Result]", list(group))
                self.taken[job] += len(results)
                touched.add(job)
                self.master.results(self.name, results)
                continue
            for message in group:
                if kind is StepDone:
                    self.taken[job] += 1
                    touched.add(job)
                self._one(message)
        self._owing.add(touched)

    def _say_kept(self, job: int) -> None:
        self.master.ledger.safe(job, partial(self.link.send, Kept(job, self.taken[job])))

    def _one(self, message: Message) -> None:
        if isinstance(message, StepDone):
            self.master.step_done(self.name, message)
        elif isinstance(message, Output):
            self.master.output(self.name, message)
        elif isinstance(message, Started):
            self.master.task_started(self.name, message)
        elif isinstance(message, Leaving):
            self.master.node_leaving(self.name, message.reason)
        elif not isinstance(message, Beat):
            self._break(f"a node does not send {type(message).__name__}")

    def lost(self, reason: str) -> None:
        """The link has ended."""
        self._beating.stop()
        self.master.detach(self.link)
        if self.name:
            self.master.detach_node(self.name, self.link, reason)

    def _break(self, why: str) -> None:
        _log.warn("node at {address} is sent away: {why}", address=self.link.peer.address, why=why)
        self.link.abort()


@attrs.define(eq=False)
class ClientPerspective:
    """A person's program."""

    master: Master
    link: Link
    jobs: set[int] = attrs.field(factory=set)
    _owing: Owing = attrs.field(init=False)
    _beating: Beating = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._owing = Owing(self.master.reactor, self.master.acted)
        self._beating = self.master.attach(self.link)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """What a client may ask; each line says with what."""
        match name, args:
            case "realm", ():
                return self.master.realm
            case "resume", (int() as job,):
                return self._resume(job)
            case "open_job", (dict() as options,):
                return self._open(options)
            case "stuck", (int() as job,) if job in self.jobs:
                return self.master.board.why_stuck(job)
            case "terms", ():
                return self.master.terms()
            case "status", ():
                return self.master.status(self.jobs)
            case "nodes", ():
                views = self.master.attendance.views()
                return [attrs.asdict(view) | {"state": view.state.value} for view in views]
            case "jobs", ():
                return [attrs.asdict(view) for view in self.master.jobs(self.link.peer)]
            case "dismiss", (str() as node, str() as reason):
                self.master.attendance.dismiss(node, reason, self.link.peer)
                return None
        raise RefusedError(f"there is no verb {name[:40]} with {len(args)} arguments")

    def _resume(self, job: int) -> Deferred[dict[str, float]]:
        answer = self.master.resume_job(job, self.link.peer, self.link)
        self.jobs.add(job)
        return answer

    def _open(self, options: dict[str, Any]) -> Deferred[int]:
        if len(self.jobs) >= MAX_JOBS:
            raise RefusedError(f"{MAX_JOBS} jobs are open on this connection already; close some")
        try:
            # The defaults of the site come first, who asks is what the wire has proven.
            wanted = (
                {"crash_limit": self.master.options.crash_limit} | options | {"job": 0, "owner": self.link.peer.name}
            )
            wanted["path"] = tuple(wanted.get("path", ()))
            spec = self._allowed(JobSpec(**wanted))
        except (TypeError, ValueError) as error:
            raise RefusedError(f"the options of this job are not understood: {error}") from error
        opened = self.master.open_job(spec, self.link)

        def noted(job: int) -> int:
            self.jobs.add(job)
            return job

        return opened.addCallback(noted)

    def _allowed(self, spec: JobSpec) -> JobSpec:
        # Anybody may stand back; only administrators may push ahead of others, or wear out more nodes.
        if self.link.peer.admin:
            return spec
        limit = self.master.options.crash_limit
        return attrs.evolve(spec, priority=min(spec.priority, 0), crash_limit=min(spec.crash_limit, limit))

    def messages(self, messages: list[Message]) -> None:
        """Work, and second thoughts."""
        touched: set[int] = set()
        for (kind, job), group in _by_kind(messages):
            if kind is Beat or job not in self.jobs:
                continue  # a job closed by us a moment ago, or not ours at all: nobody is to hear of it
            run = list(group)
            if kind in (Task, Code, Step, Cancel):
                touched.add(job)
                self.master.received(job, run)
            if kind is Task:
                self.master.act(self.master.board.submit(job, cast("list[Task]", run)))
            elif not all(self._one(job, message) for message in run):
                _log.warn("{name} sent a {kind}, which clients do not", name=self.link.peer.name, kind=kind.__name__)
                self.link.abort()
                return
        self._owing.add(touched)

    def _one(self, job: int, message: Message) -> bool:
        """Anything but a task; False for what clients do not send."""
        board = self.master.board
        if isinstance(message, Code):
            board.code(message)
        elif isinstance(message, Step):
            self.master.act(board.step(message))
        elif isinstance(message, Cancel):
            self.master.act(board.cancel(job, message.seqs))
        elif isinstance(message, Kept):
            self.master.taken(job, message.count)
        elif isinstance(message, Close):
            self._close(job)
        else:
            return False
        return True

    def _close(self, job: int) -> None:
        self.jobs.discard(job)
        self.master.close_job(job)

    def lost(self, reason: str) -> None:
        """The link has ended: its jobs wait for another one, if they were opened so."""
        del reason
        self._beating.stop()
        self.master.detach(self.link)
        for job in sorted(self.jobs):
            self.master.desks.left(job, self.link)
