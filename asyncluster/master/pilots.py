"""What a pool of pilots is made of: its batch system, the addresses at which it finds us, and its configuration."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from asyncluster.config.base_conf import Settings
from asyncluster.config.elastic_values import PoolSettings
from asyncluster.errors import ConfigError
from asyncluster.model.supply_options import BatchUnit
from asyncluster.people import user_name
from asyncluster.personal.networks import reachable
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.template import read_commands
from asyncluster.supply.batch import BatchCloud, PilotQueue, read_template
from asyncluster.supply.script import Account, pilot_conf

SLURM = {"submit": "sbatch", "list": "squeue", "cancel": "scancel", "release": "scontrol"}
TORQUE = {"submit": "qsub", "list": "qstat", "cancel": "cancel", "release": "qrls"}
SGE = {"submit": "qsub", "list": "qstat", "cancel": "cancel", "release": "qrls"}
"""What the commands of a pool's configuration are called by the adapters."""

_TORQUE_MORE = {"list": "-x -t", "cancel": "{0}", "release": "{0}"}
_SGE_MORE = {"submit": "-terse", "list": "-xml -r", "cancel": "{0}", "release": "{0}"}
"""With what a command has to be called, where the configuration names only the program."""


def pilot_cloud(
    reactor: Any,
    settings: Settings,
    pool: PoolSettings,
    unit: BatchUnit,
    port: int,
    realm: str,
    folder: Path,
    limit: float,
) -> BatchCloud:
    """The cloud of one pool.

    folder: for its files where the pool names none; limit: seconds for one command.  Raises ConfigError.
    """
    return BatchCloud(
        pool.pool.name,
        pool.pool.prefix,
        unit,
        pilot_queue(reactor, pool.pool.name, unit, limit),
        realm,
        pool.pool.flavor,
        Path(unit.folder) if unit.folder else folder,
        partial(pilot_conf, _with_property(pool, unit), account(settings, port)),
        reactor.seconds,
        read_template(unit, pool.pool.name),
    )


def pilot_queue(reactor: Any, pool: str, unit: BatchUnit, limit: float) -> PilotQueue:
    """The batch system, by the commands that the pool's configuration names.  Raises ConfigError."""
    runner = Runner(reactor, limit)
    # adapters are imported when they are used: most masters need none
    if unit.system == "slurm":
        from asyncluster.schedulers.slurm.adapter import SlurmQueue
        from asyncluster.schedulers.slurm.commands import Commands as SlurmCommands

        return SlurmQueue(runner, _commands(SlurmCommands, pool, unit, SLURM, {}), user_name(os.geteuid()))
    if unit.system == "sge":
        from asyncluster.schedulers.sge.adapter import GridEngineQueue
        from asyncluster.schedulers.sge.commands import Commands as SgeCommands

        return GridEngineQueue(runner, _commands(SgeCommands, pool, unit, SGE, _SGE_MORE))
    if unit.system == "torque":
        from asyncluster.schedulers.torque.adapter import TorqueQueue
        from asyncluster.schedulers.torque.commands import Commands as TorqueCommands

        return TorqueQueue(runner, _commands(TorqueCommands, pool, unit, TORQUE, _TORQUE_MORE))
    raise ConfigError(f"[cloud] {pool}.config.system: pilots in {unit.system} are not there yet")


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


def _commands(kind: Any, pool: str, unit: BatchUnit, names: Mapping[str, str], more: Mapping[str, str]) -> Any:
    given = {}
    for what, name in names.items():
        text = getattr(unit, f"{what}_command").strip()
        if text:
            given[f"{name}_command"] = text if len(text.split()) > 1 or what not in more else f"{text} {more[what]}"
    try:
        return read_commands(kind, given, unit.system)
    except ValueError as error:
        raise ConfigError(f"[cloud] {pool}.config: {error}") from None
