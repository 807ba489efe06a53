"""The suite for one cloud: what an implementation of `ICloud` must do, proven on the real thing or on a fake.

class TestMine(cloud_contract(MyGround)): ...
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from twisted.internet import reactor, task
from twisted.trial.unittest import TestCase

from asyncluster.errors import CapacityError, NoAnswerError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Instance, InstanceState, Order

LONG = 60.0
"""Seconds after which what is waited for has not come."""

LIVE = frozenset({InstanceState.PENDING, InstanceState.STARTING, InstanceState.ACTIVE, InstanceState.READY})
OVER = frozenset({InstanceState.GONE, InstanceState.ERROR})


class CloudGround(Protocol):
    """A cloud without an instance, for a pool named `pool`, and what may befall it."""

    pool: str
    realm: str
    room: int
    """Instances that there can be, 2 or more; 0 = nobody knows."""
    can_stop: bool
    """Whether there is a time when it cannot be asked."""

    def cloud(self, reactor: Any) -> Any:
        """A new ICloud, as a master that follows a killed one would make it."""

    def die(self, instance: Instance) -> None:
        """It is gone, and nobody asked it to go."""

    def stop(self) -> None:
        """The cloud cannot be asked; what it has goes on."""

    def start(self) -> None:
        """It can again."""

    def clear(self) -> None:
        """No instances."""


def cloud_contract(make: Callable[[Path], AbstractContextManager[CloudGround]], missing: str = "") -> type[TestCase]:
    """The suite for one cloud.  make: a ground in that folder; missing: why it cannot run here, "" = it can."""

    class CloudContract(_CloudContract):
        ground_of = staticmethod(make)
        skip = missing or None

    return CloudContract


class _CloudContract(TestCase):
    ground_of: Callable[[Path], AbstractContextManager[CloudGround]]
    timeout = 600.0

    def setUp(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="asyncluster-contract-"))
        self._context = self.ground_of(self._folder)
        self.ground = self._context.__enter__()
        self.cloud: ICloud = self.ground.cloud(reactor)

    def tearDown(self) -> None:
        try:
            self.ground.start()
            self.ground.clear()
        finally:
            self._context.__exit__(None, None, None)
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- what the tests are written with

    def order(self, number: int) -> Order:
        """One node."""
        return Order(f"{self.ground.pool}-{number}", f"token-{number}", self.ground.pool, 600.0)

    async def found(self, cloud: ICloud, name: str) -> Instance | None:
        """The instance of that name, if it is listed and not over."""
        listing = await cloud.list()
        assert listing.pool == self.ground.pool
        same = [one for one in listing.instances if one.name == name and one.state not in OVER]
        assert len(same) < 2, f"listed twice: {same}"
        return same[0] if same else None

    async def until(self, condition: Callable[[Instance | None], object], name: str, what: str) -> Instance | None:
        """Ask until that instance is so."""
        end = time.monotonic() + LONG
        while True:
            seen = await self.found(self.cloud, name)
            if condition(seen):
                return seen
            assert time.monotonic() < end, f"it did not come to this: {what}; last seen: {seen}"
            await task.deferLater(reactor, 0.2)

    # -- the tests

    async def test_an_instance_comes_and_goes(self) -> None:
        """It bears its name and our tag, is listed from the first, runs, and is gone after it was destroyed, twice."""
        assert (await self.cloud.list()).instances == ()
        assert (await self.cloud.flavor()).cores >= 0
        made = await self.cloud.launch(self.order(1))
        assert (made.name, made.ours, made.owner) == ("pool-1", True, self.ground.realm)
        assert made.id
        assert made.state in LIVE
        seen = await self.until(lambda one: one and one.state is InstanceState.ACTIVE, "pool-1", "it is active")
        assert seen is not None
        assert (seen.id, seen.ours, seen.owner) == (made.id, True, self.ground.realm)
        await self.cloud.destroy(seen)
        assert (await self.found(self.cloud, "pool-1")) is None or seen.state is not InstanceState.PENDING
        await self.until(lambda one: one is None, "pool-1", "it is gone")
        await self.cloud.destroy(seen)
        assert (await self.found(self.cloud, "pool-1")) is None

    async def test_an_order_twice_is_one_instance(self) -> None:
        """By its token, also for a master that follows one that was killed."""
        made = await self.cloud.launch(self.order(1))
        assert (await self.cloud.launch(self.order(1))).id == made.id
        follower: ICloud = self.ground.cloud(reactor)
        assert (await follower.launch(self.order(1))).id == made.id
        listed = (await follower.list()).instances
        assert [one.id for one in listed if one.state not in OVER] == [made.id]

    async def test_a_follower_finds_all_and_can_end_it(self) -> None:
        """A master that knows nothing of its forerunner."""
        for number in (1, 2):
            await self.cloud.launch(self.order(number))
        follower: ICloud = self.ground.cloud(reactor)
        listed = (await follower.list()).instances
        assert sorted(one.name for one in listed if one.state not in OVER) == ["pool-1", "pool-2"]
        for one in listed:
            await follower.destroy(one)
        for number in (1, 2):
            await self.until(lambda one: one is None, f"pool-{number}", "it is gone")

    async def test_one_that_dies_is_over_and_another_can_come(self) -> None:
        """It is told as gone or in error, or left out; never as running."""
        made = await self.cloud.launch(self.order(1))
        made = await self.until(lambda one: one and one.state is InstanceState.ACTIVE, "pool-1", "active") or made
        self.ground.die(made)
        await self.until(lambda one: one is None, "pool-1", "it is over")
        await self.cloud.destroy(made)
        assert (await self.cloud.launch(self.order(2))).state in LIVE

    async def test_no_answer(self) -> None:
        """A cloud that cannot be asked gives no answer, or tells what it had as unknown; it never leaves it out."""
        if not self.ground.can_stop:
            return
        made = await self.cloud.launch(self.order(1))
        self.ground.stop()
        try:
            try:
                listed = (await self.cloud.list()).instances
            except NoAnswerError:
                listed = ()
            else:
                assert [(one.id, one.state) for one in listed] == [(made.id, InstanceState.UNKNOWN)]
        finally:
            self.ground.start()
        assert await self.until(lambda one: one and one.state in LIVE, "pool-1", "it is told of again")

    async def test_no_room(self) -> None:
        """CapacityError where there is none to be had."""
        if not self.ground.room:
            return
        made = [await self.cloud.launch(self.order(number)) for number in range(1, self.ground.room + 1)]
        assert len({one.id for one in made}) == len(made)
        try:
            await self.cloud.launch(self.order(99))
        except CapacityError:
            return
        self.fail("there was room for more than there is")
