"""Random schedules of the engine against a real endpoint, behind a proxy that misbehaves, with masters that are killed.

What `elastic_schedule` plays in memory, in real time and over HTTP, so that the library of the cloud and our use of it
are in it, too.  Nodes are played: what the cloud has is added to a scheduler in memory, which runs jobs on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from zope.interface import implementer

from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.interfaces import ICloud, ILeasing, ILooking
from asyncluster.model.supply import Flavor, Instance, Listing, Order, Pool, Sought
from asyncluster.testing.elastic_fakes import FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World
from asyncluster.testing.faultproxy import Kind, Seeded

OPTIONS = Options(
    max_idle_time=1.0, max_down_time=60.0, max_launch_time=60.0, cluster_poller_interval=0.3, cloud_poller_interval=0.5,
    auto_provision_interval=0.5, max_snapshot_age=20.0, max_listing_age=20.0, misses=3, missing_time=5.0,
    stray_grace=4.0, cancel_after=30.0, capacity_wait=0.5, breaker_wait=1.0, longest_wait=2.0, breaker=6,
    destroy_retry=0.5, action_limit=15.0, realm="realm", lease=6.0,
)  # fmt: skip
RATES = {
    Kind.DELAY: 0.15, Kind.LOST: 0.06, Kind.STATUS: 0.06, Kind.STATUS_AFTER: 0.04, Kind.HALF: 0.04, Kind.RESET: 0.04,
    Kind.RESET_AFTER: 0.04, Kind.STALE: 0.06,
}  # fmt: skip
LIMIT = 300.0
"""Seconds within which all has to be as it should be, once nothing misbehaves any more."""


class Mortal:
    """A reactor for one master: once it is killed, nothing of it happens here any more; what it asked for does."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._calls: list[IDelayedCall] = []
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def callLater(self, delay: float, what: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:
        """See IReactorTime."""
        self._calls = [call for call in self._calls if call.active()]
        call: IDelayedCall = self._reactor.callLater(delay, self._if_alive, what, args, kwargs)
        self._calls.append(call)
        return call

    def callFromThread(self, what: Callable[..., Any], *args: Any) -> None:
        """See IReactorFromThreads."""
        self._reactor.callFromThread(self._if_alive, what, args, {})

    def _if_alive(self, what: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.dead:
            what(*args, **kwargs)

    def kill(self) -> None:
        """At once."""
        self.dead = True
        for call in self._calls:
            if call.active():
                call.cancel()


class WatchedCloud(Protocol):
    """What is asked of a cloud by ICloud, ILeasing and ILooking; zope's interfaces are no types of a field."""

    def flavor(self) -> Deferred[Flavor]: ...
    def list(self) -> Deferred[Listing]: ...
    def launch(self, order: Order) -> Deferred[Instance]: ...
    def destroy(self, instance: Instance) -> Deferred[None]: ...
    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]: ...
    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]: ...


@implementer(ICloud, ILeasing, ILooking)
@attrs.define(eq=False)
class Watched:
    """A cloud, of which it is noted what must never be asked."""

    inner: WatchedCloud
    world: World
    pool: str

    def flavor(self) -> Deferred[Flavor]:
        """See ICloud; so the others."""
        return self.inner.flavor()

    def list(self) -> Deferred[Listing]:
        """As it is."""
        return self.inner.list()

    def launch(self, order: Order) -> Deferred[Instance]:
        """As it is."""
        return self.inner.launch(order)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Not while its node runs something."""
        member = self.world.members.get(instance.name)
        if member is not None and member.jobs:
            self.world.wrongs.append(f"{instance.name} was destroyed while it ran {', '.join(member.jobs)}")
        return self.inner.destroy(instance)

    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """As it is."""
        return self.inner.renew(instances, expires)

    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """As it is."""
        return self.inner.look(sought)


class CloudSchedule:
    """One world of jobs, one cloud that is real, one master after the other."""

    def __init__(
        self,
        reactor: Any,
        seed: int,
        make: Callable[[Any], Any],
        proxy: Any,
        run: Callable[[], int],
        options: Options = OPTIONS,
        spare: Sequence[str] = (),
    ) -> None:
        """What it plays with.

        make: the cloud of pool "pool", for a reactor; proxy: before it; run: how many instances there are in truth;
        spare: words of requests that are left alone.
        """
        self._options = options
        self.random = Random(seed)  # noqa: S311 (it has to be repeatable)
        self._reactor, self._make, self._proxy, self._run = reactor, make, proxy, run
        self.faults = proxy.plan = Seeded(seed, RATES, 0.05 + (seed % 5) * 0.3, spare=spare)
        self.pool = Pool("pool", "real", Flavor(1), most=3, prefix="pool-")
        self.world = World(self.random, (self.pool,), Faults())
        self.book = MemoryBook()
        self._began = reactor.seconds()
        self.masters = 0
        self.begin()

    def begin(self) -> None:
        """Another master."""
        self.masters += 1
        self.mortal = Mortal(self._reactor)
        cloud = self._make(self.mortal)
        self.engine = Engine(
            self.mortal, FakeScheduler(self.world), [self.pool],  # type: ignore[arg-type]  # as a reactor
            {"pool": Watched(cloud, self.world, "pool")}, self.book, self._options,
            think=lambda situation: maybeDeferred(plan, situation),
        )  # fmt: skip
        self.engine.startService()

    async def play(self) -> None:
        """Work comes for a while, masters are killed; then all faults and all work end, and nothing is left."""
        until = self._reactor.seconds() + self.random.uniform(3.0, 6.0)
        while self._reactor.seconds() < until:
            if self.random.random() < 0.2:
                self.world.submit(1, self.random.choice([0.3, 1.0]))
                self.engine.wake()
            if self.random.random() < 0.05:
                self.mortal.kill()
                self.begin()
            await self._pass(0.1)
        self.faults.calm()
        self.world.works.clear()
        self.engine.restore("pool")
        end = time.monotonic() + LIMIT
        while self.engine.nodes or self._run():
            assert time.monotonic() < end, f"{self._run()} instances are left; the book has {dict(self.engine.nodes)}"
            await self._pass(0.2)
        self.mortal.kill()
        assert self.world.wrongs == []

    async def _pass(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)
        self.world.pass_to(self._reactor.seconds() - self._began)
