"""What the elastic engine is told: the sections `dynamic-cluster` and `cluster` of asyncluster.yaml, as plain values.

Durations are seconds.  Defaults are those of the seed's documentation; the file's own are made from the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

NO_COMMANDS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class CheckOptions:
    """How a node that its cloud calls active is found to be set up.

    port: of the node, that has to listen, 0 = not asked; plugin: dotted name of a class that gives IReadinessCheck,
    "" = none; arguments: given to that class by name, texts or what masks one.  Neither: what is active is ready.
    """

    port: int = 0
    plugin: str = ""
    arguments: Mapping[str, Any] = NO_COMMANDS


@attrs.frozen
class HookOptions:
    """Commands of the site at events of a node; "" = none.

    Their placeholders are {0} host name, {1} address, and for the first two {2} name of the instance.
    time_limit: seconds for one run; retries: how often one that failed is run again.
    """

    post_vm_provision: str = ""
    post_vm_destroy: str = ""
    post_add_node: str = ""
    post_remove_node: str = ""
    time_limit: float = 60.0
    retries: int = 2


@attrs.frozen
class EngineOptions:
    """How the engine decides and how often.

    max_idle: a node without work is given up after so long; max_down: one in an error state; max_launch: one that is
    not of use yet; cluster_interval, cloud_interval: between two looks at the scheduler, at the clouds;
    provision_interval: between two plans that may launch; workers: calls to one pool's cloud at a time; auto: plan
    by itself; passive: launch only what was asked for from outside; lease: a node ends itself when it has not heard of
    its master for so long; end_with_master: a master that is stopped ends all its nodes.
    """

    max_idle: float = 600.0
    max_down: float = 480.0
    max_launch: float = 1200.0
    cluster_interval: float = 10.0
    cloud_interval: float = 20.0
    provision_interval: float = 60.0
    workers: int = 8
    auto: bool = True
    passive: bool = False
    lease: float = 1800.0
    end_with_master: bool = False
    check: CheckOptions = CheckOptions()
    hooks: HookOptions = HookOptions()


@attrs.frozen
class ClusterOptions:
    """Whose queue is served, and how that scheduler is spoken to.

    kind: "asyncluster" (the own queue), "torque", "sge" or "slurm"; queues: those that count, () = all; shown: queued
    jobs that are shown at most; commands: by their key in the file, such as "qstat_command"; time_limit: seconds for
    one command.
    """

    kind: str = "asyncluster"
    queues: tuple[str, ...] = ()
    shown: int = 30
    commands: Mapping[str, str] = NO_COMMANDS
    time_limit: float = 30.0
