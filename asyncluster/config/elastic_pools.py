"""The section `cloud` of asyncluster.yaml: pools by name, each of a type, and what must hold between their keys."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar, cast

import attrs

from asyncluster.config.aws_rules import check_aws
from asyncluster.config.cloud_conf import (
    CUSTOM,
    POOLS,
    Aws,
    Batch,
    Custom,
    Hosts,
    Local,
    Machines,
    Node,
    OpenStack,
    PoolConfig,
    shape_of,
)
from asyncluster.config.elastic_conf import PoolPart, Quantity, Reservation
from asyncluster.config.elastic_fields import pool_name
from asyncluster.config.elastic_parts import Checking
from asyncluster.config.elastic_place import fingerprint, place
from asyncluster.config.elastic_values import PoolSettings, Unit
from asyncluster.config.openstack_rules import check_openstack
from asyncluster.config.yaml_text import Path
from asyncluster.model.supply import ANY, CHECK_PREFIX, Flavor, Pool
from asyncluster.model.supply import Reservation as Reserved
from asyncluster.model.supply_options import AwsUnit, BatchUnit, CustomUnit, HostsUnit, LocalUnit, OpenStackUnit

T = TypeVar("T", bound=attrs.AttrsInstance)


def pools(checking: Checking, value: object) -> tuple[PoolSettings, ...]:
    """All pools in the order of the file; what is wrong with them is noted in `checking`."""
    found: list[PoolSettings] = []
    for name, each in checking.mapping(("cloud",), value).items():
        path: Path = ("cloud", name)
        try:
            pool_name(name)
        except ValueError as error:
            checking.fault(path, str(error))
        settings = _pool(checking, path, checking.mapping(path, each))
        if settings is None:
            continue
        same = [other.pool.name for other in found if other.pool.prefix == settings.pool.prefix]
        if same:
            checking.fault(
                (*path, "config", "instance_name_prefix"),
                f"is the same as that of {same[0]}; give each pool another one, nodes are told apart by it",
            )
        found.append(settings)
    return tuple(found)


def _pool(checking: Checking, path: Path, values: dict[str, object]) -> PoolSettings | None:
    part = checking.part(path, values, PoolPart, ("type", "reservation", "quantity", "config"))
    at = (*path, "reservation")
    reservation = checking.part(at, checking.mapping(at, values.get("reservation")), Reservation)
    at = (*path, "quantity")
    given = checking.mapping(at, values.get("quantity"))
    quantity = checking.part(at, given, Quantity)
    kind = str(values.get("type", ""))
    shape = shape_of(kind)
    if shape is None:
        near = get_close_matches(kind, POOLS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(POOLS)}, and {CUSTOM}"
        what = "there is no such type" if "type" in values else "is missing"
        checking.fault((*path, "type"), f"{what}; {hint}")
        return None
    at = (*path, "config")
    given_config = checking.mapping(at, values.get("config"))
    config = checking.part(at, given_config, shape, ("arguments",) if shape is Custom else ())
    arguments = checking.arguments((*at, "arguments"), given_config.get("arguments")) if shape is Custom else {}
    if part is None or reservation is None or quantity is None or config is None:
        return None
    most = quantity.max if "max" in given else _most(config)
    _check_quantity(checking, path, quantity.min, most, config)
    _check_config(checking, at, config)
    prefix = config.instance_name_prefix or _as_prefix(path[1])
    prefix = prefix if prefix.endswith("-") else prefix + "-"
    if prefix == CHECK_PREFIX:
        checking.fault(
            (*at, "instance_name_prefix"),
            f"{CHECK_PREFIX} is what the pilots of `asyncluster pool check` are called; give the pool another one",
        )
    unit: Unit = (
        CustomUnit(kind, arguments, config.userdata_file, config.master, config.features)
        if isinstance(config, Custom)
        else _unit(config)
    )
    pool = Pool(
        name=path[1],
        kind=kind,
        flavor=_flavor(config, part.price),
        reservation=Reserved(reservation.queue, reservation.account, reservation.property),
        least=quantity.min,
        most=most or 0,
        priority=part.priority,
        prefix=prefix,
        lifetime=config.walltime if isinstance(config, Node) else 0.0,
        spawn_rate=part.spawn_rate,
        backlog=part.backlog,
        asks=isinstance(config, Machines),
        place=place(kind, unit),
        fingerprint=fingerprint(unit),
    )
    return PoolSettings(pool, unit)


def _as_prefix(name: str) -> str:
    """A pool's name as the beginning of host names."""
    plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    return plain if plain[0].isalpha() else f"p{plain}"


