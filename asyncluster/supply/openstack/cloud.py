"""A pool of OpenStack's servers.

Nova knows no token of an order: before a server is made, and after an answer that was lost, those of that name are
listed, and what bears our token is the one.  Two for one order, of an answer that came very late, are listed both, the
one that is to stay first; the engine ends the other.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.interfaces import IAccount, ICloud, ICloudDoctor, ILeasing, ILooking
from asyncluster.model.supply import Finding, Flavor, Instance, InstanceState, Listing, Order, Sought
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply import several
from asyncluster.supply.blocking import Blocking
from asyncluster.supply.naming import EXPIRES, TAG, check_name, tags
from asyncluster.supply.once import Once, eldest_first
from asyncluster.supply.openstack import faults, words
from asyncluster.supply.openstack.asking import Asking, MissingError, Query
from asyncluster.supply.openstack.doctor import Doctor, Findings
from asyncluster.supply.userdata import MOST

_log = Logger()

KEPT = 600.0
"""Seconds for which what has ended is listed as gone."""

AT_ONCE = 50
"""Servers that are asked for by their ids after one listing without them; the others are with the next."""

LOOKING, WRITING = 4, 2
"""Calls at a time of one listing's questions, and of renewals: less than there are threads, which launches need too."""

RENEWING = 30.0
"""Seconds for which leases are renewed after one listing; nova takes a call for each."""

_PASSING = frozenset({InstanceState.STARTING, InstanceState.DELETING, InstanceState.GONE})
"""States in which nova lets nobody write to a server, and nobody needs to."""

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


