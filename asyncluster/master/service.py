"""The master's shell around the board: obeys its actions, gives it the time, answers verbs.

It decides nothing about tasks (the board does) and knows nothing of sockets (links come proven).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Iterable

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Action, Board, ToNode
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.messages import Leaving, Output, Recall, Result, Started, StepDone
from asyncluster.model.node import NodeFacts, NodeView
from asyncluster.model.peer import Peer, Role
from asyncluster.version import VERSION
from asyncluster.wire.beating import Beating, start_beating
from asyncluster.wire.link import Link

_log = Logger()

FEW = 16
"""Up to so many queued tasks are given out at once, in the turn that brought them; more wait for its end."""

EVERYTHING = 2**31
LAST_WORDS = 5.0
"""Seconds that a stopping master gives its peers to take what it still has to say."""

TICK_SECONDS = 0.05
"""How often the board looks for work to move from a full node to an idle one."""


@attrs.frozen
class MasterOptions:
    """What the master needs of its configuration; times in seconds."""

    heartbeat: float = 5.0
    silence: float = 20.0
    drain_limit: float = 30.0
    crash_limit: int = 3


@attrs.frozen
class _Attached:
    """A node that is here: its link, and how we notice that it is not."""

    facts: NodeFacts
    link: Link
    since: float  # seconds since the epoch


@attrs.define(eq=False)
class Master(Service):
    """Owns the board; nodes and clients are attached to it by their perspectives."""

    reactor: IReactorTime
    options: MasterOptions = attrs.field(factory=MasterOptions)
    board: Board = attrs.field(factory=Board)
    started: float = attrs.field(factory=time.time)
    draining: bool = False
    port: int = 0
    _nodes: dict[str, _Attached] = attrs.field(factory=dict)
    _clients: dict[int, Link] = attrs.field(factory=dict)
    _next_job: int = 1
    _pump_scheduled: bool = False
    _clients_links: set[Link] = attrs.field(factory=set)
    _ticking: LoopingCall | None = None
    _idle: Deferred[None] | None = None

    # -- life

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = self.reactor
        self._ticking.start(TICK_SECONDS, now=False)

    async def drain(self) -> None:
        """Give out nothing more, take back what was not begun, wait for the rest, at most the drain limit.

        Then everything that is still to be said to nodes and clients is said, and their links are closed.
        """
        self.draining = True
        for view in self.board.node_views():
            if view.name in self._nodes and view.running:
                self._nodes[view.name].link.send(Recall(EVERYTHING))
        if self._running():
            _log.info(
                "stopping: waiting up to {limit} s for {count} tasks",
                limit=self.options.drain_limit,
                count=self._running(),
            )
            self._idle = Deferred()
            timeout = self.reactor.callLater(self.options.drain_limit, self._stop_waiting)
            await self._idle
            if timeout.active():
                timeout.cancel()
        links = {attached.link for attached in self._nodes.values()} | self._clients_links
        for link in links:
            link.close("the master stops")
        deadline = self.reactor.seconds() + LAST_WORDS
        while any(link.connected for link in links) and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.02)

    def stopService(self) -> Deferred[None] | None:
        """Stop at once; `drain` comes before it."""
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        super().stopService()
        return None

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            waiting, self._idle = self._idle, None
            waiting.callback(None)

    def _running(self) -> int:
        return sum(view.running for view in self.board.node_views())

    # -- the board's will

    def act(self, actions: Iterable[Action]) -> None:
        """Obey the board, then let it give out what became possible."""
        self._obey(actions)
        queued = self.board.queued
        if not queued or self._pump_scheduled or self.draining:
            return
        if queued <= FEW:
            self._dispatch()
        else:
            # One dispatch a turn of the reactor, however many batches come in it.
            self._pump_scheduled = True
            self.reactor.callLater(0, self._dispatch)

    def _obey(self, actions: Iterable[Action]) -> None:
        # What the board decides at once is a batch already: it is written at once.
        for action in actions:
            if isinstance(action, ToNode):
                attached = self._nodes.get(action.node)
                link = None if attached is None else attached.link
            else:
                link = self._clients.get(action.job)
            if link is not None:
                link.send_now(action.messages)

    def _dispatch(self) -> None:
        self._pump_scheduled = False
        if not self.draining:
            self._obey(self.board.dispatch(self.reactor.seconds()))

    def _tick(self) -> None:
        if self.draining:
            return
        try:
            self._obey(self.board.tick(self.reactor.seconds()))
        except Exception:  # else the loop would end, and nothing be recalled any more
            _log.failure("a tick failed")

    # -- links

    def attach(self, link: Link) -> Beating:
        """A peer is proven: beat, and end the link when it falls silent.  Stop what this gives at its end."""

        def gone() -> None:
            _log.warn(
                "{role} {name} at {address} has been silent for {limit} s: gone",
                role=link.peer.role.value,
                name=link.peer.name,
                address=link.peer.address,
                limit=self.options.silence,
            )
            link.abort()

        if link.peer.role is Role.CLIENT:
            self._clients_links.add(link)
        return start_beating(self.reactor, link, self.options.heartbeat, self.options.silence, gone)

    def detach(self, link: Link) -> None:
        """That link has ended."""
        self._clients_links.discard(link)

    def terms(self) -> dict[str, float]:
        """What both ends of a link keep to, in seconds."""
        return {"heartbeat": self.options.heartbeat, "silence": self.options.silence}

    # -- nodes

    def attach_node(self, facts: NodeFacts, link: Link) -> dict[str, float]:
        """A node registers.  Returns what it has to know; raises RefusedError when its name is taken."""
        if self.draining:
            raise RefusedError("the master is stopping; try again later")
        known = self._nodes.get(facts.name)
        if known is not None:
            if not facts.session or known.facts.session != facts.session:
                raise RefusedError(
                    f"a node named {facts.name} is here already, from {known.link.peer.address}; "
                    "give this one another `name` in its [client] section"
                )
            # The same daemon over a new connection: the old one is dead, TCP has just not told us yet.
            self.detach_node(facts.name, known.link, "it connected anew")
            known.link.abort()
        self._nodes[facts.name] = _Attached(facts, link, time.time())
        _log.info(
            "node {node} joined from {address}: {slots} slots, Python {python}",
            node=facts.name,
            address=link.peer.address,
            slots=facts.slots,
            python=facts.python,
        )
        self.act(self.board.join(facts, self.reactor.seconds()))
        return self.terms()

    def detach_node(self, name: str, link: Link, reason: str) -> None:
        """That node's link has ended."""
        attached = self._nodes.get(name)
        if attached is None or attached.link is not link:
            return
        del self._nodes[name]
        _log.info("node {node} left: {reason}", node=name, reason=reason)
        self.act(self.board.leave(name, reason, self.reactor.seconds()))
        self._note_progress()

    def node_leaving(self, name: str, reason: str) -> None:
        """The node has announced its stop: give it nothing more."""
        _log.info("node {node} is leaving: {reason}", node=name, reason=reason)
        self.act(self.board.drain(name))

    def results(self, node: str, results: list[Result]) -> None:
        """Attempts have ended on that node."""
        self.act(self.board.results(node, results, self.reactor.seconds()))
        self._note_progress()

    def task_started(self, node: str, message: Started) -> None:
        """A task on that node is at work."""
        self._obey(self.board.started(node, message))  # nothing more can be given out for that

    def step_done(self, node: str, message: StepDone) -> None:
        """That node has applied a step."""
        self.act(self.board.step_done(node, message))

    def output(self, node: str, message: Output) -> None:
        """A task on that node wrote something."""
        link = self._clients.get(message.job)
        if link is not None and self.board.has_share(node, message.job) and message.place.startswith(f"{node}/"):
            link.send(message)

    def _note_progress(self) -> None:
        if self._idle is not None and not self._running():
            self._stop_waiting()

    # -- clients

    def open_job(self, spec: JobSpec, link: Link) -> int:
        """A client opens a job; what becomes of it goes to that link."""
        if self.draining:
            raise RefusedError("the master is stopping and takes no new jobs")
        job = self._next_job
        self._next_job += 1
        self._clients[job] = link
        self.board.open(attrs.evolve(spec, job=job))
        return job

    def close_job(self, job: int) -> None:
        """The job is over."""
        if self._clients.pop(job, None) is not None:
            self.act(self.board.close(job))

    # -- verbs

    def status(self, asking: Collection[int] = ()) -> dict[str, object]:
        """The master in a few numbers; of the jobs of who asks, only those count that ever had a task."""
        nodes = self.board.node_views()
        jobs = self.board.job_views()
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "python": platform.python_version(),
            "since": self.started,
            "nodes": len(nodes),
            "slots": sum(view.slots for view in nodes),
            "running": sum(view.running for view in nodes),
            "queued": sum(view.queued for view in jobs),
            "jobs": sum(1 for view in jobs if view.job not in asking or _used(view)),
            "draining": self.draining,
            "port": self.port,
        }

    def nodes(self) -> list[NodeView]:
        """All nodes, by name."""
        views = []
        for view in self.board.node_views():
            attached = self._nodes.get(view.name)
            if attached is not None:
                views.append(attrs.evolve(view, address=attached.link.peer.address, since=attached.since))
        return sorted(views, key=lambda view: view.name)

    def jobs(self, peer: Peer) -> list[JobView]:
        """The jobs of that peer; all of them for an administrator."""
        return [view for view in self.board.job_views() if peer.admin or view.owner == peer.name]

    def dismiss(self, name: str, reason: str, peer: Peer) -> None:
        """Send a node away: it finishes what runs, returns the rest and ends itself."""
        attached = self._nodes.get(name)
        if attached is None:
            known = ", ".join(sorted(self._nodes)) or "none"
            raise RefusedError(f"there is no node {name}; present: {known}")
        if not peer.admin and attached.facts.serves != peer.name:
            raise RefusedError(f"only administrators may dismiss node {name}: it serves others too")
        _log.info("{who} dismisses node {node}: {reason}", who=peer.name, node=name, reason=reason)
        self.act(self.board.drain(name))
        attached.link.send(Leaving(reason or f"dismissed by {peer.name}"))


def _used(view: JobView) -> bool:
    return bool(view.queued or view.running or view.done or view.failed)
