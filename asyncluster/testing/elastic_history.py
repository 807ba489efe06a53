"""Random histories of the engine's core in a world that goes wrong in every way, with masters killed at every step.

A history that fails names its seed: `play(seed)` shows it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from random import Random
from typing import Any

import attrs

from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.orphans import GRACE, Seen, orphans
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import STARTING, STAYING, Life, NodeRecord, Steer, Why
from asyncluster.elastic.tending import due_for_renewal
from asyncluster.errors import CapacityError, NoAnswerError, QuotaError, RefusedError, StoreError
from asyncluster.model.batch import BatchState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Order, Pool
from asyncluster.testing.elastic_fakes import MemoryBook
from asyncluster.testing.elastic_lessons import WORD, Lessons
from asyncluster.testing.elastic_steps import Steps
from asyncluster.testing.elastic_things import Machine
from asyncluster.testing.elastic_world import Faults, World

OPTIONS = Options(
    max_idle_time=90.0, max_down_time=120.0, max_launch_time=400.0, max_snapshot_age=70.0, misses=2, missing_time=60.0,
    stray_grace=120.0, cancel_after=90.0, capacity_wait=40.0, breaker_wait=120.0, longest_wait=240.0, breaker=4,
    destroy_retry=40.0, realm="r", lease=240.0,
)  # fmt: skip
BOOT = 45.0
TICK = 30.0
WAITING = {BatchState.QUEUED, BatchState.HELD, BatchState.BLOCKED}


ALIVE = frozenset({InstanceState.PENDING, InstanceState.STARTING, InstanceState.ACTIVE})


class KilledError(Exception):
    """The master is gone at this very point."""


class StoppedError(Exception):
    """The master was stopped, and has written its book."""


class History:
    """One world, one master after the other."""

    def __init__(self, seed: int) -> None:
        random = self.random = Random(seed)  # noqa: S311 (it has to be repeatable)
        few = random.random
        self.faults = Faults(
            capacity=0.2 * few(), quota=0.02 * few(), refused=0.15 * few(), lost_reply=0.2 * few(),
            no_answer=0.2 * few(), duplicate=0.1 * few(), stillborn=0.15 * few(), death=0.01 * few(), lie=0.4 * few(),
            gap=0.1 * few(), silence=0.2 * few(), lag=40.0 * few(), unsaved=0.1 * few(), stuck=0.1 * few(),
            refused_after=0.1 * few(), stale=0.1 * few(),
        )  # fmt: skip
        if random.random() < 0.2:
            self.faults = Faults()
        self.pools = tuple(
            Pool(f"p{i}", "fake", Flavor(random.choice([1, 2, 4])), least=random.choice([0, 0, 1]),
                 most=random.randint(1, 4), priority=random.randint(0, 1), spawn_rate=random.choice([2.0, 60.0]),
                 backlog=random.choice([0, 0, 2]), bears=random.choice([(), (WORD,)]))
            for i in range(random.randint(1, 2))
        )  # fmt: skip
        self.steps = Steps(random)
        self.options = self.steps.told(OPTIONS)
        self.pools = tuple(map(self.steps.kept, self.pools))
        self.world = World(random, self.pools, self.faults, BOOT)
        self.world.tagged = OPTIONS.lease if random.random() < 0.5 else 0.0
        self.world.tells = random.random() < 0.5
        self.world.stays_off = self.world.tagged > 0.0 and random.random() < 0.5
        self.book = MemoryBook()
        self.kills = random.random() * 0.03
        self.stops = random.random() * 0.1
        self.outages = random.random() * 0.2
        self.master = 0
        self.calm = False
        self.lessons = Lessons(random)
        self._strangers()
        self.desk = self._desk()

    def _strangers(self) -> None:
        """What is in the cloud and none of our business: one without a tag, one of another realm."""
        for number, (ours, owner) in enumerate([(False, ""), (True, "other")]):
            machine = Machine(f"x{number}", f"p0-{number}", "p0", "", 0.0, 0.0, 9e9, f"x{number}", False, ours=ours)
            machine.owner = owner
            self.world.machines[machine.id] = machine

    def _desk(self) -> Desk:
        self.master += 1
        self.lessons.known.clear()  # what it was told and did not keep is shown to it again
        desk = Desk(self.options, self.pools, salt=str(self.master))
        assert desk.load(self.book.kept, 1000.0, self.world.now) == []
        return desk

    def maybe_killed(self) -> None:
        if not self.calm and self.random.random() < self.kills:
            raise KilledError

    # One tick, as the engine does it

    def tick(self, now: float) -> None:
        self.world.pass_to(now, self.desk.renews)
        try:
            self._discover()
            self._plan()
        except (KilledError, StoppedError):
            if self.random.random() < 0.3:  # and nobody is there for a while
                self.world.pass_to(now + 600.0)
            self.desk = self._desk()

    def _discover(self) -> None:
        with suppress(NoAnswerError):
            self.desk.heard(self.world.snapshot())
        for pool in self.pools:
            with suppress(NoAnswerError):
                listing = self.world.list(pool.name)
                self.desk.listed(listing)
                due = due_for_renewal(listing, self.desk, OPTIONS.lease, self.world.now)
                self.world.renew(due, self.world.now + OPTIONS.lease)

    def _plan(self) -> None:
        now = self.world.now
        situation = self.desk.situation(now, provision=self.random.random() < 0.8)
        made = plan(situation)
        self.check(situation, made)
        actions = self.desk.merge(situation, made)
        self.maybe_killed()
        kept = self._save()
        self.maybe_killed()
        self._run_all(actions, kept, now)
        self._save()

    def _run_all(self, actions: list[Action], kept: bool, now: float) -> None:
        """Some at a time, as the runner does it; an outage refuses every launch of this tick."""
        failures = {name: record.failures for name, record in self.desk.pools.items()}
        usual, outage = self.faults, not self.calm and self.random.random() < self.outages
        self.world.faults = attrs.evolve(usual, refused=1.0, capacity=0.0, quota=0.0) if outage else usual
        stop = not self.calm and self.random.random() < self.stops
        try:
            self._in_turns(actions, kept, now, stop)
        finally:
            self.world.faults = usual
        for name, record in self.desk.pools.items():
            assert record.failures <= failures[name] + 1, "what was begun together fails once"

    def _in_turns(self, actions: list[Action], kept: bool, now: float, stop: bool) -> None:
        while actions:
            turn = [actions.pop(0) for _ in range(min(len(actions), self.random.randint(1, 3)))]
            if stop and self.random.random() < 0.3:
                self._stop(turn, actions, kept, now)
            outcomes = [self._begin(action, kept, now) for action in turn]
            for action, outcome in zip(turn, outcomes, strict=True):
                actions += self.desk.finished(action, outcome, now)

    def _begin(self, action: Action, kept: bool, now: float) -> Outcome:
        if (action.do is Do.LAUNCH and not kept) or self.desk.bars(action, now):
            return Outcome(Fault.NOT_BEGUN)
        outcome = self._perform(action)
        self.maybe_killed()
        return outcome

    def _stop(self, turn: list[Action], others: list[Action], kept: bool, now: float) -> None:
        """The master is stopped: what runs is given up, done or not; what waits is not begun."""
        pools = dict(self.desk.pools)
        if not kept:
            turn, others = [], [*turn, *others]
        for action in turn:
            if self.random.random() < 0.5:
                self._perform(action)
            self.desk.finished(action, Outcome(Fault.GIVEN_UP, "the master stops"), now)
        for action in others:
            self.desk.finished(action, Outcome(Fault.NOT_BEGUN, "the master stops"), now)
            assert action.do is not Do.LAUNCH or action.node not in self.desk.nodes, "what was not begun is not kept"
        for name, record in self.desk.pools.items():
            assert (record.failures, record.retry_at) == (pools[name].failures, pools[name].retry_at), "no failure"
        self._save()
        raise StoppedError

    def _save(self) -> bool:
        changed = self.desk.unsaved(1000.0)
        broken = not self.calm and self.random.random() < self.faults.unsaved
        self.book.broken = OSError("disk full") if broken else None
        try:
            self.book.put(changed)
        except StoreError:
            self.desk.not_saved(changed)
            return False
        return True

    def _perform(self, action: Action) -> Outcome:
        try:
            return self._do(action) or Outcome()
        except CapacityError as error:
            return Outcome(Fault.CAPACITY, str(error))
        except QuotaError as error:
            return Outcome(Fault.QUOTA, str(error))
        except NoAnswerError as error:
            return Outcome(Fault.UNSURE, str(error))
        except RefusedError:
            raise
        except Exception as error:
            return Outcome(Fault.REFUSED, str(error))

    def _do(self, action: Action) -> Outcome | None:
        world, record = self.world, self.desk.nodes[action.node]
        assert action.cause
        if action.do is Do.LAUNCH:
            key = f"node/{record.name}"
            assert self.book.kept[key]["token"] == record.token, "the intent is in the book before the call"
            pool = world.pools[record.pool]
            return Outcome(instance=world.launch(Order(record.name, record.token, record.pool, 1800.0, pool.lifetime)))
        if action.do is Do.DESTROY:
            assert record.instance
            world.destroy(Instance(record.instance, record.name, InstanceState.UNKNOWN))
        elif action.do is Do.CHECK:
            if not self.calm and self.random.random() < 0.02:
                return Outcome(Fault.NEVER, "its licence is void")
            return Outcome(missing="salt" if not self.calm and self.random.random() < 0.2 else "")
        elif action.do is Do.ADD:
            world.order(lambda: world.add(record.name, record.address, 4))
            self.lessons.furnish(world.members[record.name], next(p for p in self.pools if p.name == record.pool))
        elif action.do in {Do.ENABLE, Do.UNHOLD}:
            world.order(lambda: world.hold(record.name, False))
        elif action.do is Do.HOLD:
            world.order(lambda: world.hold(record.name, True))
        elif action.do is Do.VACATE:
            world.order(lambda: world.vacate(record.name))
        elif action.do is Do.REMOVE:
            world.order(lambda: world.remove(record.name))
        else:
            return self.steps.run(action.do, record, world, self.calm)
        return None

    # What must hold of each plan

    def check(self, situation: Any, made: Any) -> None:
        now = situation.now
        before = situation.nodes
        for name, record in made.nodes.items():
            old: NodeRecord | None = before.get(name)
            if record is not None and old is not None and old.life in STAYING and record.life not in STAYING:
                assert record.cause, "every stop has a reason"
                if record.why is Why.SURPLUS:
                    assert now - old.ordered >= BOOT, "no launch is undone within one boot time"
            if situation.silence and record is not None:
                assert old is not None or record.life is Life.STRAY, "nothing is launched while nobody answers"
        for action in made.actions:
            assert action.cause, "every action has a reason"
            assert action.pool in {pool.name for pool in self.pools}
        kept = {name for name in before if made.nodes.get(name, before[name]) is not None}
        assert set(made.reasons.nodes) == kept | {name for name, record in made.nodes.items() if record is not None}
        assert set(made.reasons.pools) == {pool.name for pool in self.pools}
        if situation.provision and situation.demand is not None:
            waiting = {job.id for job in situation.demand.jobs if job.state in WAITING}
            assert set(made.reasons.jobs) == waiting, "every waiting job has one reason"
        reasons = [*made.reasons.nodes.values(), *made.reasons.pools.values(), *made.reasons.jobs.values()]
        assert all(reason.rule and reason.text for reason in reasons)
        self.lessons.check(situation, made)
        self._check_single(situation, made)
        for pool in self.pools:
            mine = [r for r in {**before, **made.nodes}.values() if r is not None and r.pool == pool.name]
            launched = [a for a in made.actions if a.do is Do.LAUNCH and a.pool == pool.name]
            if launched:
                assert len(mine) <= pool.most, "never above max, by the book"

    def _check_single(self, situation: Any, made: Any) -> None:
        """Of what was made twice for one order the book has one at most, and the other one waits only to be ended."""
        if situation.silence:
            return
        after = {**situation.nodes, **made.nodes}
        staying = {r.instance for r in after.values() if r is not None and r.life in STAYING}
        for pool in self.pools:
            listing = situation.listing(pool.name)
            alive = [i for i in listing.instances if i.state in ALIVE and i.ours and not i.owner] if listing else []
            for token in {i.token for i in alive}:
                stay = [i.id for i in alive if i.token == token and i.id in staying]
                assert len(stay) <= 1, f"two for one order: {stay}"

    # The story

    def people(self) -> None:
        """Somebody steers, now and then."""
        random, pool = self.random, self.random.choice(self.pools).name
        choice = random.randrange(9)
        nodes = list(self.desk.nodes)
        try:
            if choice == 0:
                self.desk.freeze(pool, "ann")
            elif choice == 1:
                self.desk.drain(pool, "ann")
            elif choice == 2:
                self.desk.restore(pool)
                self.lessons.forget(pool)
            elif choice == 3:
                self.desk.request(pool, 1, "ann", self.world.now)
            elif choice == 4:
                self.desk.set_modes(sleep=random.random() < 0.5)
            elif choice == 5:
                self.desk.set_modes(auto=random.random() < 0.7)
            elif nodes:
                self.desk.steer(random.choice(nodes), random.choice(list(Steer)), "ann")
        except RefusedError:
            pass

    def live(self, ticks: int) -> None:
        now = self.world.now
        for _ in range(ticks):
            if self.random.random() < 0.35:
                self.world.submit(self.random.choice([1, 1, 2, 4, 8]), self.random.choice([20.0, 100.0, 300.0]))
            self.lessons.submit(self.world)
            self.steps.submit(self.world)
            if self.random.random() < 0.05:
                self.people()
            now = max(now, self.world.now) + TICK
            self.tick(now)

    def end(self) -> None:
        """Work ends, faults end, everybody lets go: what is left?"""
        self.calm = True
        self.world.faults = Faults()
        self.faults = self.world.faults
        self.desk.set_modes(auto=True, sleep=False, passive=False)
        for pool in self.pools:
            self.desk.restore(pool.name)
        self.lessons.known.clear()
        for name, record in list(self.desk.nodes.items()):
            if record.steer in {Steer.HOLD, Steer.VACATE} and record.life not in STARTING:
                with suppress(RefusedError):
                    self.desk.steer(name, Steer.DELETE, "ann")
        self.world.works.clear()
        for turn in range(60):
            for name, record in list(self.desk.nodes.items()):
                if record.steer in {Steer.HOLD, Steer.VACATE}:
                    self.desk.steer(name, Steer.DELETE, "ann")
            self.tick(self.world.now + TICK * (2 if turn < 40 else 6))
            if turn > 2 and self.at_least():
                return
        raise AssertionError(f"not at least: {self.state()}")

    def at_least(self) -> bool:
        for pool in self.pools:
            living = self.world.remaining(pool.name)
            up = [r for r in self.desk.nodes.values() if r.pool == pool.name]
            if len(living) != pool.least or len(up) != pool.least or any(r.life is not Life.UP for r in up):
                return False
        return True

    def abandon(self) -> None:
        """No master comes back, and all leases are over: nothing is left, but what anybody can tell by its tag."""
        self.world.works.clear()
        for _ in range(2):  # jobs end first
            self.world.pass_to(self.world.now + 1800.0 + GRACE + 1.0)
        for pool in self.pools:
            left = self.world.remaining(pool.name)
            assert all(machine.stuck or machine.off for machine in left), "what runs ends itself when its lease is over"
            told = [attrs.evolve(one, owner=one.owner or "r") for one in self.world.list(pool.name).instances]
            seen = Seen({}, lambda _, instance: False, "another master", self.world.now)
            may = {each.id for each in orphans(seen, pool.name, told) if each.may}
            assert may >= {machine.id for machine in left if machine.expires}, "anybody can tell what is over its lease"

    def state(self) -> str:
        rows = [f"{r.name} {r.life.value} {r.cause} {r.fault} {r.doing}" for r in self.desk.nodes.values()]
        alive = [f"{m.id} {m.name}" for m in self.world.machines.values() if m.ended is None]
        return "; ".join([*rows, *alive, *(f"{k}: {r.text}" for k, r in self.desk.reasons.pools.items())])


def play(seed: int) -> History:
    """One history, all of it."""
    history = History(seed)
    history.live(history.random.randint(4, 10))
    history.end()
    history.abandon()
    assert history.world.wrongs == []
    return history


def play_all(seeds: Iterable[int]) -> None:
    """Each of these; AssertionError that names the first that fails."""
    for seed in seeds:
        try:
            play(seed)
        except Exception as error:
            raise AssertionError(f"history {seed}: {error}") from error
