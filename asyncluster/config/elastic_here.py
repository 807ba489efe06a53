"""What asyncluster.yaml names and this machine does not have: told as warnings, as it may come later, or by a mount.

Without a library and without a pool's userdata_file no master starts: those are faults, told by `master.clouds.unfit`.

Looks at files and modules; whether the text itself makes sense is decided in `elastic_explain.py`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from asyncluster.config.base_conf import Server
from asyncluster.config.clouds_yaml import unsaid
from asyncluster.config.cluster_conf import CLUSTERS
from asyncluster.config.elastic_values import Elastic, PoolSettings
from asyncluster.model.supply_options import AwsUnit, BatchUnit, CustomUnit, HostsUnit, LocalUnit, OpenStackUnit
from asyncluster.units import format_duration

BRIEF_LEASE = 30.0
"""Seconds: with less, a node that is well may take a busy moment of its master's for the end of it."""

BRIEF_WALLTIME = 120.0
"""Seconds: a pilot needs a part of them to begin and to end in order."""

LIBRARIES = {"aws": ("boto3", "boto3"), "openstack": ("openstack", "openstacksdk")}
"""What a kind of pool is asked by: as it is imported, and as it is called."""

_ORIGINAL = "dynamiccluster."  # its own classes, which ours stand for


def missing(elastic: Elastic) -> list[str]:
    """A sentence for each; paths below ~/ are whole already."""
    found = [*_commands(elastic), *_checker(elastic)]
    if elastic.pools and elastic.engine.lease < BRIEF_LEASE:
        found.append(
            f"[dynamic-cluster] lease: is {format_duration(elastic.engine.lease)}; nodes would end themselves when "
            f"their master is busy for a moment, so give it {format_duration(BRIEF_LEASE)} or more"
        )
    return [*found, *(text for settings in elastic.pools for text in _pool(settings))]


def missing_of(pools: Iterable[PoolSettings]) -> list[str]:
    """The same of the pools that are right in a file that is not; with what would be a fault if that were mended."""
    return [text for settings in pools for text in (*_pool(settings), *_userdata(settings))]


def without_library(settings: PoolSettings) -> str:
    """That a master with this pool could not start here, as what its cloud is asked by is not there; "" else."""
    return no_library(settings.pool.name, settings.pool.kind)


def no_library(pool: str, kind: str) -> str:
    """The same of a pool of that name and kind."""
    module, library = LIBRARIES.get(kind, ("", ""))
    if not module or importlib.util.find_spec(module) is not None:
        return ""
    return (
        f"[cloud] {pool}.type: {kind} needs {library}, which the Python that runs this does not have; "
        f"`pip install 'asyncluster[{kind}]'` installs it"
    )


def shut_out(elastic: Elastic, server: Server) -> list[str]:
    """A sentence where nodes of pools run on other machines, and the master lets in none but its own."""
    from_afar = [
        settings.pool.name
        for settings in elastic.pools
        if isinstance(settings.unit, CustomUnit | OpenStackUnit | AwsUnit | BatchUnit)
    ]
    if elastic.cluster.kind != "asyncluster" or not from_afar:
        return []
    return [
        f"[server] {key}: lets nobody in but this machine, so nodes of {', '.join(from_afar)} on other machines could "
        f"not register and would be ended after max_launch_time; {mend}"
        for key, mend in shut_doors(server).items()
    ]


def shut_doors(server: Server) -> dict[str, str]:
    """The keys of [server] by which the master lets in none but its own machine, each with what mends it."""
    found = {}
    if all(network.is_loopback for network in server.subnets):
        found["subnets"] = "add the networks that they come from"
    if server.listen and ip_address(server.listen).is_loopback:
        found["listen"] = "leave it out, or name an address they can reach"
    return found


def _commands(elastic: Elastic) -> Iterator[str]:
    """Programs that the file names; of those that it does not name, some are not needed everywhere."""
    engine, cluster = elastic.engine, elastic.cluster
    for name in ("post_vm_provision", "post_vm_destroy"):
        yield from _program(f"[dynamic-cluster] {name}_command", getattr(engine.hooks, name))
    for name in ("post_add_node", "post_remove_node"):
        yield from _program(f"[cluster] config.{name}_command", getattr(engine.hooks, name))
    usual = CLUSTERS[cluster.kind]()
    for name, text in cluster.commands.items():
        if text != getattr(usual, name):
            yield from _program(f"[cluster] config.{name}", text)


def _program(place: str, command: str) -> Iterator[str]:
    words = command.split()
    if words and shutil.which(words[0]) is None:
        what = "cannot be executed by this account" if os.path.exists(words[0]) else "does not exist here"
        yield f"{place}: {words[0]} {what}"


def _checker(elastic: Elastic) -> Iterator[str]:
    name = elastic.engine.check.plugin
    if name:
        yield from _module("[dynamic-cluster] config-checker.plugin.name", name.rpartition(".")[0])


def _module(place: str, module: str) -> Iterator[str]:
    if f"{module}.".startswith(_ORIGINAL):
        return
    try:
        known = importlib.util.find_spec(module) is not None
    except Exception:  # whatever a package of the site does when it is looked at
        known = False
    if not known:
        yield f"{place}: there is no module {module} for the Python that runs this"


def _pool(settings: PoolSettings) -> Iterator[str]:
    unit, where = settings.unit, f"[cloud] {settings.pool.name}.config"
    if 0 < settings.pool.lifetime < BRIEF_WALLTIME:
        yield (
            f"{where}.walltime: is {format_duration(settings.pool.lifetime)}, of which little is left when a node has "
            "begun and has to end in order"
        )
    if isinstance(unit, LocalUnit):
        yield from _program(f"{where}.interpreter", unit.interpreter)
    elif isinstance(unit, BatchUnit):
        yield from _file(f"{where}.template", unit.template)
        for name in ("submit", "list", "cancel", "release"):
            yield from _program(f"{where}.{name}_command", getattr(unit, f"{name}_command"))
    elif isinstance(unit, HostsUnit):
        for name in ("key", "known_hosts"):
            yield from _file(f"{where}.{name}", getattr(unit, name))
        yield from _program(f"{where}.ssh_command", unit.ssh_command)
    if isinstance(unit, OpenStackUnit):
        yield from unsaid(where, unit)
    if isinstance(unit, CustomUnit):
        yield from _module(f"[cloud] {settings.pool.name}.type", settings.pool.kind.partition(":")[0])


def _userdata(settings: PoolSettings) -> Iterator[str]:
    if isinstance(settings.unit, CustomUnit | OpenStackUnit | AwsUnit):
        yield from _file(f"[cloud] {settings.pool.name}.config.userdata_file", settings.unit.userdata_file)


def _file(place: str, path: str) -> Iterator[str]:
    if path and not os.access(path, os.R_OK):
        yield f"{place}: {path} {'cannot be read' if os.path.exists(path) else 'does not exist'} here"
