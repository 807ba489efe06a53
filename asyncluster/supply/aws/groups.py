"""The ids of security groups that are given by name: names are of one VPC, and "default" is in each.  It blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from asyncluster.errors import CloudError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws.request import group_names, needs_interface

Call = Callable[..., Any]
"""See `Ec2.call`."""


def ids(call: Call, pool: str, unit: AwsUnit) -> tuple[str, ...]:
    """Those of a pool's instances, in the order of the file; () = EC2 takes them as they are given.

    Raises CloudError where a name is not there, or is several groups'.
    """
    names = group_names(unit)
    if not (names and needs_interface(unit)):
        return ()
    found = dict(zip(names, by_name(call, pool, unit, names), strict=True))
    return tuple(found.get(group, group) for group in unit.security_groups)


def by_name(call: Call, pool: str, unit: AwsUnit, names: Sequence[str]) -> tuple[str, ...]:
    """The ids for these names, in the VPC where the pool's instances will be; raises CloudError as above."""
    where = _vpc(call, pool, unit)
    filters = [{"Name": "group-name", "Values": list(names)}]
    if where:
        filters.append({"Name": "vpc-id", "Values": [where]})
    found: dict[str, list[str]] = {name: [] for name in names}
    for group in call("describe_security_groups", Filters=filters).get("SecurityGroups", ()):
        found.setdefault(str(group["GroupName"]), []).append(str(group["GroupId"]))
    missing = [name for name in names if not found[name]]
    if missing:
        raise CloudError(
            f"[cloud] {pool}.config.security_groups: there is no group {', '.join(missing)}"
            + (
                f" in {where}, the VPC {'of subnet_id' if unit.subnet_id else 'that is the default one'}"
                if where
                else ""
            )
        )
    several = [f"{name} ({', '.join(found[name])})" for name in names if len(found[name]) > 1]
    if several:
        raise CloudError(
            f"[cloud] {pool}.config.subnet_id: has to be given, or the ids of security_groups in place of their names, "
            f"since several VPCs have one called {'; '.join(several)}"
        )
    return tuple(found[name][0] for name in names)


def _vpc(call: Call, pool: str, unit: AwsUnit) -> str:
    """The subnet's, else the default one, in which EC2 puts what names no subnet; "" = EC2 does not tell which."""
    if unit.subnet_id:
        return str(call("describe_subnets", SubnetIds=[unit.subnet_id])["Subnets"][0]["VpcId"])
    try:
        told = call("describe_vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])
    except CloudError:  # the right to ask is not needed where a name is one group's
        return ""
    if not told.get("Vpcs"):
        raise CloudError(
            f"[cloud] {pool}.config.subnet_id: has to be given, since the account has no default VPC in that region"
        )
    return str(told["Vpcs"][0]["VpcId"])
