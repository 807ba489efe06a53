"""What a pool of pilots is made of: its batch system, the addresses at which it finds us, and its configuration."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from asyncluster.config.base_conf import Settings
from asyncluster.config.elastic_values import PoolSettings
from asyncluster.master.batch_systems import pilot_queue
from asyncluster.model.elastic_options import ClusterOptions
from asyncluster.model.supply_options import BatchUnit
from asyncluster.personal.networks import reachable
from asyncluster.supply.batch import BatchCloud, read_template
from asyncluster.supply.node_conf import Account
from asyncluster.supply.script import pilot_conf


def pilot_cloud(
    reactor: Any,
    settings: Settings,
    pool: PoolSettings,
    unit: BatchUnit,
    port: int,
    realm: str,
    folder: Path,
    cluster: ClusterOptions,
) -> BatchCloud:
    """The cloud of one pool.

    folder: for its files where the pool names none; cluster: whose commands serve pilots in the same system.
    Raises ConfigError.
    """
    return BatchCloud(
        pool.pool.name,
        pool.pool.prefix,
        unit,
        pilot_queue(reactor, pool.pool.name, unit, cluster),
        realm,
        pool.pool.flavor,
        Path(unit.folder) if unit.folder else folder,
        partial(pilot_conf, _with_property(pool, unit), account(settings, port)),
        reactor.seconds,
        read_template(unit, pool.pool.name),
    )


def account(settings: Settings, port: int) -> Account:
    """With what the nodes of this master prove themselves, and where pilots find it."""
    common, client = settings.common, settings.client
    return Account(
        client.user,
        client.password.reveal(),
        common.server_password.reveal(),
        port,
        ", ".join([*map(str, reachable()), socket.gethostname()]),
        client.run_tasks_as,
        client.drain_limit,
    )


def _with_property(pool: PoolSettings, unit: BatchUnit) -> BatchUnit:
    """Its nodes bear the property of the pool's reservation."""
    word = pool.pool.reservation.property
    return attrs.evolve(unit, features=(*unit.features, word)) if word and word not in unit.features else unit
