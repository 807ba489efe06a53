"""The node's link to its master: connect, prove, register, beat; again when it breaks; end when told.

A link that breaks stops no work: the workers go on with what is here, and the master that comes back is told what
is held, then all that it has not said is safe.  Only a master of another realm, which cannot know our tasks, has
them abandoned.  What happens to tasks is the supervisor's, what is not safe yet `keeping`'s, when to try again
`retry`'s.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError, LinkLostError, RefusedError, WireError
from asyncluster.model.messages import Beat, Kept, Leaving, Message, Outcome, Result, Task
from asyncluster.model.node import NodeFacts
from asyncluster.model.withheld import Withheld
from asyncluster.node.hearing import Hearing
from asyncluster.node.keeping import Keeping, pieces
from asyncluster.node.seat_service import SeatKeeper
from asyncluster.node.supervisor import Supervisor
from asyncluster.wire.beating import Beating, start_beating
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.retry import Retry
from asyncluster.wire.spill import Spill

_log = Logger()

LAST_WORDS = 5.0
"""Seconds that a stopping node waits until the master has taken what it had to say."""

ANSWER = 60.0
"""Seconds within which a master answers who it is, and whether it takes us."""

Connect = Callable[[Callable[[Link], LinkHandler]], Awaitable[Link]]
"""Makes a proven link to the master; assembly gives one with host, port and passwords inside."""


@attrs.define(eq=False)
class MasterLink:
    """The handler of one link to the master."""

    link: Link
    supervisor: Supervisor
    keeping: Keeping
    leaving: Callable[[str], None]
    seat: SeatKeeper | None = None
    ended: Deferred[str] = attrs.field(factory=Deferred)

    def messages(self, messages: list[Message]) -> None:
        """Work; word of what is safe; a heartbeat; or our dismissal.  WireError, which ends the link, for nonsense."""
        work = [message for message in messages if not isinstance(message, Beat | Kept | Leaving)]
        if work:
            self.supervisor.receive(work)
        if len(work) == len(messages):
            return
        for message in messages:
            if isinstance(message, Kept):
                self.keeping.kept(message.job, message.count)
            elif isinstance(message, Leaving):
                self.leaving(message.reason)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """`seat(what, number, …)`: its word about the session of who sits here; `cut(reason)`: it ends the link."""
        if name == "cut" and args:
            _log.warn("the master ends the link: {reason}", reason=str(args[0])[:200])
            return None
        if name == "seat" and self.seat is not None:
            self.seat.order(args)
            return None
        raise RefusedError(f"a node does not answer {name[:40]}")

    def lost(self, reason: str) -> None:
        """The link has ended."""
        self.ended.callback(reason)


@attrs.define(eq=False)
class NodeService(Service):
    """Keeps this node registered.  `finished` is called when the node has nothing left to do here."""

    reactor: IReactorTime
    connect: Connect
    facts: NodeFacts
    make_supervisor: Callable[[Callable[[list[Message]], None]], Supervisor]
    retry: Retry
    drain_limit: float
    finished: Callable[[str], None]
    spill: Spill = attrs.field(factory=Spill)
    lifetime: float = 0.0  # seconds from the start on, 0 = for ever
    seat: SeatKeeper | None = None  # where people sit at this machine
    watch: IService | None = None  # looks whether the machine is taken back, also while what runs is finished
    supervisor: Supervisor = attrs.field(init=False)
    keeping: Keeping = attrs.field(init=False)
    failure: str = attrs.field(default="", init=False)  # why it ended though nobody had it end
    _link: Link | None = None  # to a master that has taken us
    _realm: str | None = None  # of the master that gave what is here; "": it would not say
    _hearing: Hearing | None = None  # on that link
    _life: Deferred[None] | None = None
    _dismissed: str = ""
    _end: float = 0.0  # seconds of the reactor's clock
    _ending: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        self.keeping = Keeping(Withheld(self.spill.keep, self._no_room))

    def _no_room(self, disk: str) -> str:
        return f"the master was away, and node {self.facts.name} had no room for it: {disk}"

    def startService(self) -> None:
        """Warm up the workers and look for the master, both at once."""
        super().startService()
        if self.lifetime:
            self._end = self.reactor.seconds() + self.lifetime
            self._ending = self.reactor.callLater(self.lifetime, self._time_is_up)
        self.supervisor = self.make_supervisor(self._send)
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._crashed)
        if self.watch is not None:
            self.watch.startService()

    def stopService(self) -> Deferred[None]:
        """Return what was not started, let the rest finish within the drain limit, and go; at once without a link."""
        super().stopService()
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        link = self._link
        if link is not None and link.connected:
            link.send(Leaving(self._dismissed or "the node stops"))
            await self.supervisor.drain(self.drain_limit)
            link.close()
            # The last results leave with the link: cutting it now would have those tasks run twice.
            await self._link_ends(link)
        if self.watch is not None:
            self.watch.stopService()
        if self._life is not None:
            self._life.cancel()
        await self.supervisor.stop()

    async def _link_ends(self, link: Link) -> None:
        deadline = self.reactor.seconds() + LAST_WORDS
        while link.connected and self.reactor.seconds() < deadline:
            await deferLater(self.reactor, 0.02)

    def _crashed(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            _log.failure("the node's link to the master broke inside", failure=failure)
            self.failure = "an error inside; see the log"
            self.finished(self.failure)

    def _send(self, messages: list[Message]) -> None:
        self.keeping.put(messages)
        if self._link is not None:
            self._link.send_now(messages)
            if self.keeping.said and self._hearing is not None:
                self._hearing.ask_soon()

    def _spoiled(self, message: Message, why: str) -> None:
        """A task came, and the disk had no room for its arguments: it is refused, everything else goes on."""
        if isinstance(message, Task):
            _log.error("task {seq} of job {job}: {why}", seq=message.seq, job=message.job, why=why)
            text = f"its arguments were lost at node {self.facts.name}: {why}"
            self._send([Result(message.job, message.seq, message.attempt, Outcome.REFUSED, text.encode())])

    async def _live(self) -> None:
        warm = self.supervisor.start()
        while True:
            try:
                await self._one_link(warm)
            except CancelledError:
                raise
            except AsynClusterError as error:
                _log.warn("no master: {error}", error=str(error))
            except Exception:  # whatever it was, the next attempt may go better
                _log.failure("the attempt to join failed inside")
            delay = self.retry.failed(self.reactor.seconds(), random.random())  # noqa: S311 (jitter)
            if self._dismissed or not self.running:
                return
            if delay is None:
                _log.error("no master for {limit} s: this node ends itself", limit=self.retry.limit)
                self.failure = "no master found"
                self.finished(self.failure)
                return
            _log.info("trying again in {delay:.1f} s", delay=delay)
            await deferLater(self.reactor, delay)

    async def _one_link(self, warm: Deferred[None]) -> None:
        handlers: list[MasterLink] = []

        def handler(link: Link) -> MasterLink:
            handlers.append(MasterLink(link, self.supervisor, self.keeping, self._leave, self.seat))
            link.keep_payloads(self.spill.room, self._spoiled)
            return handlers[-1]

        link = await self.connect(handler)
        try:
            if not warm.called:
                await warm
            await self._recognize(link)
            terms = await self._register(link)
            if self.seat is not None:
                self.seat.linked(link)
            beating = self._beat(link, terms)
            try:
                reason = await handlers[-1].ended
            finally:
                beating.stop()
            _log.warn(
                "the link to the master ended: {reason}; {count} results are not safe there yet",
                reason=reason,
                count=self.keeping.count,
            )
        finally:
            self._link = None
            if self.seat is not None:
                self.seat.unlinked()
            if self._hearing is not None:
                self._hearing.stop()
                self._hearing = None
            self.keeping.lost()
            if link.connected:
                link.abort()
            if not self.running:  # nobody is left to finish for
                self.supervisor.abandon()

    async def _recognize(self, link: Link) -> None:
        """Forget everything unless this master's book is the one that our tasks are in."""
        try:
            realm = await self._ask(link, "realm")
        except RefusedError:  # it has no book: each time it is another
            realm = ""
        if not isinstance(realm, str):
            raise WireError("the master's realm is not a name")
        if self._realm is not None and (not realm or realm != self._realm):
            _log.warn("the master has another book than before: all tasks here are abandoned")
            self.supervisor.abandon()
            self.keeping.forget()
        self._realm = realm

    async def _register(self, link: Link) -> dict[str, float]:
        """Say who we are, what is held, and what was not safe.  Returns what both ends keep to, in seconds."""
        held = self.keeping.held(self.supervisor.held())
        # Before the answer comes, tasks may: the master gives work as soon as it knows us.
        terms: dict[str, float] = await self._ask(link, "register", attrs.asdict(self._facts_now()), *pieces(held))
        self.retry.registered()
        _log.info(
            "registered with the master at {address} as {name}; {held} tasks are held",
            address=link.peer.address,
            name=self.facts.name,
            held=sum(len(each.tasks) for each in held),
        )
        # What the master was told of tasks at work may have gone with the old link.
        link.send_all([*self.keeping.again(), *self.supervisor.started_again()])
        self._link, self._hearing = link, Hearing(self.reactor, link, self.keeping)
        if self.keeping.said:
            self._hearing.ask_soon()
        return terms

    def _facts_now(self) -> NodeFacts:
        """The facts, with the time that is left now; clocks of machines differ, seconds do not."""
        if not self.lifetime:
            return self.facts
        return attrs.evolve(self.facts, left=max(0.001, self._end - self.reactor.seconds()))

    async def _ask(self, link: Link, verb: str, *args: object) -> Any:
        try:
            return await link.call(verb, *args).addTimeout(ANSWER, self.reactor)
        except DeferredTimeoutError:
            raise LinkLostError(f"the master has not answered {verb} within {ANSWER:.0f} s") from None

    def _beat(self, link: Link, terms: dict[str, float]) -> Beating:
        def gone() -> None:
            _log.warn("the master has been silent for {limit} s: gone", limit=terms["silence"])
            link.abort()

        return start_beating(self.reactor, link, terms["heartbeat"], terms["silence"], gone)

    def _time_is_up(self) -> None:
        """What was given to us for a time ends: what runs may finish within the drain limit."""
        self._leave("its lifetime is over")

    def reclaimed(self, reason: str, limit: float) -> None:
        """Whose machine it is takes it back: go, with so many seconds for what runs, or less if it goes already."""
        self.drain_limit = min(limit, self.drain_limit) if self._dismissed else limit
        if self._dismissed:
            _log.info("this node goes soon: {reason}", reason=reason)
            self.supervisor.drain(self.drain_limit)
        self._leave(reason)

    def _leave(self, reason: str) -> None:
        """The master sends us away, or our time is up."""
        if self._dismissed:
            return
        self._dismissed = reason
        _log.info("this node goes: {reason}", reason=reason)
        self.finished(reason)
