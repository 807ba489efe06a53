"""The master's shell around the board: obeys its actions, gives it the time, answers verbs.

It decides nothing about tasks (the board does) and knows nothing of sockets (links come proven).
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING
from uuid import uuid4

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Action, Board, Explanation, NoteLoss, NoteTried, ToNode
from asyncluster.jobs.explaining import explain_end
from asyncluster.jobs.recovery import Recovered
from asyncluster.master.attendance import Attendance
from asyncluster.master.desks import KEEP
from asyncluster.master.ledger import Ledger
from asyncluster.master.reception import Reception
from asyncluster.master.roll import Roll
from asyncluster.master.ticking import Ticking
from asyncluster.model.job import JobView
from asyncluster.model.journal import StoredJob
from asyncluster.model.messages import EVERYTHING, Held, Output, Recall, Result, Started, StepDone
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role
from asyncluster.version import VERSION
from asyncluster.wire.beating import Beating, start_beating
from asyncluster.wire.link import Link
from asyncluster.wire.spill import Spill

if TYPE_CHECKING:
    from asyncluster.elastic.engine import Engine
    from asyncluster.master.enlisting import Enlisting
    from asyncluster.master.seating import Seating
    from asyncluster.master.sessions import Sessions

_log = Logger()

FEW = 16
"""Up to so many queued tasks are given out at once, in the turn that brought them; more wait for its end."""

LAST_WORDS = 5.0
"""Seconds that a stopping master gives its peers to take what it still has to say."""

RETURN_SECONDS = 3.0
"""Seconds after a restart in which nodes may come back with tasks before these are given out anew; less if all are."""

TICK_SECONDS = 0.05
"""How often the board looks for work to move from a full node to an idle one."""


@attrs.frozen
class MasterOptions:
    """What the master needs of its configuration; times in seconds."""

    heartbeat: float = 5.0
    silence: float = 20.0
    drain_limit: float = 30.0
    crash_limit: int = 3
    node_patience: float = 5.0  # a node whose link broke may come back with its tasks within this
    client_patience: float = 60.0  # likewise a client with its job, at most; a job may ask for less
    keep_results: float = KEEP  # of a detached job, after its last task ended


@attrs.define(eq=False)
class Master(Service):
    """Owns the board; nodes and clients are attached to it by their perspectives."""

    reactor: IReactorTime
    options: MasterOptions = attrs.field(factory=MasterOptions)
    board: Board = attrs.field(factory=Board)
    started: float = attrs.field(factory=time.time)
    realm: str = attrs.field(factory=lambda: uuid4().hex)  # names this master's book: another one numbers jobs anew
    draining: bool = False
    port: int = 0
    spill: Spill = attrs.field(factory=Spill)
    reception: Reception = attrs.field(init=False)
    attendance: Attendance = attrs.field(init=False)
    roll: Roll | None = None  # where it is written down which nodes are here
    engine: Engine | None = None  # that provides nodes, where pools are configured
    enlisting: Enlisting | None = None  # accounts of single nodes, likewise
    sessions: Sessions | None = None  # of people at workstations, with their accounts
    seating: Seating | None = None  # where they sit
    wanting: Callable[[], None] | None = None  # told when more is queued than nodes could take
    is_person: Callable[[str], bool] = lambda name: False  # whether nodes of that account are a person's own
    _resting: bool = False
    _awaited: set[str] | None = None  # nodes of a former master that are not back; None: not known
    _pump_scheduled: bool = False
    _clients_links: set[Link] = attrs.field(factory=set)
    _own_nodes: set[Link] = attrs.field(factory=set)  # links of nodes that are a person's own, registered or not
    _ticking: Ticking = attrs.field(init=False)
    _idle: Deferred[None] | None = None

    def __attrs_post_init__(self) -> None:
        self._ticking = Ticking(self.reactor, TICK_SECONDS, self._tick, "a tick")
        self.attendance = Attendance(self.reactor, self.board, self.act, self.options.node_patience)
        self.reception = Reception(
            self.reactor, self.board, self.act, self.options.client_patience, self.options.keep_results
        )

    # -- life

    def begin_with(
        self, ledger: Ledger, realm: str, next_job: int, jobs: Iterable[tuple[StoredJob, Recovered]]
    ) -> None:
        """Before the start: the journal, and jobs as a killed master left them.

        Raises TypeError, ValueError for what is no job.
        """
        self.realm = realm
        self.reception.begin_with(ledger, next_job, jobs)
        left = sum(view.queued + view.waiting for view in self.board.job_views())  # of paused jobs, too
        if left:
            _log.info("{count} tasks of a former master go on", count=left)
            self._awaited = None if self.roll is None else self.roll.former()
            self._resting = self._awaited != set()
            self.reactor.callLater(RETURN_SECONDS, self._rested)
        if self.roll is not None:
            self.attendance.changed = self.roll.note

    @property
    def resting(self) -> bool:
        """Just restarted: nodes may come back with tasks, so nothing is given out yet."""
        return self._resting

    def _rested(self) -> None:
        self._resting = False
        self._dispatch()

    def _returned(self, name: str) -> None:
        """A node is here: was it the last that a former master's tasks may be with?"""
        if self._resting and self._awaited is not None:
            self._awaited.discard(name)
            if not self._awaited:
                self._rested()

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()
        self._ticking.start()

    async def drain(self) -> None:
        """Give out nothing more, take back what was not begun, wait for the rest, at most the drain limit.

        Then everything that is still to be said to nodes and clients is said, and their links are closed.
        """
        self.draining = True
        for view in self.board.node_views():
            if view.running:
                self.attendance.send(view.name, [Recall(EVERYTHING)])
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
        links = {*self.attendance.links(), *self._clients_links}
        for link in links:
            link.close("the master stops")
        deadline = self.reactor.seconds() + LAST_WORDS
        while any(link.connected for link in links) and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.02)

    def stopService(self) -> Deferred[None] | None:
        """Stop at once; `drain` comes before it."""
        self._ticking.stop()
        self.attendance.stop()
        if self.seating is not None:
            self.seating.stop()
        super().stopService()
        return None

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            waiting, self._idle = self._idle, None
            waiting.callback(None)

    def _running(self) -> int:
        return sum(view.running for view in self.attendance.views())

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
                self.attendance.send(action.node, action.messages)
            elif isinstance(action, NoteLoss):
                self.reception.ledger.lost(action.job, action.seq, action.text)
            elif isinstance(action, NoteTried):
                self.reception.ledger.tried(action.job, action.seq, action.text)
            else:
                self.reception.tell(action.job, action.messages)

    def _dispatch(self) -> None:
        self._pump_scheduled = False
        if not self.draining and not self._resting:
            self._obey(self.board.dispatch(self.reactor.seconds()))
            if self.wanting is not None and self.board.queued:
                self.wanting()

    def _tick(self) -> None:
        if not self.draining and not self._resting:
            self._obey(self.board.tick(self.reactor.seconds()))

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
        elif self.is_person(link.peer.name):
            self._own_nodes.add(link)
        return start_beating(self.reactor, link, self.options.heartbeat, self.options.silence, gone)

    def detach(self, link: Link) -> None:
        """That link has ended."""
        self._clients_links.discard(link)
        self._own_nodes.discard(link)

    def links_of_people(self) -> list[Link]:
        """Across the network: of programs, and of nodes that are a person's own."""
        return [link for link in (*self._clients_links, *self._own_nodes) if not link.peer.is_local]

    def has_client(self, name: str) -> bool:
        """Whether a program of that person is here."""
        return any(link.peer.name == name for link in self._clients_links)

    def terms(self) -> dict[str, float]:
        """What both ends of a link keep to, in seconds."""
        return {"heartbeat": self.options.heartbeat, "silence": self.options.silence}

    # -- nodes

    def attach_node(self, facts: NodeFacts, held: list[Held], link: Link) -> dict[str, float]:
        """A node registers, with what it has from before.  Returns what it has to know.

        Raises RefusedError when its name is taken.
        """
        if self.draining:
            raise RefusedError("the master is stopping; try again later")
        self.attendance.join(facts, held, link)
        self._returned(facts.name)
        return self.terms()

    def detach_node(self, name: str, link: Link, reason: str) -> None:
        """That node's link has ended."""
        self.attendance.lost(name, link, reason, final=self.draining)
        if self.seating is not None and not self.draining:
            self.seating.away(name)
        self._note_progress()

    def node_leaving(self, name: str, reason: str) -> None:
        """The node has announced its stop: give it nothing more."""
        _log.info("node {node} is leaving: {reason}", node=name, reason=reason)
        self.act(self.board.drain(name))

    def occupy(self, node: str, user: str, way: str) -> None:
        """Somebody sits at that node ("": nobody), whose `[client] when in use` is `way`."""
        self.act(self.board.occupy(node, user, way))

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
        sound = message.stream in (1, 2) and -1 <= message.seq < 2**62
        if sound and self.board.has_share(node, message.job) and message.place.startswith(f"{node}/"):
            self.reception.output(message)

    def _note_progress(self) -> None:
        if self._idle is not None and not self._running():
            self._stop_waiting()

    # -- verbs

    def explain(self, job: int, seq: int, peer: Peer) -> Explanation:
        """Where a task is and why.  Raises RefusedError for a job that is not open, or not that peer's."""
        desk = self.reception.of(job, peer)
        told = self.board.explain(job, seq)
        if told.state == "unknown" and (result := desk.ended(seq)) is not None:
            return explain_end(result)
        if told.state != "queued" or told.node:
            return told
        if self.draining:
            return Explanation(told.state, "the master is stopping and gives out nothing more")
        if self._resting:
            text = f"the master was started anew: for {RETURN_SECONDS:g} s nodes may come back with what they have"
            return Explanation(told.state, text)
        if self.engine is None or not (wanted := self.board.wanted(job, seq)):
            return told
        from asyncluster.master.elastic_verbs import joined  # with what most masters need not

        return joined(self.engine, wanted, told)

    def why_stuck(self, job: int) -> str:
        """Why tasks of a job wait for what is not there, and what is being done about it; "" where none does."""
        text, wanted = self.board.stuck(job)
        if self.engine is None or not wanted:
            return text
        from asyncluster.master.elastic_verbs import with_pools  # with what most masters need not

        return with_pools(self.engine, wanted, text)

    def status(self, asking: Collection[int] = ()) -> dict[str, object]:
        """The master in a few numbers; of the jobs of who asks, only those count that ever had a task."""
        known = self.board.node_views()
        nodes = [view for view in known if not view.away]
        jobs = self.board.job_views()
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "python": platform.python_version(),
            "since": self.started,
            "nodes": len(nodes),
            "away": len(known) - len(nodes),
            "slots": sum(view.slots for view in nodes),
            "running": sum(view.running for view in known),
            "queued": sum(view.queued for view in jobs),
            "jobs": sum(1 for view in jobs if view.job not in asking or _used(view)),
            "draining": self.draining,
            "port": self.port,
        }


def _used(view: JobView) -> bool:
    return bool(view.queued or view.running or view.done or view.failed or view.cancelled or view.waiting)
