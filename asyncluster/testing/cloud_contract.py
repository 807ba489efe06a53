"""The suite for those who write a cloud: what an `ICloud` must do, proven on it.

    class TestMine(cloud_contract(MyGround)): ...

`MyGround` is a context manager that gives clouds on the real thing, or on a fake (`CloudGround`).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol
from unittest import SkipTest

import attrs
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from asyncluster.errors import CapacityError, CloudError
from asyncluster.interfaces import ICloud, ILooking
from asyncluster.model.supply import Instance, InstanceState, Listing, Order, Sought

LONG = 60.0
"""Seconds after which what is waited for has not come."""


class CloudGround(Protocol):
    """Where a pool `pool` may have up to `most` nodes, and where nothing is left after `clear`."""

    most: int
    """Nodes that there is room for; 0 = no end is to be found."""

    looks: bool
    """Whether its cloud has to give ILooking: a list of it may lack what is there."""

    def cloud(self, reactor: Any, pool: str, realm: str) -> Any:
        """The cloud (ICloud), anew: as another master would make it."""

    def clear(self) -> None:
        """End everything, and forget it."""


def cloud_contract(make: Callable[[Path], AbstractContextManager[CloudGround]], missing: str = "") -> type[TestCase]:
    """The suite for one cloud.  make: a ground in that folder; missing: why it cannot run here, "" = it can."""

    class CloudContract(_CloudContract):
        ground_of = staticmethod(make)
        skip = missing or None

    return CloudContract


class _CloudContract(TestCase):
    ground_of: Callable[[Path], AbstractContextManager[CloudGround]]
    timeout = 300.0
    _folder: Path
    _context: AbstractContextManager[CloudGround]
    ground: CloudGround

    @classmethod
    def setUpClass(cls) -> None:
        if getattr(cls, "skip", None):
            return
        cls._folder = Path(tempfile.mkdtemp(prefix="asyncluster-contract-"))
        cls._context = cls.ground_of(cls._folder)
        cls.ground = cls._context.__enter__()

    @classmethod
    def tearDownClass(cls) -> None:
        if getattr(cls, "skip", None):
            return
        cls._context.__exit__(None, None, None)
        shutil.rmtree(cls._folder, ignore_errors=True)

    def setUp(self) -> None:
        self.cloud: ICloud = self.make()

    def tearDown(self) -> None:
        self.ground.clear()

    def make(self, realm: str = "realm") -> ICloud:
        """The same pool's cloud once more."""
        cloud: ICloud = self.ground.cloud(reactor, "pool", realm)
        return cloud

    async def listed(self, true: Callable[[dict[str, Instance]], object], what: str) -> dict[str, Instance]:
        """What is listed and not gone, by name, once it is so."""
        end = time.monotonic() + LONG
        while True:
            listing: Listing = await self.cloud.list()
            found = {each.name: each for each in listing.instances if each.state is not InstanceState.GONE}
            if true(found):
                return found
            assert time.monotonic() < end, f"it did not come to this: {what}; listed: {listing}"
            await task.deferLater(reactor, 0.1)

    async def refused(self, doing: Deferred[Any]) -> Exception:
        """What it fails with."""
        try:
            await doing
        except CloudError as error:
            return error
        raise AssertionError("no CloudError")

    # -- the tests

    async def test_it_is_a_cloud(self) -> None:
        """It has what the interface asks for, and lists nothing where nothing was launched."""
        verifyObject(ICloud, self.cloud)
        assert self.cloud.pool == "pool"
        assert (await self.cloud.flavor()).cores >= 1
        assert await self.listed(lambda found: not found, "nothing") == {}
        assert (await self.cloud.list()).pool == "pool"

    async def test_one_comes_and_goes(self) -> None:
        """Listed under its name with our tag, its token and an address; destroyed twice it is gone."""
        order = _order(1)
        launched: Instance = await self.cloud.launch(order)
        assert (launched.name, launched.token) == (order.name, order.token)
        found = await self.listed(lambda found: _active(found, order.name), "it is active")
        one = found[order.name]
        assert (one.id, one.ours, one.owner, one.token) == (launched.id, True, "realm", order.token)
        assert one.address
        for _ in range(2):
            await self.cloud.destroy(one)
        await self.listed(lambda found: not found, "it is gone")
        await self.cloud.destroy(one)

    async def test_the_same_order_twice_is_one(self) -> None:
        """Also when both are asked at a time, and when another master asks again."""
        order = _order(1)
        first, second = await gatherResults([self.cloud.launch(order), self.cloud.launch(order)])
        third: Instance = await self.make().launch(order)
        assert first.id == second.id == third.id
        assert len(await self.listed(lambda found: _active(found, order.name), "it is active")) == 1

    async def test_another_order_of_that_name_is_refused(self) -> None:
        """A name is one node's."""
        await self.cloud.launch(_order(1))
        await self.refused(self.cloud.launch(attrs.evolve(_order(1), token="another")))  # noqa: S106 - no password

    async def test_another_master_finds_what_one_has_left(self) -> None:
        """By its tag and token, and can end it."""
        await self.cloud.launch(_order(1))
        self.cloud = self.make()
        found = await self.listed(lambda found: found, "it is listed")
        assert [(each.owner, each.token) for each in found.values()] == [("realm", _order(1).token)]
        await self.cloud.destroy(next(iter(found.values())))
        await self.listed(lambda found: not found, "it is gone")

    async def test_the_tag_is_its_makers(self) -> None:
        """A master of another realm sees whose it is."""
        await self.make("theirs").launch(_order(1))
        found = await self.listed(lambda found: found, "it is listed")
        assert [each.owner for each in found.values()] == ["theirs"]

    async def test_one_is_asked_for(self) -> None:
        """By its id, or by its order; of what is not there, or not there any more, nothing is told."""
        if not self.ground.looks:
            raise SkipTest("its cloud need not be asked for one instance: a list of it lacks nothing")
        assert ILooking.providedBy(self.cloud), "one that three lists lack would count as gone"
        looking, order = ILooking(self.cloud), _order(1)
        made: Instance = await self.cloud.launch(order)
        await self.listed(lambda found: _active(found, order.name), "it is active")
        other = made.id[:-1] + ("1" if made.id[-1] == "0" else "0")
        by_id = Sought(order.name, order.token, made.id)
        for asked, found in (
            ([by_id], [made.id]),
            ([Sought(order.name, order.token)], [made.id]),
            ([by_id, Sought(order.name, "another"), Sought("pool-2", "token-2", other)], [made.id]),
        ):
            told = await looking.look(asked)
            assert [(each.id, each.token, each.owner) for each in told] == [(id, order.token, "realm") for id in found]
        await self.cloud.destroy(made)
        await self.listed(lambda found: not found, "it is gone")
        assert all(each.state is InstanceState.GONE for each in await looking.look([by_id]))

    async def test_one_may_be_ended_while_it_starts(self) -> None:
        """Nothing of it is left."""
        launched: Instance = await self.cloud.launch(_order(1))
        await self.cloud.destroy(launched)
        await self.listed(lambda found: not found, "it is gone")

    async def test_no_more_than_there_are(self) -> None:
        """CapacityError, which says to try another pool; there is room again once one is gone."""
        if not self.ground.most:
            raise SkipTest(
                "no end of its instances is to be found: what it says then is tested with the replies it gives"
            )
        kept = [await self.cloud.launch(_order(number)) for number in range(1, self.ground.most + 1)]
        assert isinstance(await self.refused(self.cloud.launch(_order(99))), CapacityError)
        await self.cloud.destroy(kept[0])
        await self.listed(lambda found: kept[0].name not in found, "one is gone")
        await self.cloud.launch(_order(99))

    async def test_names_that_are_none(self) -> None:
        """What could be a path or an option is refused."""
        for name in ("../x", "-x", "a b", ""):
            await self.refused(self.cloud.launch(attrs.evolve(_order(1), name=name)))


def _order(number: int) -> Order:
    return Order(f"pool-{number}", f"token-{number}", "pool", 3600.0)


def _active(found: dict[str, Instance], name: str) -> bool:
    return name in found and found[name].state in {InstanceState.ACTIVE, InstanceState.READY}
