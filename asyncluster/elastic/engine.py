"""The loop as a service: discover (each source by itself), plan, run; and people's wishes in between.

A plan for thousands of nodes takes a tenth of a second, so it is made in a thread: its input is values that nothing
changes any more, and the interpreter gives the reactor its turn every few milliseconds.  (Slices on the reactor
would need every inner loop of the plan to be able to pause; a process would have to be sent the whole queue.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster import collecting
from asyncluster.elastic import telling
from asyncluster.elastic.actions import Action, Do, Fault, Outcome, Plan
from asyncluster.elastic.answering import Answering
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.ending import end_all
from asyncluster.elastic.keeping import Keeping
from asyncluster.elastic.misspelt import no_pool
from asyncluster.elastic.options import Options
from asyncluster.elastic.past import Past
from asyncluster.elastic.plan import plan
from asyncluster.elastic.polling import Poll
from asyncluster.elastic.records import Life, PoolRecord
from asyncluster.elastic.runner import Runner, line_of
from asyncluster.elastic.situation import Situation
from asyncluster.elastic.status import status, waiting
from asyncluster.elastic.steering import T
from asyncluster.elastic.tending import Tending
from asyncluster.elastic.turns import Turns
from asyncluster.interfaces import ICloud, IHooks, INodeBook, IReactor, IReadinessCheck, IScheduler
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Listing, Pool

_log = Logger()

NUDGE = 1.0
"""Seconds after which a source is asked again because something was done to it, or a wake is heard again."""

LAST_WORDS = 10.0
"""Seconds that a stopping engine gives its last plan, and its book to be written."""

_AT_REST = frozenset({Life.UP, Life.HELD})


class Engine(Answering):
    """Starts and stops nodes as work needs them.

    `ready` fires when the book is read, or fails with StoreError; nothing is done before.  Stopping begins nothing
    new, gives up what runs (the next start finds out what became of it) and writes the book; nodes stay as they
    are, unless `options.end_with_master` has them ended: who else wants none left drains the pools and waits for
    `settled`.
    """

    def __init__(
        self,
        reactor: IReactor,
        scheduler: IScheduler,
        pools: Sequence[Pool],
        clouds: Mapping[str, ICloud],
        book: INodeBook,
        options: Options | None = None,
        *,
        check: IReadinessCheck | None = None,
        hooks: IHooks | None = None,
        wall: Callable[[], float] = time.time,
        think: Callable[[Situation], Deferred[Plan]] | None = None,
        helpers: Sequence[IService] = (),
    ) -> None:
        """What the engine works with.

        reactor: counts time (steadily) and has the threads that plans are made in; clouds: by the name of the pool
        whose nodes they provide; check: None = ready as soon as active; hooks: runs `options.commands`; wall: the
        time of day; think: makes a plan elsewhere, None = in a thread of the reactor's; helpers: what clouds work with.
        """
        self.ready: Deferred[None] = Deferred()
        self._reactor = reactor
        self._scheduler = scheduler
        self._options = options = options or Options()
        self._book = book
        self._wall = wall
        self._think = think or self._in_thread
        self._clouds = clouds
        self._desk = Desk(options, pools, scheduler.binds_queues, uuid4().hex[:8])
        self.tending = Tending(reactor, clouds, self._desk, options, wall, helpers)
        self._runner = Runner(reactor, scheduler, clouds, options, check, hooks, self._bars)
        self._turns = Turns(reactor, options.at_once, self._begin)
        limit = options.action_limit
        self._asks = Poll[Demand](
            reactor, f"scheduler {scheduler.name}", options.cluster_poller_interval, limit, scheduler.snapshot,
            self._heard, self._unheard,
        )  # fmt: skip
        listing, often = self.tending.list, options.cloud_poller_interval
        self._lists = {
            name: Poll[Listing](
                reactor, f"cloud of {name}", often, limit, partial(listing, name), self._listed, self._tick
            )
            for name in clouds
        }
        self._past = Past(reactor)
        self._keeping = Keeping(reactor, book, self._desk, wall, self._tick)
        self._thinking: Deferred[None] | None = None
        self._provision = True  # decide about launches and releases with the next plan
        self._provide_at = 0.0
        self._again = False
        self._woken = 0.0
        self._timer: IDelayedCall | None = None
        self._unread = ""  # why the book could not be read
        self._waiting: list[Deferred[None]] = []

    def _in_thread(self, situation: Situation) -> Deferred[Plan]:
        async def think() -> Plan:
            with collecting.paused():
                return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), plan, situation)

        return Deferred.fromCoroutine(think())

    # Beginning and end

    def startService(self) -> None:
        """Read the book, then begin to discover."""
        super().startService()
        self.tending.start()
        Deferred.fromCoroutine(self._start()).addErrback(self._not_started)

    async def _start(self) -> None:
        plain = await self._book.load()
        now = self._reactor.seconds()
        for key in self._desk.load(plain, self._wall() - now, now):
            _log.error("the book's record {key} makes no sense: what it stood for is looked for in the cloud", key=key)
        if not self.running:
            return
        self.ready.callback(None)
        self._asks.start()
        for poll in self._lists.values():
            poll.start()

    def _not_started(self, failure: Any) -> None:
        self._unread = f"the book of nodes cannot be read: {failure.getErrorMessage()}"
        _log.failure(
            "the book of nodes cannot be read: no node is launched or released; nodes that are connected here stay; "
            "leases that stand in a cloud are not renewed, so a batch system's nodes end when theirs are over and they "
            "run nothing; mend the database, and start the master anew",
            failure,
        )
        if not self.ready.called:
            self.ready.errback(failure)

    def stopService(self) -> Deferred[None]:
        """See the class."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._asks.stop()
        for poll in self._lists.values():
            poll.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for action in self._turns.stop():
            self._finished(action, Outcome(Fault.NOT_BEGUN, "it was not begun: the master stops"))
        if self._thinking is not None:
            await self._thinking.addTimeout(LAST_WORDS, self._reactor)
        if self._options.end_with_master:  # an order that is on its way would be carried out after we have looked
            with suppress(TimeoutError):
                await gatherResults(list(self._turns.running), consumeErrors=True).addTimeout(LAST_WORDS, self._reactor)
        for running in list(self._turns.running):
            running.cancel()
        await gatherResults(list(self._turns.running), consumeErrors=True)
        if self._options.end_with_master and self.ready.called and not self._unread:
            self._desk.end_all("the master was stopped, and its nodes with it", self._reactor.seconds())
            await end_all(self._reactor, self._clouds, self._options.realm)
        self.tending.stop()
        self._past.stop()
        if self.ready.called and not self._unread:
            try:
                await self._keeping.save(last=True)
            except Exception:
                _log.failure("the book of nodes could not be written at the end")

    # Discover

    def renews(self, name: str) -> bool:
        """Whether the node of that name may have its lease renewed: a pool has it here, and it stays.

        Any is renewed while the book has not been read: whoever is not in it cannot be told from who is.
        """
        return bool(self._unread) or not self.ready.called or super().renews(name)

    def _heard(self, demand: Demand) -> None:
        self._past.take(self._desk.demand)
        self._desk.heard(demand)
        self._tick()

    def _unheard(self) -> None:
        """What it said last may be as new as it likes: nothing is begun or given up on the word of who is away."""
        self._desk.unheard = True
        self._tick()

    def _listed(self, listing: Listing) -> None:
        if self._desk.listed(listing):
            self._provision = True
        self.tending.listed(listing)
        self._tick()

    def wake(self) -> None:
        """New demand: ask the scheduler now and decide at once, not at the next interval.  Cheap; call it often."""
        now = self._reactor.seconds()
        self._provision = True
        self._asks.soon(max(0.0, self._woken + NUDGE - now))
        self._woken = max(self._woken, now)

    def arrived(self, name: str) -> None:
        """A node of that name has made itself known: look at once whether it is ready.  Cheap, for any name."""
        record = self._desk.nodes.get(name)
        if record is None or not self._desk.is_here(record) or not self.running or not self.ready.called:
            return
        if record.life in {Life.INTENDED, Life.LAUNCHING}:
            self._lists[record.pool].soon(0.0)  # it runs, and its cloud has not told us
        for action in self._desk.arrived(name, self._reactor.seconds()):
            self._run(action)

    def parted(self, name: str) -> None:
        """A node of that name is not heard any more: ask its cloud what has become of it.  Cheap, for any name."""
        record = self._desk.nodes.get(name)
        if record is not None and self._desk.is_here(record):
            self._lists[record.pool].soon(NUDGE)

    # Plan

    def _tick(self) -> None:
        """Plan with what is known now; once more afterwards if something came meanwhile."""
        if not self.running or not self.ready.called or self._unread:
            return
        if self._thinking is not None:
            self._again = True
            return
        self._thinking = Deferred.fromCoroutine(self._plan())
        self._thinking.addErrback(self._not_planned)
        self._thinking.addBoth(self._planned)

    def _not_planned(self, failure: Failure) -> None:
        if not failure.check(CancelledError):  # the master stops
            _log.failure("a plan went wrong; the next is made soon", failure)

    def _planned(self, _: object) -> None:
        self._thinking = None
        if self._again:
            self._again = False
            self._tick()

    async def _plan(self) -> None:
        now = self._reactor.seconds()
        provision = self._provision or now >= self._provide_at
        situation = self._desk.situation(now, provision)
        if provision and not situation.silence:
            self._provision = False
            self._provide_at = now + self._options.auto_provision_interval
        made = await self._think(situation)
        if not self.running:
            return
        told = set(self._desk.reports)
        actions = self._desk.merge(situation, made)
        telling.given_up(situation.nodes, made.nodes, self._desk.nodes)
        if situation.demand is not self._desk.demand:
            self._past.take(situation.demand)
        del situation  # with all that it holds
        for report in self._desk.reports:
            if report not in told:
                _log.warn("found: {report}", report=report)
        kept = await self._keeping.try_save()
        for action in actions:
            if action.do is Do.LAUNCH and not kept:
                outcome = Outcome(Fault.NOT_BEGUN, "the book could not be written")
                self._desk.finished(action, outcome, self._reactor.seconds())
            elif self.running:
                self._run(action)
        self._tell_settled()

    # Run

    def _run(self, action: Action) -> None:
        self._turns.put(line_of(action), action)

    def _begin(self, action: Action) -> Deferred[None]:
        record = self._desk.nodes.get(action.node)
        if record is None:
            return succeed(None)
        telling.begins(action, record)
        known, pool = self._desk.pools.get(action.pool, PoolRecord(action.pool)), self._desk.configured_as(action.pool)
        done = Deferred.fromCoroutine(self._runner.perform(action, record, pool, known))
        over = done.addCallback(partial(self._finished, action))
        return over.addErrback(lambda failure: _log.failure("an outcome could not be taken", failure))

    def _bars(self, action: Action) -> str:
        """Why what waited for its turn is not begun any more; '' = it is."""
        return self._desk.bars(action, self._reactor.seconds()) if self.running else "the master stops"

    def _finished(self, action: Action, outcome: Outcome) -> None:
        telling.ended(action, self._desk.nodes.get(action.node), outcome)
        follow = self._desk.finished(action, outcome, self._reactor.seconds())
        if self.running:
            for next_action in follow:
                self._run(next_action)
            self._nudge(action, outcome)
        self._tell_settled()

    def _nudge(self, action: Action, outcome: Outcome) -> None:
        """Look soon at what was just done, and keep it."""
        if action.do in {Do.HOLD, Do.VACATE, Do.POST_ADD, Do.ENABLE}:
            self._asks.soon(NUDGE)
        elif action.do in {Do.LAUNCH, Do.DESTROY}:
            self._lists[action.pool].soon(NUDGE)
        if outcome.fault in {Fault.CAPACITY, Fault.QUOTA}:
            self._provision = True  # another pool may have room
        if self._timer is None or not self._timer.active():
            self._timer = self._reactor.callLater(NUDGE, self._tick)

    # Faces

    def status(self) -> dict[str, Any]:
        """Basic types, at once: the engine, its sources with their ages, pools and nodes, each with its reason."""
        return self.look()()

    def look(self) -> Callable[[], dict[str, Any]]:
        """What `status` says of this moment; it is made when called, in any thread."""
        faults = {"scheduler": self._asks.shown, **{name: poll.shown for name, poll in self._lists.items()}}
        return partial(
            status, self._desk.copied(), self._reactor.seconds(), self._unread or self._keeping.fault, faults
        )

    def look_at_jobs(self) -> Callable[[], dict[str, Any]]:
        """The first jobs that wait, with the reasons last decided, and how many wait; likewise."""
        return partial(waiting, self._desk.demand, self._desk.reasons.jobs, self._options.shown)

    def preview(self) -> Deferred[Plan]:
        """What the next tick would do with what is known now, and why; does nothing."""
        return self._think(self._desk.situation(self._reactor.seconds()))

    def silent(self) -> dict[str, str]:
        """Why the clouds of pools did not answer when last asked, or do not now, by the pool's name."""
        return {name: poll.shown for name, poll in self._lists.items() if poll.shown}

    def cloud(self, pool: str) -> ICloud:
        """What provides the nodes of a pool.  RefusedError: there is no such pool."""
        if pool not in self._clouds:
            raise no_pool(pool, self._clouds)
        return self._clouds[pool]

    @property
    def means(self) -> tuple[IReactor, Options]:
        """What it counts time by, and what it was told."""
        return self._reactor, self._options

    def settled(self) -> Deferred[None]:
        """Fires when no node is on its way to anything: all are up or held, or gone."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._tell_settled()
        return waiting

    def _tell_settled(self) -> None:
        if self._waiting and all(record.life in _AT_REST and not record.doing for record in self._desk.nodes.values()):
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def keep_verifier(self, name: str, verifier: str, *, enlisted: bool) -> Deferred[None]:
        """With what a node may register; durable when the Deferred fires.  RefusedError: there is no such node."""
        self._desk.keep_verifier(name, verifier, enlisted)
        return Deferred.fromCoroutine(self._keeping.save())

    def _now(self) -> float:
        return self._reactor.seconds()

    def _steered(self, change: Callable[[], T]) -> Deferred[T]:
        async def steer() -> T:
            changed = change()
            await self._keeping.save()
            self._provision = True
            self._tick()
            return changed

        return Deferred.fromCoroutine(steer())
