"""Random schedules of the whole engine, on a clock, against a cloud in memory that answers late, wrongly or never.

Where `elastic_history` plays the core, this plays the service: requests take effect some seconds after they are made
and are answered some seconds after that, by which time the master may have given up waiting, or been killed; what it
asked for happens all the same.  A schedule that fails names its seed: `play(seed)` shows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from random import seed as global_seed
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.elastic.orphans import GRACE, Seen, orphans
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life
from asyncluster.interfaces import IAccount, ICloud, ILeasing, ILooking, INodeBook
from asyncluster.model.supply import Flavor, Instance, Listing, Order, Pool, Sought
from asyncluster.testing.elastic_fakes import FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World

T = TypeVar("T")

OPTIONS = Options(
    max_idle_time=60.0, max_down_time=120.0, max_launch_time=200.0, cluster_poller_interval=10.0,
    cloud_poller_interval=20.0, auto_provision_interval=20.0, max_snapshot_age=60.0, max_listing_age=90.0, misses=3,
    missing_time=60.0, stray_grace=120.0, cancel_after=90.0, capacity_wait=30.0, breaker_wait=60.0, longest_wait=120.0,
    breaker=4, destroy_retry=30.0, action_limit=25.0, realm="r", lease=240.0,
)  # fmt: skip

STEP = 5.0
DAY = 1e9
"""The time of day when the world begins."""

SKEW = 120.0
"""Seconds by which a clock is before or behind at most: any two differ by four minutes, and five are allowed."""


@implementer(ICloud, ILeasing, ILooking, IAccount)
@attrs.define(eq=False)
class PlayedCloud:
    """One pool of a world.  later: has an order carried out, and answers; owner: whose tags it writes, "" = ours."""

    world: World
    pool: str
    later: Callable[[Callable[[], Any]], Deferred[Any]] = maybeDeferred
    owner: str = ""

    def flavor(self) -> Deferred[Flavor]:
        """See ICloud; so the others."""
        return self.later(lambda: self.world.pools[self.pool].flavor)

    def list(self) -> Deferred[Listing]:
        """Late, with gaps, old, or half, which is no answer."""
        return self.later(lambda: self._shown(self.world.list(self.pool)))

    def launch(self, order: Order) -> Deferred[Instance]:
        """Once for one token, unless the cloud makes two."""
        return self.later(lambda: self._one(self.world.launch(order, self.owner)))

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Notes what must not be in `World.wrongs`."""
        return self.later(lambda: self.world.destroy(instance))

    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """See ILeasing."""
        return self.later(lambda: self.world.renew(instances, expires - DAY))

    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """Late, or not at all."""
        return self.later(lambda: [*map(self._one, self.world.look(self.pool, sought))])

    def everything(self) -> Deferred[Listing]:
        """See IAccount."""
        return self.list()

    def _shown(self, listing: Listing) -> Listing:
        return attrs.evolve(listing, instances=tuple(map(self._one, listing.instances)))

    def _one(self, instance: Instance) -> Instance:
        """With the time of day."""
        return attrs.evolve(
            instance,
            born=instance.born + DAY,
            expires=instance.expires + DAY if instance.expires else 0.0,
            owner=instance.owner or ("r" if instance.ours else ""),
        )


@attrs.define(eq=False)
class Alive:
    """Whether a master lives: what is answered to a dead one is heard by nobody."""

    dead: bool = False


