"""Names of security groups are looked up in the one VPC where the instances will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest

from asyncluster.errors import CloudError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws.groups import ids

UNIT = AwsUnit("ami-1", "m5.large", security_groups=("default", "sg-0abc", "nodes"), use_public_ip_address=True)


@attrs.define
class Account:
    """EC2's answers of it.  groups: by VPC, their ids by name; default: the default VPC, "" = none, None = not told."""

    groups: Mapping[str, Mapping[str, str]]
    default: str | None = "vpc-1"
    asked: list[str] = attrs.field(factory=list)

    def __call__(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """As `Ec2.call`."""
        self.asked.append(operation)
        if operation == "describe_subnets":
            return {"Subnets": [{"VpcId": "vpc-2"}]}
        wanted: Mapping[str, Sequence[str]] = {each["Name"]: each["Values"] for each in arguments["Filters"]}
        if operation == "describe_vpcs":
            assert wanted == {"is-default": ["true"]}
            if self.default is None:
                raise CloudError("UnauthorizedOperation")
            return {"Vpcs": [{"VpcId": self.default}] if self.default else []}
        assert operation == "describe_security_groups"
        return {
            "SecurityGroups": [
                {"GroupName": name, "GroupId": group}
                for vpc, names in self.groups.items()
                for name, group in names.items()
                if vpc in wanted.get("vpc-id", [vpc]) and name in wanted["group-name"]
            ]
        }


TWO = {"vpc-1": {"default": "sg-1", "nodes": "sg-11"}, "vpc-2": {"default": "sg-2", "nodes": "sg-22"}}


def test_a_name_is_one_of_the_default_vpc_or_of_the_subnets() -> None:
    """Which is not the last that is listed; ids stay what they are, in the order of the file."""
    assert ids(Account(TWO), "burst", UNIT) == ("sg-1", "sg-0abc", "sg-11")
    assert ids(Account(TWO, "vpc-2"), "burst", UNIT) == ("sg-2", "sg-0abc", "sg-22")
    assert ids(Account(TWO), "burst", attrs.evolve(UNIT, subnet_id="subnet-1")) == ("sg-2", "sg-0abc", "sg-22")


def test_what_is_several_groups_name_is_refused() -> None:
    """Where EC2 does not tell which VPC it is, or there is none; one that is unique will do."""
    with pytest.raises(
        CloudError, match=r"burst.config.subnet_id: has to be given.*several VPCs .* default \(sg-1, sg-2\)"
    ):
        ids(Account(TWO, None), "burst", UNIT)
    one = {"vpc-1": {"default": "sg-1", "nodes": "sg-11"}, "vpc-2": {"other": "sg-2"}}
    assert ids(Account(one, None), "burst", UNIT) == ("sg-1", "sg-0abc", "sg-11")
    with pytest.raises(CloudError, match=r"burst.config.subnet_id: has to be given, .* no default VPC"):
        ids(Account(TWO, ""), "burst", UNIT)


def test_a_name_that_is_not_there_is_told_with_its_vpc() -> None:
    """It may be there in another one."""
    there = {"vpc-1": {"default": "sg-1"}, "vpc-2": {"nodes": "sg-22"}}
    with pytest.raises(
        CloudError, match=r"security_groups: there is no group nodes in vpc-1, the VPC that is the default"
    ):
        ids(Account(there), "burst", UNIT)


def test_nothing_is_asked_where_names_will_do() -> None:
    """Or where there are only ids."""
    account = Account(TWO)
    assert ids(account, "burst", attrs.evolve(UNIT, use_public_ip_address=False)) == ()
    assert ids(account, "burst", attrs.evolve(UNIT, security_groups=("sg-0abc",))) == ()
    assert account.asked == []
