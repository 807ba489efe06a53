"""Dynamic Torque's configuration as an asyncluster.yaml: `asyncluster config import`.

Its zones (`node_location_property`) become pools of the default tenant, the home zone's for jobs that name none, each
further tenant of cloud_resources.conf a pool, or one a zone; static worker nodes become the minimum of a pool,
dynamic ones what the maximum has beyond it.
What has no place any more is told in comments, never dropped in silence.  Knows no files: texts come in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from configparser import Error as IniError
from configparser import RawConfigParser
from typing import Any

import attrs
import yaml

from asyncluster.errors import ConfigError
from asyncluster.units import clip

COMMANDS = (
    "qstat_command",
    "pbsnodes_command",
    "add_node_command",
    "check_node_command",
    "remove_node_command",
    "set_node_command",
    "diagnose_p_command",
    "showres_command",
    "setres_command",
    "releaseres_command",
    "delete_job_command",
    "signal_job_command",
)
_TIMES = {
    "max_idle_time": "max_idle_time",
    "max_down_time": "max_down_time",
    "max_inaccessible_time": "max_launch_time",
    "job_poller_interval": "cluster_poller_interval",
    "cloud_poller_interval": "cloud_poller_interval",
}
_GONE = {
    "cloud_private_key_location": "no instance is logged in to; a `config-checker` tells when it is set up",
    "cloud_shell_user": "no instance is logged in to; a `config-checker` tells when it is set up",
    "cloud_vm_init_finish_file": "a `config-checker` (port, or a class) tells when an instance is set up",
    "cloud_vm_init_file": "it was deprecated; the user data do it",
    "persistent_file_location": "the nodes are in the master's database",
    "log_stdout": "the master logs as its asyncluster.conf says",
    "default_location": "each pool has its zone; priorities say which goes first",
    "has_volume": "user data may say it",
    "pool_min_num": "passive mode takes `quantity:` of the pools",
    "pool_max_num": "passive mode takes `quantity:` of the pools",
    "number_of_cores": "the flavor says it",
    "max_number_cores_per_vm": "the flavor says it",
}
_LEVELS = {"CRITICAL": 0, "ERROR": 0, "WARNING": 1, "INFO": 2, "DEBUG": 3, "VERBOSE": 3}

Section = Mapping[str, str]


@attrs.define
class _Import:
    """The result as it grows."""

    notes: list[str] = attrs.field(factory=list)
    used: set[tuple[str, str]] = attrs.field(factory=set)


def import_torque(text: str, origin: str, more: str = "", more_origin: str = "") -> str:
    """The YAML for a dynamic_torque.conf and its cloud_resources.conf.

    Raises ConfigError for what is no such file, or has numbers that are none.
    """
    main = _read(text, origin)
    tenants = _read(more, more_origin) if more else {}
    if not {"global", "cloud", "torque"} & set(main):
        raise ConfigError(
            f"{origin}: is no dynamic_torque.conf: it has none of the sections [global], [cloud], [torque]"
        )
    work = _Import()
    values: dict[str, dict[str, Any]] = {
        "dynamic-cluster": _engine(main.get("global", {}), main.get("cloud", {}), work),
        "cluster": _cluster(main.get("global", {}), main.get("torque", {}), work),
        "cloud": _pools(main, tenants, more_origin, work),
        "logging": _logging(main.get("logging", {}), work),
    }
    if main.get("cloud", {}).get("cloud_resources_config") and not more:
        work.notes.append(
            f"[cloud] cloud_resources_config names {main['cloud']['cloud_resources_config']}: give that file, too, "
            "and its tenants become pools"
        )
    _leftover(main, work, {"cloud_resources_config", "node_location_property", "node_property"})
    secret = any("password" in pool["config"] for pool in values["cloud"].values())
    head = f"# Imported from {origin}" + (f" and {more_origin}" if more else "") + "."
    head += "  It holds passwords: chmod 600.\n" if secret else "\n"
    notes = "".join(f"# - {note}\n" for note in dict.fromkeys(work.notes))
    body = yaml.safe_dump(
        {name: part for name, part in values.items() if part}, sort_keys=False, default_flow_style=False, width=10_000
    )
    return head + (f"# What has no place here, or to look at:\n{notes}" if notes else "") + body


def _read(text: str, origin: str) -> dict[str, dict[str, str]]:
    parser = RawConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text, origin)
    except IniError as error:
        line = getattr(error, "lineno", None) or next((number for number, _ in getattr(error, "errors", ())), 0)
        raise ConfigError(f"{origin}:{line}: is no `key: value` below a [section]") from None
    return {name: {key: value.strip() for key, value in parser.items(name)} for name in parser.sections()}


def _engine(common: Section, cloud: Section, work: _Import) -> dict[str, object]:
    found: dict[str, object] = {}
    for old, new in _TIMES.items():
        if common.get(old):
            found[new] = _number(common[old], "global", old)
    for name in ("post_vm_provision_command", "post_vm_destroy_command"):
        if common.get(name):
            found[name] = common[name]
    if common.get("job_mode") == "passive":
        found["passive_mode"] = True
    work.used |= {
        ("global", name) for name in (*_TIMES, "post_vm_provision_command", "post_vm_destroy_command", "job_mode")
    }
    return found


def _cluster(common: Section, torque: Section, work: _Import) -> dict[str, object]:
    config: dict[str, object] = {}
    if torque.get("torque_queue_to_monitor"):
        config["queue_to_monitor"] = _split(torque["torque_queue_to_monitor"])
    shown = torque.get("max_number_of_jobs", "")
    if shown and _number(shown, "torque", "max_number_of_jobs", negative=True) > 0:
        config["queued_job_number_to_display"] = int(shown)
        work.notes.append("[torque] max_number_of_jobs: all jobs are counted now; so many are shown")
    for name in ("post_add_node_command", "post_remove_node_command", *COMMANDS):
        if common.get(name):
            config[name] = _command(name, common[name], work)
    work.used |= {("global", name) for name in ("post_add_node_command", "post_remove_node_command", *COMMANDS)}
    work.used |= {("torque", "torque_queue_to_monitor"), ("torque", "max_number_of_jobs")}
    return {"type": "torque", **({"config": config} if config else {})}


def _command(name: str, text: str, work: _Import) -> str:
    """Two commands have other arguments now."""
    if name == "setres_command" and "{2}" not in text:
        work.notes.append(
            "[global] setres_command: has the option -a or -q as {0}, what it is for as {1}, the node as {2} now"
        )
        return re.sub(r"\s-a\s+\{0\}\s+\{1\}", " {0} {1} {2}", text)
    if name == "releaseres_command" and "{1}" not in text and "| awk" in text:
        return text.replace("| awk", "| grep {1} | awk")
    return text


def _pools(
    main: Mapping[str, Section], tenants: Mapping[str, Section], more_origin: str, work: _Import
) -> dict[str, dict[str, Any]]:
    cloud, torque = main.get("cloud", {}), main.get("torque", {})
    zones = dict(item.split(":", 1) for item in _split(torque.get("node_location_property", "")) if ":" in item)
    found = _tenant("default", cloud, cloud, zones, "[cloud]", work, 0) if cloud else {}
    if not cloud and not tenants:
        work.notes.append("[cloud]: is not there, so there is no pool")
    for rank, (name, own) in enumerate(tenants.items(), start=1):
        missing = [key for key in ("cloud_username", "cloud_password", "cloud_tenant_name") if not own.get(key)]
        if missing:
            work.notes.append(f"[{name}] of {more_origin}: left out, as before, since it has no {missing[0]}")
            continue
        found |= _tenant(_plain(name), own, cloud, zones, f"[{name}]", work, rank)
    word = torque.get("node_property", "")
    if word and len(zones) > 1:
        work.notes.append(
            "[torque] node_property, node_location_property: a pool has one property; nodes of the zone in [cloud] "
            f"cloud_availability_zone bear {word}, for jobs that name no zone, those of the others their zone's word, "
            f"for jobs that ask for that and not for {word}"
        )
    for pool in found.values():
        if word:
            pool["reservation"].setdefault("property", word)
    work.used |= {
        ("cloud", key)
        for key in (
            *_FIELDS,
            "static_worker_nodes",
            "number_of_dynamic_worker_nodes",
            "worker_node_flavors",
            "cloud_type",
        )
    }
    return found


_FIELDS = {
    "cloud_username": "username",
    "cloud_password": "password",
    "cloud_tenant_name": "project",
    "cloud_image_uuid": "image_uuid",
    "worker_node_flavor": "flavor",
    "cloud_auth_url": "auth_url",
    "cloud_key_name": "key_name",
    "cloud_security_groups": "security_groups",
    "cloud_availability_zone": "availability_zone",
    "cloud_vm_prefix": "instance_name_prefix",
    "cloud_vm_userdata_file": "userdata_file",
}


def _tenant(
    name: str, own: Section, base: Section, zones: Mapping[str, str], where: str, work: _Import, rank: int
) -> dict[str, dict[str, Any]]:
    """The pools of one tenant: one for each zone that it has nodes in, or may have."""

    def get(key: str) -> str:
        return own.get(key) or base.get(key, "")

    home = get("cloud_availability_zone")
    local = {zone: place for place, zone in zones.items()}
    static = _static(own.get("static_worker_nodes", ""), local.get(home, ""), where)
    dynamic = _number(
        own.get("number_of_dynamic_worker_nodes", "") or ("2" if own is base else "1"),
        where,
        "number_of_dynamic_worker_nodes",
    )
    flavor = get("worker_node_flavor") or _split(get("worker_node_flavors") or "m1.small")[0]
    places = list(zones) if own is base and zones else ([*static] or [local.get(home, "")])
    found: dict[str, dict[str, Any]] = {}
    for number, place in enumerate(places):
        pool = name if len(places) == 1 else f"{name}-{_plain(place)}"
        config: dict[str, object] = {}
        for old, new in _FIELDS.items():
            if value := get(old):
                config[new] = _split(value) if new == "security_groups" else value
        config["flavor"] = flavor
        config["availability_zone"] = zones.get(place, home) or None
        prefix = str(config.get("instance_name_prefix", "pbsdynwn-")).rstrip("-")
        config["instance_name_prefix"] = (
            prefix if not rank and len(places) == 1 else f"{prefix}-{pool}".replace("_", "-")
        )
        least = static.get(place, 0)
        reservation: dict[str, object] = {}
        if own.get("account_string"):
            kind = "queue" if own.get("reservation_type") == "queue" else "account"
            reservation[kind] = own["account_string"]
        if len(zones) > 1 and own is base and place and zones[place] != home:
            reservation["property"] = place
        elif own is not base and own.get("node_property"):
            reservation["property"] = own["node_property"]
        found[pool] = {
            "type": "openstack",
            "reservation": reservation,
            "quantity": {"min": least, "max": least + dynamic},
            "priority": rank * 10 + (0 if zones.get(place, home) == home else number + 1),
            "config": {key: value for key, value in config.items() if value},
        }
    if len(places) > 1 and dynamic:
        work.notes.append(
            f"{where} number_of_dynamic_worker_nodes: {dynamic} were shared by all zones; each zone's pool may have "
            "as many now, so look at `quantity: max`"
        )
    return found


def _static(text: str, home: str, where: str) -> dict[str, int]:
    """Nodes that stay, by zone: "3", "2:MEL+1:MON"."""
    found: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split("+"))):
        count, _, place = item.partition(":")
        found[place or home] = found.get(place or home, 0) + _number(count, where, "static_worker_nodes")
    return found


def _logging(section: Section, work: _Import) -> dict[str, object]:
    found: dict[str, object] = {}
    if section.get("log_level"):
        found["log_level"] = _LEVELS.get(section["log_level"].upper(), 2)
    for name in ("log_location", "log_format"):
        if section.get(name):
            found[name] = section[name]
    if section.get("log_max_size"):
        found["log_max_size"] = _number(section["log_max_size"], "logging", "log_max_size")
    work.used |= {("logging", name) for name in ("log_level", "log_location", "log_format", "log_max_size")}
    return found


def _leftover(main: Mapping[str, Section], work: _Import, known: set[str]) -> None:
    for section, values in main.items():
        for name, value in values.items():
            if value and name not in known and (section, name) not in work.used:
                work.notes.append(f"[{section}] {name}: {_GONE.get(name, 'is not known, and left out')}")


def _number(text: str, section: str, key: str, *, negative: bool = False) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text.strip()) or (negative and re.fullmatch(r"-[0-9]{1,9}", text.strip())):
        return int(text)
    raise ConfigError(f"[{section.strip('[]')}] {key}: {clip(text)} is not a whole number")


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-").lower() or "pool"
