"""The master's shell around the board: obeys its actions, gives it the time, answers verbs.

It decides nothing about tasks (the board does) and knows nothing of sockets (links come proven).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Action, Board, ToNode
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.messages import Beat, Leaving, Message, Output, Result, StepDone
from asyncluster.model.node import NodeFacts, NodeView
from asyncluster.model.peer import Peer
from asyncluster.version import VERSION
from asyncluster.wire.link import Link
from asyncluster.wire.pulse import Pulse

_log = Logger()

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
    pulse: Pulse
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
    _clients: dict[int, Callable[[list[Message]], None]] = attrs.field(factory=dict)
    _next_job: int = 1
    _pump_scheduled: bool = False
    _loops: list[LoopingCall] = attrs.field(factory=list)
    _idle: Deferred[None] | None = None

    # -- life

    def startService(self) -> None:
        """Begin to beat and to tick."""
        super().startService()
        for interval, function in ((self.options.heartbeat, self._beat), (TICK_SECONDS, self._tick)):
            loop = LoopingCall(function)
            loop.clock = self.reactor
            loop.start(interval, now=False)
            self._loops.append(loop)

    async def drain(self) -> None:
        """Give out nothing more; wait until what runs has finished, at most the drain limit."""
        self.draining = True
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
        for attached in list(self._nodes.values()):
            attached.link.close("the master stops")

    def stopService(self) -> Deferred[None] | None:
        """Stop at once; `drain` comes before it."""
        for loop in self._loops:
            loop.stop()
        self._loops.clear()
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
        # One dispatch a turn of the reactor, however many batches came in it.
        if not self._pump_scheduled and not self.draining:
            self._pump_scheduled = True
            self.reactor.callLater(0, self._dispatch)

    def _obey(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, ToNode):
                attached = self._nodes.get(action.node)
                if attached is not None:
                    attached.link.send_all(action.messages)
            else:
                client = self._clients.get(action.job)
                if client is not None:
                    client(action.messages)

    def _dispatch(self) -> None:
        self._pump_scheduled = False
        if self.draining:
            return
        actions = self.board.dispatch(self.reactor.seconds())
        self._obey(actions)
        for action in actions:
            # A turn's events are gathered in these already: do not wait for another turn.
            if isinstance(action, ToNode) and action.node in self._nodes:
                self._nodes[action.node].link.flush()

    def _tick(self) -> None:
        if not self.draining:
            self._obey(self.board.tick(self.reactor.seconds()))

    def _beat(self) -> None:
        now = self.reactor.seconds()
        for name, attached in list(self._nodes.items()):
            if attached.pulse.silent(now, attached.link.received):
                _log.warn("node {node} has been silent for {limit} s: gone", node=name, limit=self.options.silence)
                attached.link.abort()
            else:
                attached.link.send(Beat(0))

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
        self._nodes[facts.name] = _Attached(
            facts, link, Pulse(self.options.heartbeat, self.options.silence), time.time()
        )
        _log.info(
            "node {node} joined from {address}: {slots} slots, Python {python}",
            node=facts.name,
            address=link.peer.address,
            slots=facts.slots,
            python=facts.python,
        )
        self.act(self.board.join(facts, self.reactor.seconds()))
        return {"heartbeat": self.options.heartbeat, "silence": self.options.silence}

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

    def step_done(self, node: str, message: StepDone) -> None:
        """That node has applied a step."""
        self.act(self.board.step_done(node, message))

    def output(self, message: Output) -> None:
        """A task wrote something."""
        client = self._clients.get(message.job)
        if client is not None:
            client([message])

    def _note_progress(self) -> None:
        if self._idle is not None and not self._running():
            self._stop_waiting()

    # -- clients

    def open_job(self, spec: JobSpec, client: Callable[[list[Message]], None]) -> int:
        """A client opens a job; its messages go to `client`."""
        if self.draining:
            raise RefusedError("the master is stopping and takes no new jobs")
        job = self._next_job
        self._next_job += 1
        self._clients[job] = client
        self.board.open(attrs.evolve(spec, job=job))
        return job

    def close_job(self, job: int) -> None:
        """The job is over."""
        if self._clients.pop(job, None) is not None:
            self.act(self.board.close(job))

    # -- verbs

    def status(self) -> dict[str, object]:
        """The master in a few numbers."""
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
            "jobs": len(jobs),
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
