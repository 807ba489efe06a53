"""A pool in AWS.

What EC2 says is in `ec2` (in threads), what it means in `instances` and `refusals` (pure), how one order makes one
instance in `launching`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster.errors import CapacityError, CloudError, NoAnswerError
from asyncluster.interfaces import IAccount, ICloud, ICloudDoctor, ILeasing, ILooking
from asyncluster.model.supply import Finding, Flavor, Instance, Listing, Order, Sought
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws.asking import Asking
from asyncluster.supply.aws.doctor import examine
from asyncluster.supply.aws.ec2 import CHANGED, Ec2, Filters, matching
from asyncluster.supply.aws.instances import named_like_ours
from asyncluster.supply.aws.launching import Launching
from asyncluster.supply.aws.looking import Looking
from asyncluster.supply.aws.request import Asked
from asyncluster.supply.aws.spot import Bids
from asyncluster.supply.naming import EXPIRES, TAG, check_name
from asyncluster.supply.once import Once, eldest_first

_log = Logger()

Findings = list[Finding]
Found = list[Instance]

STRANGERS = 300.0
"""Seconds between two looks for what is only named like ours: it is told of, and nothing else."""

CONNECTIONS = 8
"""At a time; as many as `Blocking` has threads."""


@implementer(ICloud, ILeasing, ILooking, IAccount, ICloudDoctor)
@attrs.define(eq=False)
class AwsCloud:
    """One pool.

    pool: its name; prefix: of its nodes' names; unit: one node; has: what the file says of one (its price); realm: of
    our master; reactor: counts time; call: runs something in a thread; userdata: of the instance for an order; wall:
    the time of day.
    """

    pool: str
    prefix: str
    unit: AwsUnit
    has: Flavor
    realm: str
    reactor: Any
    call: Callable[..., Deferred[Any]]
    userdata: Callable[[Order], Deferred[str]] = attrs.field(repr=False)
    wall: Callable[[], float]
    ec2: Ec2 = attrs.field(init=False, repr=False)
    _asking: Asking = attrs.field(init=False, repr=False)
    _launching: Launching = attrs.field(init=False, repr=False)
    _looking: Looking = attrs.field(init=False, repr=False)
    _bids: Bids = attrs.field(init=False, repr=False)
    _once: Once = attrs.field(factory=Once, init=False, repr=False)
    _groups: tuple[str, ...] | None = attrs.field(default=None, init=False)  # their ids; None = not looked up
    _strangers: tuple[Instance, ...] = attrs.field(default=(), init=False, repr=False)
    _strangers_at: float | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.ec2 = Ec2(self.pool, self.unit, CONNECTIONS, self.wall)
        self._asking = Asking(self.reactor, self.call, self.ec2.client)
        self._launching = Launching(self.pool, self.realm, self._asking, self.ec2)
        self._looking = Looking(self.reactor, lambda names: self._asking.patiently(self.ec2.named, self.realm, names))
        self._bids = Bids(self.unit.spot_bid, self.unit.spot_timeout, self.unit.spot_on_demand)

    @classmethod
    def of(cls, means: Any) -> AwsCloud:
        """From what the master gives a cloud (`CloudMeans`)."""
        return cls(
            means.pool.name,
            means.pool.prefix,
            means.unit,
            means.pool.flavor,
            means.realm,
            means.reactor,
            means.blocking.call,
            means.userdata,
            means.wall,
        )

    def flavor(self) -> Deferred[Flavor]:
        """What EC2 says of the instance type, at the price that the configuration says."""
        return Deferred.fromCoroutine(self._asking.patiently(self.ec2.flavor, self.has.price))

    def launch(self, order: Order) -> Deferred[Instance]:
        """Begin one; as a spot instance where there is a bid."""
        return self._once.launch(order, self._launch)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Begin to end one.  NoAnswerError where it was launched just now and EC2 does not know of it yet."""
        return Deferred.fromCoroutine(self._destroy(instance))

    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """Write the tag anew, by as few calls as can be."""
        return Deferred.fromCoroutine(self._renew([one.id for one in instances], f"{expires:.0f}"))

    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """See ILooking."""
        return Deferred.fromCoroutine(self._look(sought))

    def check(self) -> Deferred[list[Finding]]:
        """Look at all that a launch needs; at last ask EC2 whether it would do it."""
        return Deferred.fromCoroutine(self._check())

    def everything(self) -> Deferred[Listing]:
        """What bears a tag of ours in this account and region, of any pool."""
        return Deferred.fromCoroutine(self._everything())

    def list(self) -> Deferred[Listing]:
        """Those tagged for this pool, by any master; and those without a tag that are named like its nodes."""
        return Deferred.fromCoroutine(self._list())

    # Looking

    async def _list(self) -> Listing:
        seen = self.reactor.seconds()
        try:
            tagged = await self._all(matching(tag_asyncluster__pool=self.pool))
            if self._strangers_at is None or seen - self._strangers_at >= STRANGERS:
                self._strangers = await self._named()
                self._strangers_at = seen
        except CloudError as error:  # refused: that there is nothing has not been said
            raise NoAnswerError(str(error)) from None
        found = eldest_first(one for one in tagged if one.ours)
        return Listing(self.pool, (*found, *self._strangers), seen)

    async def _all(self, filters: Filters) -> Found:
        """All that match, whole or not at all; one page at a time, so that no call is longer than another."""
        found, token = await self._asking.patiently(self.ec2.page, filters)
        while token:
            more, token = await self._asking.patiently(self.ec2.page, filters, token)
            found += more
        return found

    async def _named(self) -> tuple[Instance, ...]:
        named = await self._all(matching(tag_Name=f"{self.prefix}*"))
        return tuple(one for one in named if named_like_ours(one, self.prefix))

    async def _look(self, sought: Sequence[Sought]) -> Found:
        ids = [one.id for one in sought if one.id]
        names = {one.name: one.token for one in sought if not one.id}
        found = await self._all(matching(instance_id=ids)) if ids else []
        ordered = await self._asking.patiently(self.ec2.named, self.realm, [*names]) if names else []
        return [*found, *(one for one in ordered if names.get(one.name) == one.token)]

    async def _everything(self) -> Listing:
        seen = self.reactor.seconds()
        try:
            tagged = await self._all([{"Name": "tag-key", "Values": [f"{TAG}-realm"]}])
            strangers = await self._named()
        except CloudError as error:
            raise NoAnswerError(str(error)) from None
        return Listing(self.pool, (*eldest_first(tagged), *strangers), seen)

    # Doing

    async def _launch(self, order: Order) -> Instance:
        check_name(order.name)
        named = eldest_first(await self._looking.at(order.name))
        for one in named:
            if one.token == order.token:
                return one
        if named:
            raise CloudError(f"instance {named[0].id} is called {order.name} already, by another order")
        if self._groups is None:
            self._groups = await self._asking.patiently(self.ec2.group_ids)
        asked = Asked(order, self.realm, self.wall() + order.lease, await self.userdata(order), self._groups)
        try:
            return await self._bid(asked) if self._bids.wanted else await self._launching.begin(asked)
        except CloudError:
            self._groups = None  # they may be what has changed
            raise

    async def _bid(self, asked: Asked) -> Instance:
        """As a spot instance, or when there has been none for long enough at the full price."""
        try:
            made = await self._launching.begin(attrs.evolve(asked, spot=True))
        except CapacityError as error:
            now = self.reactor.seconds()
            self._bids.refused(now)
            if not self._bids.falls_back(now):
                raise CapacityError(f"{error}; {self._bids.outlook(now)}") from None
            _log.info("{node} is had at the full price: {error}", node=asked.order.name, error=error)
            return await self._launching.begin(asked)
        self._bids.taken()
        return made

    async def _destroy(self, instance: Instance) -> None:
        known = await self._asking.patiently(self.ec2.terminate, [instance.id])
        if not known and self._launching.is_young(instance.id):
            raise NoAnswerError(f"EC2 made instance {instance.id} just now and does not know it yet; it is asked again")

    async def _renew(self, ids: Sequence[str], value: str) -> None:
        for begin in range(0, len(ids), CHANGED):
            some = ids[begin : begin + CHANGED]
            if await self._asking.patiently(self.ec2.retag, some, EXPIRES, value):
                continue
            for one in some:  # one of them is gone, and EC2 then changes none
                await self._asking.patiently(self.ec2.retag, [one], EXPIRES, value)

    async def _check(self) -> Findings:
        order = Order(f"{self.prefix}check", "check", self.pool, 600.0)
        try:
            return await self._asking.once(examine, self.ec2, Asked(order, self.realm, self.wall() + order.lease))
        except (NoAnswerError, CloudError) as error:
            return [Finding("endpoint", False, str(error), f"look at [cloud] {self.pool}.config")]