class Schedule:
    """One world, one master after the other, each with a clock of its own that stops when it is killed."""

    def __init__(self, seed: int) -> None:
        random = self.random = Random(seed)  # noqa: S311 (it has to be repeatable)
        global_seed(seed)  # of the jitter between two questions
        few = random.random
        self.faults = Faults(
            capacity=0.2 * few(), quota=0.02 * few(), refused=0.15 * few(), lost_reply=0.2 * few(),
            no_answer=0.2 * few(), duplicate=0.1 * few(), stillborn=0.15 * few(), death=0.003 * few(), lie=0.3 * few(),
            gap=0.1 * few(), silence=0.2 * few(), lag=20.0 * few(), stuck=0.1 * few(), refused_after=0.1 * few(),
            stale=0.1 * few(),
        )  # fmt: skip
        self.pool = Pool("p", "played", Flavor(random.choice([1, 2])), least=random.choice([0, 0, 1]), most=3)
        self.world = World(random, (self.pool,), self.faults, boot=30.0)
        self.world.tagged = OPTIONS.lease if few() < 0.5 else 0.0
        self.world.tells = few() < 0.5
        self.world.stays_off = self.world.tagged > 0.0 and few() < 0.5
        self.world.skew = random.uniform(-SKEW, SKEW)
        self.slow = few() * 0.3  # chance that an answer takes longer than is waited for it
        self.kills = few() * 0.02  # at each call
        self.events = Clock()
        self.book = MemoryBook()
        self.calm = False
        self.begin()

    def begin(self) -> None:
        """Another master."""
        self.life = Alive()
        self.clock = Clock()
        ahead = self.world.ahead = self.random.uniform(-SKEW, SKEW)
        self.clock.rightNow = self.events.seconds()
        self.engine = Engine(
            self.clock, _Mortal(FakeScheduler(self.world), self), [self.pool],  # type: ignore[arg-type]  # as a proxy
            {"p": PlayedCloud(self.world, "p", self.later)}, _MortalBook(self.book, self), OPTIONS,
            wall=lambda: self.clock.seconds() + DAY + ahead, think=lambda situation: maybeDeferred(plan, situation),
        )  # fmt: skip
        self.engine.startService()

    def later(self, what: Callable[[], T]) -> Deferred[T]:
        """A request on its way, and its answer on its way back."""
        told: Deferred[T] = Deferred()
        life, random = self.life, self.random
        if life.dead:
            return told
        before, after = (0.0, 0.0) if self.calm else (random.random() * 4.0, random.random() * 4.0)
        if not self.calm and random.random() < self.slow:
            after += 2 * OPTIONS.action_limit

        def act() -> None:
            try:
                answer: Any = what()
            except Exception:
                answer = Failure()
            self.events.callLater(after, tell, answer)

        def tell(answer: Any) -> None:
            if not life.dead:
                told.callback(answer)

        self.events.callLater(before, act)
        self.maybe_killed()
        return told

    def maybe_killed(self) -> None:
        """At any step: what it has asked for happens, and it hears of nothing any more."""
        if not self.calm and self.random.random() < self.kills:
            self.life.dead = True

    def pass_time(self, seconds: float) -> None:
        """Both clocks; a killed master is followed by another one, now or after a while."""
        for _ in range(round(seconds / STEP)):
            self.events.advance(STEP)
            if not self.life.dead:
                self.clock.advance(STEP)
            lives = not self.life.dead
            self.world.pass_to(self.events.seconds(), self.engine.renews if lives else lambda name: False)
            if not lives:
                if self.random.random() < 0.2:
                    self.world.pass_to(self.events.seconds())
                    self.events.advance(self.random.random() * 2 * OPTIONS.lease)
                self.begin()

    def stop(self) -> None:
        """In order: what runs is given up, and the book is written."""
        self.engine.stopService()
        self.pass_time(STEP)
        self.life.dead = True

    def live(self, steps: int) -> None:
        """Work comes and goes."""
        for _ in range(steps):
            if self.random.random() < 0.1:
                self.world.submit(self.random.choice([1, 1, 2]), self.random.choice([20.0, 100.0, 300.0]))
                self.engine.wake()
            if self.random.random() < 0.01:
                self.stop()
            self.pass_time(STEP)

    def end(self) -> None:
        """Faults end, work ends: what is left is the least."""
        self.calm = True
        self.world.faults = Faults()
        self.world.works.clear()
        self.pass_time(STEP)
        self.engine.restore("p")
        for _ in range(300):
            self.pass_time(4 * STEP)
            if self.at_least():
                self.pass_time(3 * OPTIONS.cloud_poller_interval)  # a lease that had run out meanwhile is renewed
                assert not self._orphans(SKEW), "what a master looks after is no orphan to another whose clock is ahead"
                return
        raise AssertionError(f"not at least: {self.engine.status()}, {self.living()}")

    def living(self) -> list[str]:
        """What really runs."""
        return [machine.id for machine in self.world.living("p")]

    def at_least(self) -> bool:
        """As many as are always to be there, and no more, in the cloud and in the book."""
        records = list(self.engine.nodes.values())
        up = all(record.life is Life.UP for record in records)
        return up and len(self.world.remaining("p")) == len(records) == self.pool.least

    def abandon(self) -> None:
        """No master comes back, and all leases are over: nothing is left, but what anybody can tell by its tag."""
        self.life.dead = True
        self.world.works.clear()
        for _ in range(2):  # jobs end first
            self.world.pass_to(self.world.now + 1800.0 + GRACE + 1.0)
        assert all(machine.stuck for machine in self.world.living("p")), "what runs ends itself when its lease is over"
        left = {machine.id for machine in self.world.remaining("p") if machine.expires}
        assert self._orphans(-SKEW) >= left, "anybody can tell what is over its lease"

    def _orphans(self, ahead: float) -> set[str]:
        """What another master may end, by a clock that is so far ahead."""
        found: Any = PlayedCloud(self.world, "p").everything().result
        seen = Seen({}, lambda _, instance: False, "another master", self.world.now + DAY + ahead)
        return {each.id for each in orphans(seen, "p", found.instances) if each.may}


