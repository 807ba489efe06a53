"""asyncluster.yaml without faults, as plain values for the engine, its scheduler and its clouds."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncluster.config.fields import Secret
from asyncluster.model.elastic_options import ClusterOptions, EngineOptions
from asyncluster.model.supply import Pool
from asyncluster.model.supply_options import AwsUnit, BatchUnit, CustomUnit, HostsUnit, LocalUnit, OpenStackUnit

Unit = BatchUnit | LocalUnit | HostsUnit | CustomUnit | AwsUnit | OpenStackUnit
"""One node of a pool, by the pool's kind."""


@attrs.frozen
class PoolSettings:
    """A pool, and what its cloud has to know."""

    pool: Pool
    unit: Unit


@attrs.frozen
class PluginSettings:
    """A plugin; arguments as written, masked where their names tell of a secret."""

    name: str
    class_name: str
    arguments: Mapping[str, str | Secret] = attrs.field(factory=dict)


@attrs.frozen
class LogSettings:
    """The section `logging`.  level: 0 errors to 3 everything; place: "" = the master's own; largest: bytes."""

    level: int = 2
    place: str = ""
    form: str = ""
    largest: int = 2097152


@attrs.frozen
class Elastic:
    """The whole file.

    origin: its name, "" where there is none; warnings: sentences about what works but may not be what was meant.
    """

    engine: EngineOptions = attrs.field(factory=EngineOptions)
    cluster: ClusterOptions = attrs.field(factory=ClusterOptions)
    pools: tuple[PoolSettings, ...] = ()
    plugins: tuple[PluginSettings, ...] = ()
    logging: LogSettings = attrs.field(factory=LogSettings)
    admin_port: int = 8001
    origin: str = ""
    warnings: tuple[str, ...] = ()
