"""The one call that begins an instance: everything about it, its tags too, is said at once; pure."""

from __future__ import annotations

import gzip
import re
from typing import Any

import attrs

from asyncluster.errors import CloudError
from asyncluster.model.supply import Order
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.naming import mark, tags
from asyncluster.supply.userdata import MOST

_SIZE = re.compile(r"([0-9]+)(?::([a-z0-9]+))?")
_SNAPSHOT = re.compile(r"(snap-[0-9a-f]+)(?::([0-9]+))?(?::([a-z0-9]+))?")


@attrs.frozen
class Asked:
    """What differs from one instance to the next.

    expires: seconds since the epoch, when its lease is over; userdata: "" = none; groups: ids of the security groups,
    () = as the unit names them; spot: whether it is to be a spot instance.
    """

    order: Order
    realm: str
    expires: float
    userdata: str = attrs.field(default="", repr=False)
    groups: tuple[str, ...] = ()
    spot: bool = False


def run_arguments(unit: AwsUnit, asked: Asked) -> dict[str, Any]:
    """What RunInstances is called with.  Raises CloudError for user data that are too long."""
    order = asked.order
    words = {"Name": order.name, **tags(order, asked.realm, asked.expires)}
    told = [{"Key": key, "Value": value} for key, value in words.items()]
    arguments: dict[str, Any] = {
        "ImageId": unit.image_id,
        "InstanceType": unit.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": client_token(asked),
        # the disks too: what an instance leaves behind can then be found
        "TagSpecifications": [{"ResourceType": kind, "Tags": told} for kind in ("instance", "volume")],
        # a node that ends itself is gone, whatever becomes of its master
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "InstanceMetadataTags": "enabled"},
    }
    if unit.key_name:
        arguments["KeyName"] = unit.key_name
    if unit.availability_zone:
        arguments["Placement"] = {"AvailabilityZone": unit.availability_zone}
    if unit.disk_map:
        arguments["BlockDeviceMappings"] = [_disk(text) for text in unit.disk_map]
    if asked.userdata:
        arguments["UserData"] = _user_data(asked.userdata)
    if asked.spot:
        arguments["InstanceMarketOptions"] = _market(unit)
    return arguments | _network(unit, asked.groups)


def client_token(asked: Asked) -> str:
    """By which EC2 knows that it is the same order again; another one where it is asked for in another way."""
    way = "spot" if asked.spot else "on demand"
    return mark(f"{asked.realm}/{asked.order.token}/{way}", 64)


def group_names(unit: AwsUnit) -> list[str]:
    """Of the security groups that are not given by their ids."""
    return [group for group in unit.security_groups if not group.startswith("sg-")]


def needs_interface(unit: AwsUnit) -> bool:
    """Whether the network has to be said for an interface, which knows groups by their ids only."""
    return bool(unit.subnet_id) or unit.use_public_ip_address


def _network(unit: AwsUnit, groups: tuple[str, ...]) -> dict[str, Any]:
    """Without a subnet of its own, and no wish for a public address, it is as the zone's default subnet has it."""
    if needs_interface(unit):
        interface: dict[str, Any] = {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": unit.use_public_ip_address,
            "DeleteOnTermination": True,
        }
        if unit.subnet_id:
            interface["SubnetId"] = unit.subnet_id
        if groups or unit.security_groups:
            interface["Groups"] = list(groups or unit.security_groups)
        return {"NetworkInterfaces": [interface]}
    names = group_names(unit)
    ids = [group for group in unit.security_groups if group not in names]
    found: dict[str, Any] = {"SecurityGroups": names} if names else {}
    return found | ({"SecurityGroupIds": ids} if ids else {})


def _market(unit: AwsUnit) -> dict[str, Any]:
    """One try: what cannot be had now is refused at once, so nothing is left open that comes when nobody wants it."""
    options = {
        "MaxPrice": f"{unit.spot_bid:.6f}".rstrip("0").rstrip("."),
        "SpotInstanceType": "one-time",
        "InstanceInterruptionBehavior": "terminate",
    }
    return {"MarketType": "spot", "SpotOptions": options}


def _disk(text: str) -> dict[str, Any]:
    """One entry of `disk_map`, which the configuration has checked."""
    device, _, what = text.partition("=")
    if what == "none":
        return {"DeviceName": device, "NoDevice": ""}
    if what.startswith("ephemeral"):
        return {"DeviceName": device, "VirtualName": what}
    disk: dict[str, Any] = {"DeleteOnTermination": True}
    snapshot = _SNAPSHOT.fullmatch(what)
    match = snapshot or _SIZE.fullmatch(what)
    assert match is not None
    size, kind = match.groups()[-2:]
    if snapshot is not None:
        disk["SnapshotId"] = snapshot[1]
    if size:
        disk["VolumeSize"] = int(size)
    if kind:
        disk["VolumeType"] = kind
    return {"DeviceName": device, "Ebs": disk}


def _user_data(text: str) -> str | bytes:
    plain = text.encode()
    if len(plain) <= MOST["aws"]:
        return text
    packed = gzip.compress(plain, mtime=0)  # the same order, the same bytes: else EC2 takes it for another
    if len(packed) <= MOST["aws"]:
        return packed
    raise CloudError(
        f"the user data are {len(plain)} bytes, {len(packed)} when packed, and EC2 takes {MOST['aws']}: have the "
        "file that `userdata_file` names fetch what is long from somewhere"
    )