def _most(config: PoolConfig) -> int | None:
    """How many nodes there may be where the file does not say; None: it has to."""
    if isinstance(config, Batch) and config.max_nodes:
        return config.max_nodes
    return len(config.hosts) if isinstance(config, Hosts) else None


def _check_quantity(checking: Checking, path: Path, least: int, most: int | None, config: PoolConfig) -> None:
    place = (*path, "quantity", "max")
    if most is None:
        checking.fault(place, "is missing; say how many nodes this pool may ever have, so that none comes unforeseen")
        return
    if least > most:
        checking.fault((*path, "quantity", "min"), f"is {least}, above the maximum of {most}")
    if isinstance(config, Batch) and config.max_nodes and most > config.max_nodes:
        checking.fault(place, f"is {most}, and the site allows {config.max_nodes} ([cloud] {path[1]}.config.max_nodes)")
    if isinstance(config, Hosts) and config.hosts and most > len(config.hosts):
        checking.fault(place, f"is {most}, and there are {len(config.hosts)} machines ([cloud] {path[1]}.config.hosts)")


def _check_config(checking: Checking, path: Path, config: PoolConfig) -> None:
    if isinstance(config, OpenStack):
        check_openstack(checking, path, config)
    if isinstance(config, Hosts) and not config.hosts:
        checking.fault((*path, "hosts"), "is missing; list the machines")
    if isinstance(config, Hosts):
        names = [host.rpartition("@")[2] for host in config.hosts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            checking.fault((*path, "hosts"), f"names {', '.join(twice)} twice; each machine has one node at most")
        if config.config_file and config.master:
            checking.fault((*path, "master"), "is not used beside config_file, which says where the master is")
    if isinstance(config, Aws):
        check_aws(checking, path, config)
    if not isinstance(config, Batch):
        return
    if config.max_processors_per_node and config.cores > config.max_processors_per_node:
        limit = f"{config.max_processors_per_node} ([cloud] {path[1]}.config.max_processors_per_node)"
        checking.fault((*path, "cores"), f"is {config.cores}, and the site allows {limit}")
    if config.system != "sge" and config.environment:
        checking.fault(
            (*path, "environment"), f"is SGE's; {config.system} knows no parallel environments, leave it out"
        )
    if config.system == "sge" and config.cores > 1 and not config.environment:
        checking.fault(
            (*path, "environment"),
            f"is missing; SGE gives {config.cores} cores only in a parallel environment (`qconf -spl` lists them)",
        )


def _flavor(config: PoolConfig, price: float) -> Flavor:
    """What a node has as far as the file says; a cloud knows better."""
    if isinstance(config, Machines):
        return attrs.evolve(ANY, price=price)
    return Flavor(
        cores=getattr(config, "cores", 1) or 1,
        memory=getattr(config, "memory", 0),
        gpus=getattr(config, "gpus", 0),
        price=price,
    )


def _unit(config: PoolConfig) -> Unit:
    if isinstance(config, OpenStack):
        return _as_value(OpenStackUnit, config, masters=config.master)
    if isinstance(config, Aws):
        notice = config.spot_metadata if config.spot_bid else ""
        return _as_value(AwsUnit, config, masters=config.master, spot_metadata=notice)
    if isinstance(config, Batch):
        return _as_value(BatchUnit, config, masters=config.master)
    if isinstance(config, Local):
        return _as_value(LocalUnit, config)
    assert isinstance(config, Hosts)
    return _as_value(HostsUnit, config, masters=config.master)


def _as_value(model: type[T], config: PoolConfig, **more: Any) -> T:
    """The attributes of one name, from the shape to the value."""
    names = [field.name for field in attrs.fields(cast(Any, model)) if field.name not in more]
    return model(**{name: getattr(config, name) for name in names}, **more)
