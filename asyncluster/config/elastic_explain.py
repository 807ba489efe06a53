"""From the text of asyncluster.yaml to its values, or to all of its faults at once.

Each fault has file, line, section, key, what is wrong and what would be right.  Values of secrets, and of keys it does
not know, never get into a message.  Knows no files: the text comes in, its name (`origin`) is only repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

import attrs

from asyncluster.config.cluster_conf import CLUSTERS, Cluster
from asyncluster.config.elastic_conf import (
    AdminServer,
    DynamicCluster,
    Graphite,
    Logging,
    Plugin,
    PluginChecker,
    PortChecker,
)
from asyncluster.config.elastic_parts import SECRET_WORD, Checking
from asyncluster.config.elastic_pools import pools
from asyncluster.config.elastic_section import keys
from asyncluster.config.elastic_values import Elastic, LogSettings, PluginSettings, PoolSettings
from asyncluster.config.explain import ConfigFaultsError
from asyncluster.config.fields import Secret
from asyncluster.config.ini import Fault
from asyncluster.config.yaml_text import YamlText
from asyncluster.model.elastic_options import CheckOptions, ClusterOptions, EngineOptions, HookOptions

SECTIONS = ("dynamic-cluster", "cluster", "cloud", "plugins", "logging")
GRAPHITE = re.compile(r"(^|\.)GraphiteReporter$")


@attrs.frozen
class Findings:
    """What a text gave: values where there are no faults; in any case whether there are secrets in it, and the pools
    that are right."""

    elastic: Elastic | None
    faults: tuple[Fault, ...]
    secrets: bool
    pools: tuple[PoolSettings, ...] = ()


def loads(text: str, origin: str) -> Elastic:
    """Values from the text of a configuration; raises ConfigFaultsError, with `faults`, that names all of them."""
    findings = examine(text, origin)
    if findings.elastic is None:
        raise ConfigFaultsError(findings.faults)
    return findings.elastic


def examine(text: str, origin: str) -> Findings:
    """As `loads`, but tells of faults instead of raising."""
    reading = YamlText(origin, text)
    checking = Checking(reading)
    top = {name: value for name, value in reading.values.items() if value is not None}
    checking.unknown((), top, SECTIONS, "section")
    engine, port = _engine(checking, top.get("dynamic-cluster"))
    cluster, shape = _cluster(checking, top.get("cluster"))
    found = pools(checking, top.get("cloud"))
    plugins = _plugins(checking, top.get("plugins"))
    logging = _logging(checking, top.get("logging"))
    secrets = _has_secrets(reading, text)
    if checking.faults:
        ordered = sorted(set(checking.faults), key=lambda fault: (fault.line or 10**9, fault.section, fault.key))
        return Findings(None, tuple(ordered), secrets, found)
    hooks = attrs.evolve(
        engine.hooks, post_add_node=shape.post_add_node_command, post_remove_node=shape.post_remove_node_command
    )
    elastic = Elastic(
        engine=attrs.evolve(engine, hooks=hooks),
        cluster=cluster,
        pools=found,
        plugins=plugins,
        logging=logging,
        admin_port=port,
        origin=origin,
        warnings=tuple(_warnings(cluster, found)),
    )
    return Findings(elastic, (), secrets, found)


def _engine(checking: Checking, value: object) -> tuple[EngineOptions, int]:
    path = ("dynamic-cluster",)
    values = checking.mapping(path, value)
    part = checking.part(path, values, DynamicCluster, ("admin-server", "config-checker"))
    place = (*path, "admin-server")
    server = checking.part(place, checking.mapping(place, values.get("admin-server")), AdminServer)
    check = _checker(checking, (*path, "config-checker"), values.get("config-checker"))
    if part is None or server is None:
        return EngineOptions(), 0
    options = EngineOptions(
        max_idle=part.max_idle_time,
        max_down=part.max_down_time,
        max_launch=part.max_launch_time,
        cluster_interval=part.cluster_poller_interval,
        cloud_interval=part.cloud_poller_interval,
        provision_interval=part.auto_provision_interval,
        workers=part.worker_number,
        auto=part.auto_mode,
        passive=part.passive_mode,
        lease=part.lease,
        end_with_master=part.end_with_master,
        check=check,
        hooks=HookOptions(
            post_vm_provision=part.post_vm_provision_command,
            post_vm_destroy=part.post_vm_destroy_command,
            time_limit=part.hook_time_limit,
            retries=part.hook_retries,
        ),
    )
    return options, server.port


def _checker(checking: Checking, path: tuple[str, ...], value: object) -> CheckOptions:
    values = checking.mapping(path, value)
    checking.unknown(path, values, ("port", "plugin"))
    port = checking.part((*path, "port"), checking.mapping((*path, "port"), values.get("port")), PortChecker)
    place = (*path, "plugin")
    given = checking.mapping(place, values.get("plugin"))
    plugin = checking.part(place, given, PluginChecker, ("arguments",))
    arguments = checking.arguments((*place, "arguments"), given.get("arguments"))
    return CheckOptions(
        port=0 if port is None else port.number,
        plugin="" if plugin is None else plugin.name,
        arguments=arguments,
    )


def _cluster(checking: Checking, value: object) -> tuple[ClusterOptions, Cluster]:
    path = ("cluster",)
    values = checking.mapping(path, value)
    checking.unknown(path, values, ("type", "config"))
    kind = str(values.get("type", "asyncluster"))
    if kind not in CLUSTERS:
        near = get_close_matches(kind.lower(), CLUSTERS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CLUSTERS)}"
        checking.fault((*path, "type"), f"there is no such type; {hint}")
        return ClusterOptions(), Cluster()
    place = (*path, "config")
    part = checking.part(place, checking.mapping(place, values.get("config")), CLUSTERS[kind])
    if part is None:
        return ClusterOptions(), Cluster()
    commands = {name: getattr(part, name) for name in keys(CLUSTERS[kind]) if name not in keys(Cluster)}
    options = ClusterOptions(
        kind=kind,
        queues=part.queue_to_monitor,
        shown=part.queued_job_number_to_display,
        commands=commands,
        time_limit=part.command_time_limit,
    )
    return options, part


def _plugins(checking: Checking, value: object) -> tuple[PluginSettings, ...]:
    found = []
    for name, each in checking.mapping(("plugins",), value).items():
        path = ("plugins", name)
        values = checking.mapping(path, each)
        part = checking.part(path, values, Plugin, ("arguments",))
        if part is None:
            continue
        place = (*path, "arguments")
        arguments: Mapping[str, str | Secret]
        if GRAPHITE.search(part.class_name):
            graphite = checking.part(place, checking.mapping(place, values.get("arguments")), Graphite)
            arguments = {} if graphite is None else {key: str(text) for key, text in graphite.model_dump().items()}
        else:
            arguments = checking.arguments(place, values.get("arguments"))
        if not part.class_name:
            checking.fault((*path, "class_name"), "is missing; it names the class of the plugin")
        found.append(PluginSettings(name, part.class_name, arguments))
    return tuple(found)


def _logging(checking: Checking, value: object) -> LogSettings:
    part = checking.part(("logging",), checking.mapping(("logging",), value), Logging)
    if part is None:
        return LogSettings()
    return LogSettings(part.log_level, part.log_location, part.log_format, part.log_max_size)


_FILTERED = frozenset({"qconf_sp_command"})
"""Commands whose filters are applied; those of others choose what the master chooses by itself."""

_FILTERS = re.compile(r"[|`].*", re.DOTALL)
_PATH = re.compile(r"(?<![^\s`])/\S*/")  # where a program of a pipeline is


def _filters(text: str) -> str:
    """What stands behind the program and its arguments in a command: filters, or a command in backticks."""
    found = _FILTERS.search(text)
    return " ".join(_PATH.sub("", found.group()).replace("`", " ` ").split()) if found else ""


def _unused_filters(cluster: ClusterOptions) -> list[str]:
    """Of commands whose pipelines are a site's own: the master reads whole answers, and picks from them by itself."""
    usual = CLUSTERS[cluster.kind]()
    said = []
    for name, text in cluster.commands.items():
        filters = _filters(text)
        if filters and name not in _FILTERED and _filters(getattr(usual, name)) != filters:
            said.append(
                f"[cluster] config.{name}: `{filters.strip('` ')}` is not applied: the master runs what stands before "
                "it, and picks what it needs from the whole answer; put it into a script, and name that, if needed"
            )
    return said


def _warnings(cluster: ClusterOptions, found: tuple[PoolSettings, ...]) -> list[str]:
    said = _unused_filters(cluster)
    for each in found:
        pool = each.pool
        if cluster.kind == "sge" and pool.reservation.property:
            said.append(f"[cloud] {pool.name}.reservation.property: has no meaning for SGE and is not used")
        if cluster.queues and pool.reservation.queue and pool.reservation.queue not in cluster.queues:
            said.append(
                f"[cloud] {pool.name}.reservation.queue: {pool.reservation.queue} is not among queue_to_monitor, "
                "so the pool will never be needed"
            )
    return said


def _has_secrets(reading: YamlText, text: str) -> bool:
    """Whether others may not see the text.  In doubt, as in a text that could not be parsed, they may not."""
    if reading.faults and SECRET_WORD.search(text):
        return True
    return _holds_secret(reading.values)


def _holds_secret(value: object) -> bool:
    if isinstance(value, dict):
        return any(
            (bool(each) and SECRET_WORD.search(str(name)) is not None) or _holds_secret(each)
            for name, each in value.items()
        )
    return isinstance(value, list) and any(map(_holds_secret, value))
