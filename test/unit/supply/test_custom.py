"""A pool's cloud by the name of its class: found and given its arguments, or refused with what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from asyncluster.config.fields import Secret
from asyncluster.errors import ConfigError
from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Flavor, Instance, Listing, Order, Pool
from asyncluster.model.supply_options import CustomUnit
from asyncluster.supply.custom import make_cloud

POOL = Pool("sky", f"{__name__}:Mine", Flavor(2))


@implementer(ICloud)
class Mine:
    """A cloud of a site's own."""

    def __init__(self, reactor: Any, pool: Pool, realm: str, folder: Path, key: str, zone: str = "a") -> None:
        if zone == "nowhere":
            raise ValueError("there is no zone nowhere")
        self.pool, self.told = pool.name, (realm, folder, key, zone)

    def flavor(self) -> Deferred[Flavor]:
        """Of a node."""
        return succeed(Flavor(1))

    def list(self) -> Deferred[Listing]:
        """Nothing."""
        return succeed(Listing(self.pool, (), 0.0))

    def launch(self, order: Order) -> Deferred[Instance]:
        """Never."""
        raise NotImplementedError

    def destroy(self, instance: Instance) -> Deferred[None]:
        """At once."""
        return succeed(None)


class NoCloud:
    """It has nothing of one."""

    def __init__(self, *all: object, **named: object) -> None:
        """Takes whatever comes."""


def make(name: str, **arguments: Any) -> Any:
    return make_cloud(CustomUnit(name, arguments), None, POOL, "realm", Path("/x"))


def test_it_gets_its_arguments() -> None:
    """By name, secrets among them in the clear."""
    assert make(f"{__name__}:Mine", key=Secret("k"), zone="b").told == ("realm", Path("/x"), "k", "b")


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("no.such.module:Mine", {}, "[cloud] sky.type: no.such.module cannot be imported"),
        (f"{__name__}:Yours", {}, "has no Yours"),
        (f"{__name__}:Mine", {}, "[cloud] sky.config.arguments: "),
        (f"{__name__}:Mine", {"key": "k", "zone": "nowhere"}, "there is no zone nowhere"),
        (f"{__name__}:NoCloud", {}, "is no cloud"),
    ],
)
def test_what_is_wrong_is_said(name: str, arguments: dict[str, str], part: str) -> None:
    """With the key that names it."""
    with pytest.raises(ConfigError) as caught:
        make(name, **arguments)
    assert part in str(caught.value)
