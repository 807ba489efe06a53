"""What a pool in a real cloud is made of: threads for its library, and the user data of its instances."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from asyncluster.model.supply import Order, Pool
from asyncluster.supply.blocking import Blocking

UserDataText = Callable[[Order], Deferred[str]]
"""The user data of the instance for an order, "" = none; asked for just before it is made, and told to nobody."""


@attrs.frozen
class CloudMeans:
    """What a cloud is made of.

    pool: its settings; unit: one node, as the file has it; realm: of our master; folder: for what has to outlive the
    master, not made yet; blocking: where its library is called; userdata: of an instance; wall: the time of day.
    """

    reactor: Any
    pool: Pool
    unit: Any
    realm: str
    folder: Path
    blocking: Blocking
    userdata: UserDataText = attrs.field(repr=False)
    wall: Callable[[], float] = time.time
