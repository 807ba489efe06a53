"""Which adapter speaks with which batch system, and by which commands: for its queue, and for pilots in it.

Adapters are imported when they are used: most masters need none, or one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from asyncluster.config.elastic_values import Elastic
from asyncluster.errors import ConfigError
from asyncluster.interfaces import IScheduler
from asyncluster.model.elastic_options import ClusterOptions
from asyncluster.model.supply_options import BatchUnit
from asyncluster.people import user_name
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.template import read_commands
from asyncluster.supply.batch import PilotQueue

if TYPE_CHECKING:
    from asyncluster.schedulers.torque.site import Here

_log = Logger()

_NAMES = {
    "slurm": {"submit": "sbatch", "list": "squeue", "cancel": "scancel", "release": "scontrol"},
    "sge": {"submit": "qsub", "list": "qstat", "cancel": "cancel", "release": "qrls"},
    "torque": {"submit": "qsub", "list": "qstat", "cancel": "cancel", "release": "qrls"},
}
"""What the commands of a pool's configuration are called by the adapters."""

_MORE = {
    "slurm": {},
    "sge": {"submit": "-terse", "list": "-xml -r", "cancel": "{0}", "release": "{0}"},
    "torque": {"list": "-x -t", "cancel": "{0}", "release": "{0}"},
}
"""With what a command has to be called, where the configuration names only the program."""


def make_scheduler(reactor: Any, elastic: Elastic) -> IScheduler:
    """Somebody else's queue, by the commands that the file names.  Raises ConfigError."""
    options = elastic.cluster
    runner = Runner(reactor, options.time_limit)
    if options.kind == "slurm":
        from asyncluster.schedulers.slurm.adapter import Slurm
        from asyncluster.schedulers.slurm.commands import Commands as SlurmCommands

        return Slurm(runner, _read(SlurmCommands, options.commands, "slurm", "[cluster] config"))
    if options.kind == "sge":
        from asyncluster.schedulers.sge.adapter import GridEngine
        from asyncluster.schedulers.sge.commands import Commands as SgeCommands

        commands = _read(SgeCommands, options.commands, "sge", "[cluster] config")
        # they cost a second listing
        accounts = any(settings.pool.reservation.account for settings in elastic.pools)
        return GridEngine(runner, commands, with_accounts=accounts)
    if options.kind == "torque":
        from asyncluster.schedulers.torque.adapter import Torque

        here = _torque(options.commands)
        if not here.maui:
            _log.info("Maui's programs are not here: nodes are kept for queues and accounts by properties alone")
        return Torque(runner, here.commands, here.maui)
    raise ConfigError(f"cluster.type: {options.kind} is not served by this release yet")


def pilot_queue(reactor: Any, pool: str, unit: BatchUnit, cluster: ClusterOptions) -> PilotQueue:
    """Where a pool's pilots are handed in, by its own commands before those of a cluster that is the same system.

    Raises ConfigError.
    """
    runner = Runner(reactor, cluster.time_limit)
    system, where = unit.system, f"[cloud] {pool}.config"
    commands = {**(cluster.commands if cluster.kind == system else {}), **pilot_commands(unit)}
    if system == "slurm":
        from asyncluster.schedulers.slurm.adapter import SlurmQueue
        from asyncluster.schedulers.slurm.commands import Commands as SlurmCommands

        return SlurmQueue(runner, _read(SlurmCommands, commands, system, where), user_name(os.geteuid()))
    if system == "sge":
        from asyncluster.schedulers.sge.adapter import GridEngineQueue
        from asyncluster.schedulers.sge.commands import Commands as SgeCommands

        return GridEngineQueue(runner, _read(SgeCommands, commands, system, where))
    if system == "torque":
        from asyncluster.schedulers.torque.adapter import TorqueQueue

        return TorqueQueue(runner, _torque(commands).commands)
    raise ConfigError(f"{where}.system: pilots in {system} are not there yet")


def pilot_commands(unit: BatchUnit) -> dict[str, str]:
    """What a pool says of commands, by the adapters' names; a program alone gets the arguments that it needs."""
    named, more = _NAMES.get(unit.system, {}), _MORE.get(unit.system, {})
    given = {}
    for what, name in named.items():
        text = getattr(unit, f"{what}_command").strip()
        if text:
            given[f"{name}_command"] = text if len(text.split()) > 1 or what not in more else f"{text} {more[what]}"
    return given


def _torque(commands: Mapping[str, str]) -> Here:
    from asyncluster.schedulers.torque.site import look

    here = look(commands)
    if here.note:
        _log.info("Torque: {note}", note=here.note)
    return here


def _read(kind: Any, commands: Mapping[str, str], system: str, where: str) -> Any:
    try:
        return read_commands(kind, commands, system)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