@implementer(ICloud, ILeasing, ILooking, IAccount, ICloudDoctor)
@attrs.define(eq=False)
class OpenStackCloud:
    """One pool.

    pool: its name; prefix: of its servers' names; unit: one server; realm: of our master, in the tags; price: of an
    hour; blocking: where nova is asked; userdata: of a server, "" = none; wall: the time of day.
    """

    pool: str
    prefix: str
    unit: OpenStackUnit
    realm: str
    price: float
    reactor: IReactorTime
    blocking: Blocking
    userdata: Callable[[Order], Deferred[str]]
    wall: Callable[[], float]
    asking: Asking = attrs.field(init=False, repr=False)
    _once: Once = attrs.field(factory=Once, init=False, repr=False)
    _living: dict[str, Instance] = attrs.field(factory=dict, init=False, repr=False)  # ours, by id, when last listed
    _ended: dict[str, tuple[Instance, float]] = attrs.field(factory=dict, init=False, repr=False)  # and since when
    _flavor: tuple[str, Flavor] | None = attrs.field(default=None, init=False)  # its id, and what it has
    _networks: Any = attrs.field(default=None, init=False)  # as nova is told of them

    def __attrs_post_init__(self) -> None:
        self.asking = Asking(self.pool, self.unit)

    @classmethod
    def of(cls, means: Any) -> OpenStackCloud:
        """The cloud of one pool, made of `master.clouds.CloudMeans`."""
        pool = means.pool
        return cls(
            pool.name, pool.prefix, means.unit, means.realm, pool.flavor.price, means.reactor, means.blocking,
            means.userdata, means.wall,
        )  # fmt: skip

    def flavor(self) -> Deferred[Flavor]:
        """As the cloud has it, with the price of the file."""
        return self.blocking.call(lambda: self._look_flavor()[1])

    def list(self) -> Deferred[Listing]:
        """What bears this pool's tag, and what is named like its servers and bears none."""
        return self._listing(self._servers)

    def everything(self) -> Deferred[Listing]:
        """See IAccount."""
        return self._listing(self._all_servers)

    def launch(self, order: Order) -> Deferred[Instance]:
        """Ask for one, unless there is one for this order."""
        return self._once.launch(order, self._launch)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Ask for its end; it is over when it is not listed any more."""
        return self.blocking.call(self._destroy, instance)

    def renew(self, instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """See ILeasing.  One that is being built or deleted is left as it is."""
        return Deferred.fromCoroutine(self._renew_some(instances, expires))

    def look(self, sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """See ILooking."""
        return Deferred.fromCoroutine(self._look(sought))

    def check(self) -> Deferred[Findings]:
        """See ICloudDoctor."""
        doctor = Doctor(self.asking, lambda: self._look_flavor()[1], self._look_networks)
        asked = self.blocking.call(doctor.look)
        mend = f"look at {faults.keys(self.pool, 'auth_url, time_limit')}"
        return asked.addErrback(lambda failure: [Finding("endpoint", False, failure.getErrorMessage(), mend)])

    # Looking

    def _listing(self, look: Callable[[], Coroutine[Any, Any, Sequence[Instance]]]) -> Deferred[Listing]:
        return Deferred.fromCoroutine(self._listed(look))

    async def _listed(self, look: Callable[[], Coroutine[Any, Any, Sequence[Instance]]]) -> Listing:
        seen = self.reactor.seconds()
        return Listing(self.pool, tuple(await look()), seen)

    async def _servers(self) -> Sequence[Instance]:
        mine = words.tag_of_pool(self.pool)
        found = [each for each in await self._bearing(mine) if each.pool in ("", self.pool)]
        # a list may be wrong, and who asks for one server by its id is told; each by a call, which has its own time
        missing = [one for key, one in self._living.items() if key not in {each.id for each in found}]
        looked = await several.asked(lambda one: self.blocking.call(self._look_for, one), missing[:AT_ONCE], LOOKING)
        there = self._with_ends(found, looked.given.values())
        looked.all()  # none of those is asked for again, though this is no list where another one gave no answer
        return there

    def _with_ends(self, found: Sequence[Instance], looked: Collection[Instance]) -> Sequence[Instance]:
        """And what of ours was there before.  looked: what was asked for by its id, as it is now."""
        now, listed = self.asking.now(), {each.id for each in found}
        gone = [each for each in looked if each.state is InstanceState.GONE]
        there = [*found, *(each for each in looked if each.state is not InstanceState.GONE)]
        for each in looked:  # those that are still there come last, so that others have their turn
            self._living.pop(each.id, None)
        self._living |= {each.id: each for each in there if each.owner == self.realm}
        kept = {key: (each, then) for key, (each, then) in self._ended.items() if now - then < KEPT}
        self._ended = kept | {each.id: (each, now) for each in gone}
        return [*there, *(each for key, (each, _) in self._ended.items() if key not in listed)]

    async def _look(self, sought: Sequence[Sought]) -> Sequence[Instance]:
        found = await several.asked(lambda one: self.blocking.call(self._sought, one), sought, LOOKING)
        return [each for each in found.all() if each is not None]

    def _sought(self, one: Sought) -> Instance | None:
        if not one.id:
            there = self._detailed(_named(one.name))
            return next((each for each in there if each.ours and each.token == one.token), None)
        found = self._look_for(Instance(one.id, one.name, InstanceState.UNKNOWN))
        return None if found.state is InstanceState.GONE else found

    def _look_for(self, one: Instance) -> Instance:
        try:
            found = self.asking.nova("GET", f"/servers/{quote(one.id, safe='')}", f"look for {one.name}")
        except MissingError:
            return attrs.evolve(one, state=InstanceState.GONE, said="it is not there any more")
        return words.instance(found["server"])

    async def _all_servers(self) -> Sequence[Instance]:
        return await self._bearing(TAG)

    async def _bearing(self, tag: str) -> Sequence[Instance]:
        """What bears that tag, and what does not and has our prefix; the eldest first."""
        tagged = await self._whole({"tags": tag})
        named = await self._whole({"name": f"^{self.prefix}", "not-tags": tag})
        return eldest_first({each.id: each for each in (*tagged, *named)}.values())

    async def _whole(self, query: Query) -> Sequence[Instance]:
        """All that match; a call for each page, so that no list is too long for the time that a call has."""
        found: list[Instance] = []
        asked: Query | None = query
        while asked is not None:
            page, asked = await self.blocking.call(self._page, asked)
            found += page
        return found

    def _page(self, query: Query) -> tuple[Sequence[Instance], Query | None]:
        page, more = self.asking.page("/servers/detail", "servers", "list servers", query)
        return [words.instance(each) for each in page], more

    def _detailed(self, query: dict[str, str]) -> Iterator[Instance]:
        return map(words.instance, self.asking.pages("/servers/detail", "servers", "list servers", **query))

    def _look_flavor(self) -> tuple[str, Flavor]:
        if self._flavor is None:
            if not self.unit.flavor:
                raise CloudError(f"pool {self.pool} has no flavor; {faults.keys(self.pool, 'flavor')} names one")
            for each in self.asking.pages("/flavors/detail", "flavors", "list flavors"):
                if self.unit.flavor in (each.get("name"), each.get("id")):
                    self._flavor = (str(each["id"]), words.flavor(each, self.price))
                    break
            else:
                raise CloudError(
                    f"the cloud of pool {self.pool} has no flavor {self.unit.flavor} for us; "
                    f"{faults.keys(self.pool, 'flavor')} names it (`openstack flavor list` shows all)"
                )
        return self._flavor

    def _look_networks(self) -> Any:
        """As nova is told: "auto", "none", or by id."""
        if self._networks is None:
            given = self.unit.networks
            if not given or given in (("auto",), ("none",)):
                self._networks = given[0] if given else "auto"
            else:
                self._networks = [{"uuid": self._network(name)} for name in given]
        return self._networks

    def _network(self, name: str) -> str:
        if _UUID.fullmatch(name):
            return name
        found = self.asking.neutron("/networks", "list networks", name=name).get("networks", ())
        if len(found) != 1:
            many = f"{len(found)} networks" if found else "no network"
            raise CloudError(
                f"the cloud of pool {self.pool} has {many} called {name}; "
                f"{faults.keys(self.pool, 'networks')} takes names and UUIDs"
            )
        return str(found[0]["id"])

    # Doing

    async def _launch(self, order: Order) -> Instance:
        check_name(order.name)
        found = await self.blocking.call(self._made_for, order)
        if found is not None:
            return found
        text = await self.userdata(order)
        return await self.blocking.call(self._make, order, text)

    def _made_for(self, order: Order) -> Instance | None:
        """The server of that order, if there is one; raises CloudError where another has its name."""
        there = eldest_first(self._detailed(_named(order.name)))
        living = [each for each in there if each.state is not InstanceState.GONE]
        ours = [each for each in living if each.ours and (each.owner, each.token) == (self.realm, order.token)]
        if ours:
            return ours[0]
        if living:
            raise CloudError(f"server {order.name} exists already ({living[0].id}), by another order")
        return None

    def _make(self, order: Order, text: str) -> Instance:
        body = self._body(order, text)
        try:
            made = self.asking.nova("POST", "/servers", f"make {order.name}", {"server": body})
        except NoAnswerError as error:
            found = self._made_all_the_same(order, error)
            if found is None:
                raise
            return found
        except MissingError as error:
            raise CloudError(f"{error}; look at image_uuid, flavor and networks of pool {self.pool}") from None
        except CloudError:
            self._flavor = self._networks = None  # they may be what has changed
            raise
        server = str(made["server"]["id"])
        _log.info("node {node} of pool {pool} is server {server}", node=order.name, pool=self.pool, server=server)
        return Instance(
            server, order.name, InstanceState.STARTING, owner=self.realm, token=order.token, born=self.wall(),
            expires=self.wall() + order.lease, pool=self.pool,
        )  # fmt: skip

    def _made_all_the_same(self, order: Order, error: NoAnswerError) -> Instance | None:
        """The server of an order whose answer was lost; that the look for it was refused says nothing of the server."""
        try:
            return self._made_for(order)
        except CloudError as refusal:
            raise NoAnswerError(f"{error}; whether it was made all the same could not be seen: {refusal}") from None

    def _body(self, order: Order, text: str) -> dict[str, Any]:
        """What nova is asked for; the tags are in it, so that no server of ours is ever without."""
        unit = self.unit
        if not unit.image_uuid:
            raise CloudError(f"pool {self.pool} has no image; {faults.keys(self.pool, 'image_uuid')} names one")
        plain = text.encode()
        data = base64.b64encode(plain).decode()
        if len(plain) > MOST["openstack"]:
            raise CloudError(
                f"the user data of {order.name} is too long: {len(plain)} bytes, and nova takes "
                f"{MOST['openstack']}; {faults.keys(self.pool, 'userdata_file')} is {unit.userdata_file}"
            )
        body: dict[str, Any] = {
            "name": order.name,
            "imageRef": unit.image_uuid,
            "flavorRef": self._look_flavor()[0],
            "networks": self._look_networks(),
            "metadata": tags(order, self.realm, self.wall() + order.lease),
            "tags": [TAG, words.tag_of_pool(self.pool)],
        }
        if data:
            body["user_data"] = data
        if unit.key_name:
            body["key_name"] = unit.key_name
        if unit.security_groups:
            body["security_groups"] = [{"name": name} for name in unit.security_groups]
        if unit.availability_zone:
            body["availability_zone"] = unit.availability_zone
        return body

    def _destroy(self, instance: Instance) -> None:
        place = f"/servers/{quote(instance.id, safe='')}"
        try:
            if self._is_soft_deleted(instance):
                self.asking.nova("POST", f"{place}/action", f"delete {instance.name}", {"forceDelete": None})
            else:
                self.asking.nova("DELETE", place, f"delete {instance.name}")
        except MissingError:
            return  # that is what was wanted

    def _is_soft_deleted(self, instance: Instance) -> bool:
        """Whether nova keeps it for a while, and takes no plain deletion; who asks may know no more than its id.

        Nova lists none of those; one that was told of by its id is among the living.
        """
        known = self._living.get(instance.id)
        if known is None:
            known = instance if instance.said else self._look_for(instance)
        return known.said.startswith("SOFT_DELETED")

    async def _renew_some(self, instances: Sequence[Instance], expires: float) -> None:
        """Those that end first; what there is no time for is due with the next listing."""
        end = self.reactor.seconds() + RENEWING
        first = sorted(instances, key=lambda each: each.expires)
        asked = await several.asked(
            lambda one: self.blocking.call(self._renew, one, expires), first, WRITING,
            lambda _: self.reactor.seconds() < end,
        )  # fmt: skip
        asked.all()

    def _renew(self, instance: Instance, expires: float) -> None:
        place = f"/servers/{quote(instance.id, safe='')}/metadata"
        try:
            self.asking.nova("POST", place, f"renew {instance.name}", {"metadata": {EXPIRES: f"{expires:.0f}"}})
        except MissingError:
            return
        except CloudError:
            if self._look_for(instance).state not in _PASSING:
                raise


def _named(name: str) -> dict[str, str]:
    """What is asked of a list for those of that name; nova takes a pattern."""
    return {"name": f"^{re.escape(name)}$"}
