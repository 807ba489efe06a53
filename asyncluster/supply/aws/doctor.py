"""What a launch in AWS needs, looked at before anybody waits for a node.  Runs in a thread; makes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply import Finding
from asyncluster.supply.aws import groups, quota
from asyncluster.supply.aws.ec2 import Ec2
from asyncluster.supply.aws.refusals import ForbiddenError
from asyncluster.supply.aws.request import Asked, group_names, run_arguments
from asyncluster.units import count, format_size


def examine(ec2: Ec2, asked: Asked) -> list[Finding]:
    """One finding each; what a failed one stands in the way of is told as not looked at."""
    found: list[Finding] = []
    zones: list[Mapping[str, Any]] | None = None
    try:
        zones = ec2.call("describe_availability_zones")["AvailabilityZones"]
    except NoAnswerError as error:
        return [
            Finding("endpoint", False, str(error), _at(ec2, "region_name, endpoint, proxy")),
            *_not_looked("endpoint"),
        ]
    except ForbiddenError:  # which is no word about the credentials
        pass
    except CloudError as error:
        found.append(Finding("endpoint", True, f"EC2 answers at {ec2.endpoint}"))
        found.append(Finding("credentials", False, str(error), _at(ec2, "access_key_id, secret_access_key")))
        return [*found, *_not_looked("credentials")]
    found.append(Finding("endpoint", True, f"EC2 answers at {ec2.endpoint}"))
    found.append(Finding("credentials", True, "EC2 takes them"))
    found.append(_look("image", ec2, "image_id", _image))
    found.append(_look("flavor", ec2, "instance_type", _flavor))
    found.append(quota.examine(ec2, ec2.unit.instance_type, bool(ec2.unit.spot_bid), ec2.unit.endpoint))
    found.append(_look("network", ec2, "subnet_id, security_groups", lambda each: _network(each, zones)))
    found.append(_look("key", ec2, "key_name", _key))
    found.append(_look("launch", ec2, "", lambda each: _launch(each, asked)))
    return found


REST = ("credentials", "image", "flavor", "quota", "network", "key", "launch")


def _not_looked(after: str) -> list[Finding]:
    names = REST[REST.index(after) + 1 :] if after in REST else REST
    return [Finding(name, None, f"not looked at, because of {after}") for name in names]


def _at(ec2: Ec2, keys: str) -> str:
    return f"look at [cloud] {ec2.pool}.config: {keys}" if keys else f"look at [cloud] {ec2.pool}.config"


def _look(name: str, ec2: Ec2, keys: str, look: Callable[[Ec2], str]) -> Finding:
    try:
        return Finding(name, True, look(ec2))
    except (NoAnswerError, CloudError) as error:
        return Finding(name, False, str(error), _at(ec2, keys))


def _image(ec2: Ec2) -> str:
    images = ec2.call("describe_images", ImageIds=[ec2.unit.image_id]).get("Images", ())
    if not images:
        raise CloudError(f"there is no image {ec2.unit.image_id} in that region, or this account may not use it")
    image = images[0]
    if image.get("State", "available") != "available":
        raise CloudError(f"image {ec2.unit.image_id} is {image['State']}")
    words = [image.get("Name"), image.get("Architecture")]
    return f"{ec2.unit.image_id} is there" + "".join(f", {word}" for word in words if word)


def _flavor(ec2: Ec2) -> str:
    has = ec2.flavor(0.0)
    gpus = f", {count(has.gpus, 'gpu')}" if has.gpus else ""
    return f"{ec2.unit.instance_type} has {count(has.cores, 'core')}, {format_size(has.memory)}{gpus}"


def _network(ec2: Ec2, zones: list[Mapping[str, Any]] | None) -> str:
    unit, said = ec2.unit, []
    if unit.availability_zone and zones is None:
        said.append(f"perhaps zone {unit.availability_zone} (to look needs ec2:DescribeAvailabilityZones)")
    elif unit.availability_zone and zones is not None:
        zone = next((zone for zone in zones if zone["ZoneName"] == unit.availability_zone), None)
        if zone is None:
            raise CloudError(
                f"there is no zone {unit.availability_zone}; there are {_names(zones)} (availability_zone)"
            )
        if zone.get("State", "available") != "available":
            raise CloudError(f"zone {unit.availability_zone} is {zone['State']}")
        said.append(f"zone {unit.availability_zone}")
    if unit.subnet_id:
        said.append(_subnet(ec2))
    names = group_names(unit)
    given = [group for group in unit.security_groups if group not in names]
    if given:
        ec2.call("describe_security_groups", GroupIds=given)
    if names:
        groups.by_name(ec2.call, ec2.pool, unit, names)
    said += [f"group {group}" for group in unit.security_groups]
    return f"there are {', '.join(said)}" if said else "none is named: EC2's default zone, subnet and group"


def _subnet(ec2: Ec2) -> str:
    unit = ec2.unit
    subnet = ec2.call("describe_subnets", SubnetIds=[unit.subnet_id])["Subnets"][0]
    zone, free = subnet.get("AvailabilityZone", ""), subnet.get("AvailableIpAddressCount")
    if unit.availability_zone and zone and zone != unit.availability_zone:
        raise CloudError(f"subnet {unit.subnet_id} is in zone {zone}, not in {unit.availability_zone}: leave one out")
    if free == 0:
        raise CloudError(f"subnet {unit.subnet_id} has no address left")
    return f"subnet {unit.subnet_id}" + (f", addresses left: {free}" if free else "")


def _names(zones: list[Mapping[str, Any]]) -> str:
    return ", ".join(str(zone["ZoneName"]) for zone in zones)


def _key(ec2: Ec2) -> str:
    if not ec2.unit.key_name:
        return "none is named: nobody can log in by ssh with a key of EC2's"
    ec2.call("describe_key_pairs", KeyNames=[ec2.unit.key_name])
    return f"{ec2.unit.key_name} is there"


def _launch(ec2: Ec2, asked: Asked) -> str:
    """As it would be asked for, but without user data: rendering them would give a secret away."""
    asked = attrs.evolve(asked, groups=ec2.group_ids(), spot=bool(ec2.unit.spot_bid))
    ec2.dry_run(run_arguments(ec2.unit, asked))
    return "EC2 would do it (a dry run)"
