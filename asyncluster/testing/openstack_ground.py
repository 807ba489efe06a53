"""Grounds for `cloud_contract` and `cloud_troubles`: a pool of a real OpenStack."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from asyncluster.model.supply import Flavor, Instance, Order, Pool
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.blocking import Blocking
from asyncluster.supply.openstack import OpenStackCloud
from asyncluster.testing.faultproxy import Fault, FaultProxy, Kind, Scripted
from asyncluster.testing.openstack import IMAGE, LIMIT, PASSWORD, PROJECT, USER, ControlPlane

SLEEP = "#!/bin/sh\nexec sleep 86400\n"
"""User data of a server that does nothing."""


@attrs.define(eq=False)
class OpenStackGround:
    """See the module.

    more: what the pools' units have besides; nova, keystone: what goes wrong on the way to them.
    """

    plane: ControlPlane
    more: dict[str, Any] = attrs.field(factory=dict)
    most: int = 0
    looks: bool = True
    auth_url: str = ""
    nova: Scripted = attrs.field(factory=Scripted)
    keystone: Scripted = attrs.field(factory=Scripted)
    seen: list[Any] = attrs.field(factory=list)  # requests that came to nova
    _threads: list[Blocking] = attrs.field(factory=list)

    def unit(self, **more: Any) -> OpenStackUnit:
        """One server."""
        given: dict[str, Any] = {
            "auth_url": self.auth_url or self.plane.auth_url, "username": USER, "password": PASSWORD,
            "project": PROJECT, "image_uuid": IMAGE, "flavor": "small", "time_limit": 60.0,
        }  # fmt: skip
        return OpenStackUnit(**given | self.more | more)

    def cloud(self, reactor: Any, pool: str, realm: str, **more: Any) -> OpenStackCloud:
        """See CloudGround and TroubledGround.  more: what its unit has besides."""
        self._threads.append(Blocking(reactor, f"pool {pool}", limit=LIMIT))
        self._threads[-1].startService()
        settings = Pool(pool, "openstack", Flavor(1, price=0.25), prefix=f"{pool}-")
        means = _Means(reactor, settings, self.unit(**more), realm, self._threads[-1])
        return OpenStackCloud.of(means)

    def die(self, instance: Instance) -> None:
        """See TroubledGround: its processes end, and its power goes off."""
        os.killpg(int((self.plane.folder / "servers" / instance.id / "pid").read_text()), signal.SIGKILL)

    def stop(self) -> None:
        """See TroubledGround."""
        for plan in (self.nova, self.keystone):
            plan.add("", Fault(Kind.RESET), 10**9)

    def start(self) -> None:
        """See TroubledGround."""
        for plan in (self.nova, self.keystone):
            plan.calm()

    def clear(self) -> None:
        """See CloudGround and TroubledGround."""
        self.start()
        for threads in self._threads:
            threads.stopService()
        self._threads.clear()
        self.plane.clear()


@attrs.frozen
class _Means:
    """As `master.clouds.CloudMeans`."""

    reactor: Any
    pool: Pool
    unit: OpenStackUnit
    realm: str
    blocking: Blocking
    wall: Callable[[], float] = time.time

    def userdata(self, order: Order) -> Deferred[str]:
        """Of a server that does nothing."""
        return succeed(SLEEP)


def openstack_ground(plane: Callable[[], ControlPlane]) -> Callable[[Path], AbstractContextManager[OpenStackGround]]:
    """Makes grounds on one control plane, which runs on for the next."""

    @contextlib.contextmanager
    def make(folder: Path) -> Iterator[OpenStackGround]:
        real, nova, keystone = plane(), Scripted(), Scripted()
        ports = {name: real.ports[name] for name in ("nova", "keystone")}
        with FaultProxy(ports["nova"], nova, rewrite={real.url("nova"): "{url}"}) as compute:
            rewrite = {real.url("nova"): compute.url, real.url("keystone"): "{url}"}
            with FaultProxy(ports["keystone"], keystone, rewrite=rewrite) as identity:
                yield OpenStackGround(
                    real, auth_url=f"{identity.url}/v3", nova=nova, keystone=keystone, seen=compute.seen
                )

    return make
