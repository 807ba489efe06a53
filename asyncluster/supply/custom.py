"""A pool's cloud by the name of its class: one that a site has written, or a package of somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from asyncluster.interfaces import ICloud
from asyncluster.model.supply import Pool
from asyncluster.model.supply_options import CustomUnit
from asyncluster.supply.named import Place, find, make


def make_cloud(
    unit: CustomUnit, reactor: Any, pool: Pool, realm: str, folder: Path, userdata: Callable[..., Any] | None = None
) -> ICloud:
    """An instance of the unit's class.

    realm: whose tag its instances are to bear; folder: for what has to outlive the master, not made yet; userdata:
    gives a Deferred with the user data for an order, None = the class is not given it.
    Raises ConfigError where there is no such class, it cannot be made of these arguments, or is no ICloud.
    """
    place = Place(f"[cloud] {pool.name}.type", f"[cloud] {pool.name}.config.arguments", "cloud")
    kind, given = find(unit.class_name, place), (reactor, pool, realm, folder)
    if userdata is not None:
        kind = partial(kind, userdata=userdata)
    return make(kind, unit.class_name, ICloud, place, given, unit.arguments)  # type: ignore[no-any-return] # verified
