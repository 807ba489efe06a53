"""What a pool of machines behind ssh is made of: who asks them, and the configuration that their nodes are given."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredSemaphore

from asyncluster.config.base_conf import Settings
from asyncluster.config.elastic_values import PoolSettings
from asyncluster.master.pilots import account
from asyncluster.model.supply import Order
from asyncluster.model.supply_options import HostsUnit
from asyncluster.schedulers.run import Runner
from asyncluster.supply import there
from asyncluster.supply.hosts import HostsCloud
from asyncluster.supply.node_conf import NodeConf, node_conf

AT_A_TIME = 32
"""Machines of a pool that are asked at a time."""

RETRY = 10.0
"""Seconds after which a node there looks for its master again."""

MOST_TOLD = 4 * 1024**2
"""Bytes that one machine may answer."""


def hosts_cloud(
    reactor: Any, settings: Settings, pool: PoolSettings, unit: HostsUnit, port: int, realm: str, folder: Path
) -> HostsCloud:
    """The cloud of one pool.  port: the master's; realm: its; folder: for its notes."""
    return HostsCloud(
        pool.pool.name,
        unit,
        folder,
        realm,
        reactor,
        partial(_conf, settings, pool, unit, port),
        pool.pool.flavor,
        Runner(reactor, unit.time_limit, most=MOST_TOLD, turns=DeferredSemaphore(AT_A_TIME)),
        settings.client.drain_limit,
    )


def _conf(settings: Settings, pool: PoolSettings, unit: HostsUnit, port: int, order: Order) -> str:
    """The configuration of a node there, where address and folder are put in."""
    hosts = ", ".join(unit.masters) or there.MASTER
    slots, features = str(unit.cores or "auto"), pool.pool.reservation.property
    what = NodeConf(hosts, slots, features, order.lease, order.lease, RETRY, order.name, f"{there.FOLDER}/state")
    return node_conf(account(settings, port), what)
