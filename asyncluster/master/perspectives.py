"""What a proven peer may do at the master: one class for nodes, one for clients.

Everything that comes in is checked here: type, size and right; the rest of the master works with values.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, cast

import attrs
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.master.service import Master
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import (
    Beat,
    Cancel,
    Close,
    Code,
    Leaving,
    Message,
    Output,
    Result,
    Started,
    Step,
    StepDone,
    Task,
)
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Role
from asyncluster.wire.beating import Beating
from asyncluster.wire.link import Link, LinkHandler

_log = Logger()

MAX_JOBS = 1000
"""Open jobs of one client; each is a namespace, not a task."""


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
    _beating: Beating = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._beating = self.master.attach(self.link)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """`register(facts)`, once."""
        if name != "register" or len(args) != 1 or not isinstance(args[0], dict):
            raise RefusedError(f"a node cannot ask for {name[:40]}")
        if self.name:
            raise RefusedError("this node is registered already")
        try:
            facts = NodeFacts(**args[0])
        except (TypeError, ValueError) as error:
            raise RefusedError(f"the facts of this node are not understood: {error}") from error
        answer = self.master.attach_node(facts, self.link)
        self.name = facts.name
        return answer

    def messages(self, messages: list[Message]) -> None:
        """Results, output and signs of life, of tasks and its own."""
        if not self.name:
            self._break("it is not registered")
            return
        for (kind, _job), group in _by_kind(messages):
            if kind is Result:
                self.master.results(self.name, cast("list[Result]", list(group)))
            else:
                for message in group:
                    self._one(message)

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
    _beating: Beating = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._beating = self.master.attach(self.link)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """`open_job(options)`, `stuck(job)`, `terms()`, `status()`, `nodes()`, `jobs()`, `dismiss(node, reason)`."""
        match name, args:
            case "open_job", (dict() as options,):
                return self._open(options)
            case "stuck", (int() as job,) if job in self.jobs:
                return self.master.board.why_stuck(job)
            case "terms", ():
                return self.master.terms()
            case "status", ():
                return self.master.status(self.jobs)
            case "nodes", ():
                views = self.master.nodes()
                return [attrs.asdict(view) | {"state": view.state.value} for view in views]
            case "jobs", ():
                return [attrs.asdict(view) for view in self.master.jobs(self.link.peer)]
            case "dismiss", (str() as node, str() as reason):
                self.master.dismiss(node, reason, self.link.peer)
                return None
        raise RefusedError(f"there is no verb {name[:40]} with {len(args)} arguments")

    def _open(self, options: dict[str, Any]) -> int:
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
        job = self.master.open_job(spec, self.link)
        self.jobs.add(job)
        return job

    def _allowed(self, spec: JobSpec) -> JobSpec:
        # Anybody may stand back; only administrators may push ahead of others, or wear out more nodes.
        if self.link.peer.admin:
            return spec
        limit = self.master.options.crash_limit
        return attrs.evolve(spec, priority=min(spec.priority, 0), crash_limit=min(spec.crash_limit, limit))

    def messages(self, messages: list[Message]) -> None:
        """Work, and second thoughts."""
        board = self.master.board
        for (kind, job), group in _by_kind(messages):
            if kind is Beat:
                continue
            if job not in self.jobs:
                # Closed by us a moment ago, or not ours at all: either way nobody is to hear of it.
                continue
            if kind is Task:
                self.master.act(board.submit(job, cast("list[Task]", list(group))))
                continue
            for message in group:
                if isinstance(message, Code):
                    board.code(message)
                elif isinstance(message, Step):
                    self.master.act(board.step(message))
                elif isinstance(message, Cancel):
                    self.master.act(board.cancel(job, message.seqs))
                elif isinstance(message, Close):
                    self._close(job)
                else:
                    _log.warn(
                        "{name} sent a {kind}, which clients do not", name=self.link.peer.name, kind=kind.__name__
                    )
                    self.link.abort()
                    return

    def _close(self, job: int) -> None:
        self.jobs.discard(job)
        self.master.close_job(job)

    def lost(self, reason: str) -> None:
        """The link has ended: its jobs end with it."""
        del reason
        self._beating.stop()
        self.master.detach(self.link)
        for job in sorted(self.jobs):
            self._close(job)
