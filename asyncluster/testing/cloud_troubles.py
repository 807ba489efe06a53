"""The suite for clouds that a test can hurt: what must be told when an instance dies, or the cloud does not answer.

class TestMine(cloud_troubles(MyGround)): ...
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

from asyncluster.errors import NoAnswerError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Instance, InstanceState, Order
from asyncluster.testing.cloud_contract import LONG

OVER = frozenset({InstanceState.GONE, InstanceState.ERROR})


class TroubledGround(Protocol):
    """As `cloud_contract.CloudGround`, and more."""

    def cloud(self, reactor: Any, pool: str, realm: str) -> Any:
        """The cloud (ICloud), anew: as another master would make it."""

    def die(self, instance: Instance) -> None:
        """It is gone, and nobody asked it to go."""

    def stop(self) -> None:
        """The cloud cannot be asked; what it has goes on."""

    def start(self) -> None:
        """It can again."""

    def clear(self) -> None:
        """End everything, and forget it."""


def cloud_troubles(make: Callable[[Path], AbstractContextManager[TroubledGround]], missing: str = "") -> type[TestCase]:
    """The suite for one cloud.  make: a ground in that folder; missing: why it cannot run here, "" = it can."""

    class CloudTroubles(_CloudTroubles):
        ground_of = staticmethod(make)
        skip = missing or None

    return CloudTroubles


class _CloudTroubles(TestCase):
    ground_of: Callable[[Path], AbstractContextManager[TroubledGround]]
    timeout = 300.0

    def setUp(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="asyncluster-troubles-"))
        self._context = self.ground_of(self._folder)
        self.ground = self._context.__enter__()
        self.cloud: ICloud = self.ground.cloud(reactor, "pool", "realm")

    def tearDown(self) -> None:
        try:
            self.ground.clear()
        finally:
            self._context.__exit__(None, None, None)
            shutil.rmtree(self._folder, ignore_errors=True)

    async def until(self, condition: Callable[[Instance | None], object], what: str) -> Instance | None:
        """Ask until the one instance is so; None = it is not listed, or over."""
        end = time.monotonic() + LONG
        while True:
            listed = [one for one in (await self.cloud.list()).instances if one.state not in OVER]
            seen = listed[0] if listed else None
            if condition(seen):
                return seen
            assert time.monotonic() < end, f"it did not come to this: {what}; last seen: {seen}"
            await task.deferLater(reactor, 0.2)

    async def running(self) -> Instance:
        """One that was launched."""
        await self.cloud.launch(Order("pool-1", "token-1", "pool", 600.0))
        seen = await self.until(lambda one: one and one.state is InstanceState.ACTIVE, "it is active")
        assert seen is not None
        return seen

    async def test_one_that_dies_is_over_and_another_can_come(self) -> None:
        """It is told as gone or in error, or left out; never as running."""
        made = await self.running()
        self.ground.die(made)
        await self.until(lambda one: one is None, "it is over")
        await self.cloud.destroy(made)
        again = await self.cloud.launch(Order("pool-2", "token-2", "pool", 600.0))
        assert again.state not in OVER

    async def test_no_answer(self) -> None:
        """A cloud that cannot be asked gives no answer, or tells what it had as unknown; it never leaves it out."""
        made = await self.running()
        self.ground.stop()
        for cloud in (self.cloud, self.ground.cloud(reactor, "pool", "realm")):
            try:
                listed = (await cloud.list()).instances
            except NoAnswerError:
                continue
            assert [(one.id, one.state) for one in listed] == [(made.id, InstanceState.UNKNOWN)]
        self.ground.start()
        assert await self.until(lambda one: one and one.state is InstanceState.ACTIVE, "it is told of again")
