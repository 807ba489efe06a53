"""Nodes from a batch system for a personal master: a few options become the asyncluster.yaml that lies beside its conf.

Whoever wants more than these options edits that file, or writes one for a master of the site.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from asyncluster.errors import ConfigError
from asyncluster.personal.files import LOOPBACK
from asyncluster.personal.options import Spelling, argument, option
from asyncluster.personal.spawn import environment

SYSTEMS = ("slurm", "sge", "torque")

MOST = 10
"""Nodes, where nobody says how many there may be."""

PROVISION = "5s"
"""Between two decisions: a person's own master has few nodes to think of."""

LOOK = "10s"
"""Between two looks at the person's own batch jobs."""

IDLE = "2m"
"""How long a node without work is kept, where nobody says."""

_HEAD = """\
# Written by `asyncluster`: a pool of nodes from a batch system.
# `asyncluster up --batch` with other options writes it anew; all keys are explained in docs/elastic-configuration.md.

"""


def _lines(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen
class Batch:
    """What a personal master asks a batch system for, one node a batch job; "" and 0: the batch system's own default.

    system: one of SYSTEMS; queue: Slurm's partition; account: SGE's project; cores, gpus: of each node; memory: of
    each node, as "16 GiB" or bytes; walltime: as "02:00:00", "2h" or seconds; max_nodes: at a time, queued ones
    included; max_idle: how long a node without work is kept; environment: SGE's parallel environment, needed for
    more cores than one; directives: further ones, without their #SBATCH, #$ or #PBS; setup: shell lines before the
    node starts; interpreter: the Python there, "" = this one; master: addresses of this machine that nodes are to
    try, () = all.
    """

    system: str
    queue: str = ""
    account: str = ""
    cores: int = 1
    memory: str | int = ""
    walltime: str | float = ""
    max_nodes: int = MOST
    gpus: int = 0
    max_idle: str | float = IDLE
    environment: str = ""
    directives: tuple[str, ...] = attrs.field(default=(), converter=_lines)
    setup: tuple[str, ...] = attrs.field(default=(), converter=_lines)
    interpreter: str = ""
    master: tuple[str, ...] = attrs.field(default=(), converter=_lines)

    def __attrs_post_init__(self) -> None:
        if self.system not in SYSTEMS:
            raise ValueError(f"there are no pilots in {self.system!r}; there are: {', '.join(SYSTEMS)}")


def elastic_text(batch: Batch, folder: Path | None = None, lease: str = "") -> str:
    """The asyncluster.yaml.

    folder: that compute nodes see too, None for one in the master's state folder; lease: how long a node goes on
    without its master, as the file has it, "" for the default.
    """
    found = environment(os.environ, {}).get("PYTHONPATH", "")
    setup = [f"export PYTHONPATH={shlex.quote(found)}"] if found else []
    config: dict[str, object] = {
        "system": batch.system,
        "queue": batch.queue,
        "account": batch.account,
        "cores": batch.cores,
        "gpus": batch.gpus,
        "memory": str(batch.memory),
        "walltime": str(batch.walltime),
        "environment": batch.environment,
        "directives": list(batch.directives),
        "setup": [*setup, *batch.setup],
        "interpreter": batch.interpreter or sys.executable,
        "master": list(batch.master),
        "folder": "" if folder is None else str(folder),
        "give_up_after": lease,
    }
    engine = {
        "max_idle_time": str(batch.max_idle),
        "auto_provision_interval": PROVISION,
        "cloud_poller_interval": LOOK,
        "end_with_master": True,
        **({"lease": lease} if lease else {}),
    }
    lines = ["dynamic-cluster:", *_keys(engine, 2), "", "cluster:", "  type: asyncluster", "", "cloud:"]
    lines += [f"  {batch.system}:", "    type: batch", "    quantity:", f"      max: {batch.max_nodes}"]
    given = {key: value for key, value in config.items() if value not in ("", 0, [])}
    lines += ["    config:", *_keys(given, 6)]
    return _HEAD + "\n".join(lines) + "\n"


def _keys(values: dict[str, object], indent: int) -> list[str]:
    """YAML is a superset of JSON."""
    return [f"{' ' * indent}{key}: {json.dumps(value)}" for key, value in values.items()]


def check(text: str, spelled: Spelling = argument) -> None:
    """Raise ConfigError, with what is wrong by option, for options that make no sense.  spelled: as these are named."""
    from asyncluster.config.elastic_explain import examine  # with the models' library, which takes a while
    from asyncluster.config.explain import ConfigFaultsError
    from asyncluster.config.ini import Fault

    findings = examine(text, "the batch system's options")
    if findings.elastic is None:
        found = ((fault, option(fault.key)) for fault in findings.faults)
        raise ConfigFaultsError(tuple(Fault(spelled(name), fault.problem) if name else fault for fault, name in found))


def subnets() -> str:
    """From where nodes come if nobody says: this machine, and the networks that it is in."""
    from asyncluster.personal.networks import attached

    inner: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = attached()
    if not inner:
        raise ConfigError(
            "this machine is in no network by which compute nodes could reach it; `ip addr` shows its addresses, and "
            "--subnets says from where nodes may come"
        )
    return ", ".join([LOOPBACK, *map(str, inner)])