class _Mortal:
    """A scheduler that a dead master hears nothing of."""

    def __init__(self, inner: FakeScheduler, schedule: Schedule) -> None:
        self._inner, self._schedule, self._life = inner, schedule, schedule.life
        self.name, self.binds_queues = inner.name, inner.binds_queues

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        what = getattr(self._inner, name)

        def ask(*args: Any) -> Deferred[Any]:
            self._schedule.maybe_killed()
            never: Deferred[Any] = Deferred()
            return never if self._life.dead else what(*args)

        return ask


@implementer(INodeBook)
class _MortalBook:
    """A book that a dead master does not write."""

    def __init__(self, inner: MemoryBook, schedule: Schedule) -> None:
        self._inner, self._schedule, self._life = inner, schedule, schedule.life

    def save(self, records: Mapping[str, dict[str, Any] | None]) -> Deferred[None]:
        """Killed before it is written, or after."""
        self._schedule.maybe_killed()
        if self._life.dead:
            return Deferred()
        saved = self._inner.save(records)
        self._schedule.maybe_killed()
        return Deferred() if self._life.dead else saved

    def load(self) -> Deferred[dict[str, dict[str, Any]]]:
        """All of it."""
        return self._inner.load()


def play(seed: int) -> Schedule:
    """One schedule, all of it."""
    schedule = Schedule(seed)
    schedule.live(schedule.random.randint(20, 60))
    schedule.end()
    schedule.abandon()
    assert schedule.world.wrongs == []
    return schedule


def play_all(seeds: Iterable[int]) -> None:
    """Each of these; AssertionError that names the first that fails."""
    for seed in seeds:
        try:
            play(seed)
        except Exception as error:
            raise AssertionError(f"schedule {seed}: {error}") from error


@attrs.define(eq=False)
class PlayedGround:
    """Where `cloud_contract` is proven on such a cloud, whose time runs faster than ours."""

    folder: Any
    most: int = 3
    looks: bool = True
    world: World = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clear()

    def __enter__(self) -> PlayedGround:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def cloud(self, reactor: IReactorTime, pool: str, realm: str) -> PlayedCloud:
        """See CloudGround."""
        world, since = self.world, reactor.seconds()

        def later(what: Callable[[], Any]) -> Deferred[Any]:
            world.pass_to(max(world.now, (reactor.seconds() - since) * 100.0), lambda name: True)
            return maybeDeferred(what)

        return PlayedCloud(world, pool, later, realm)

    def clear(self) -> None:
        """Another world."""
        pool = Pool("pool", "played", Flavor(1), most=self.most)
        self.world = World(Random(1), (pool,), Faults(), room=self.most)  # noqa: S311 (nothing is drawn)
