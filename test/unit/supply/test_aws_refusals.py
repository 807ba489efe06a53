"""What EC2 says no with, in its own words and form, as errors of ours that name what mends them."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import attrs
import pytest

from asyncluster.errors import AsynClusterError, CapacityError, CloudError, NoAnswerError, QuotaError, ThrottledError
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws.ec2 import Ec2
from asyncluster.supply.aws.refusals import ForbiddenError, error_of

UNIT = AwsUnit(
    "ami-0abc", "m5.large", "us-east-1", "AKIAEXAMPLE", key_name="ops", security_groups=("nodes", "more"),
    availability_zone="us-east-1a", subnet_id="subnet-0abc", disk_map=("/dev/sda1=1",), spot_bid=0.05,
)  # fmt: skip
NOW = 1_800_000_000.0

REFUSALS: list[tuple[str, int, str, type[AsynClusterError], str]] = [
    (
        "VcpuLimitExceeded", 400,
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that "
        "the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
        "an adjustment to this limit.",
        QuotaError, "limit VcpuLimitExceeded is reached",
    ),
    (
        "InstanceLimitExceeded", 400,
        "You have requested more instances (1) than your current instance limit of 0 allows for the specified instance "
        "type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        QuotaError, "limit InstanceLimitExceeded is reached",
    ),
    ("MaxSpotInstanceCountExceeded", 400, "Max spot instance count exceeded", QuotaError, "of spot instances"),
    (
        "InsufficientInstanceCapacity", 500,
        "We currently do not have sufficient m5.large capacity in the Availability Zone you requested (us-east-1a). "
        "Our system will be working on provisioning additional capacity. You can currently get m5.large capacity by "
        "not specifying an Availability Zone in your request or choosing us-east-1b, us-east-1c, us-east-1d.",
        CapacityError, "no m5.large in us-east-1a",
    ),
    (
        "InsufficientFreeAddressesInSubnet", 400, "There are not enough free addresses in subnet 'subnet-0abc'.",
        CapacityError, "free addresses",
    ),
    (
        "SpotMaxPriceTooLow", 400,
        "Your Spot request price of 0.05 is lower than the minimum required Spot request fulfillment price of 0.0696.",
        CapacityError, "config.spot_bid",
    ),
    ("RequestLimitExceeded", 503, "Request limit exceeded.", ThrottledError, "too often"),
    ("InternalError", 500, "An internal error has occurred", NoAnswerError, "could not answer"),
    ("Unavailable", 503, "The server is overloaded and can't handle the request.", NoAnswerError, "could not answer"),
    ("IdempotentParameterMismatch", 400, "Arguments are inconsistent", NoAnswerError, "given before"),
    (
        "AuthFailure", 401, "AWS was not able to validate the provided access credentials",
        CloudError, "access_key_id (AKIAEXAMPLE)",
    ),
    (
        "SignatureDoesNotMatch", 403,
        "Signature expired: 20261121T180000Z is now earlier than 20261121T190000Z (20261121T191500Z - 15 min.)",
        CloudError, "this machine's clock",
    ),
    ("RequestExpired", 400, "Request has expired.", CloudError, "this machine's clock"),
    (
        "UnauthorizedOperation", 403, "You are not authorized to perform this operation.", ForbiddenError,
        "IAM policy",
    ),
    ("InvalidAMIID.NotFound", 400, "The image id '[ami-0abc]' does not exist", CloudError, "image_id: ami-0abc:"),
    (
        "InvalidParameterValue", 400,
        "The architecture 'arm64' of the specified instance type does not match the architecture 'x86_64' of the "
        "specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
        CloudError, "config.image_id: ami-0abc:",
    ),
    ("InvalidKeyPair.NotFound", 400, "The key pair 'ops' does not exist", CloudError, "config.key_name: ops:"),
    (
        "InvalidGroup.NotFound", 400, "The security group 'nodes' does not exist in VPC 'vpc-0abc'",
        CloudError, "config.security_groups: nodes, more:",
    ),
    (
        "InvalidParameterCombination", 400, "The parameter groupName cannot be used with the parameter subnet",
        CloudError, "config.security_groups: nodes, more:",
    ),
    ("InvalidSubnetID.NotFound", 400, "The subnet ID 'x' does not exist", CloudError, "config.subnet_id: subnet-0abc:"),
    (
        "Unsupported", 400,
        "Your requested instance type (m5.large) is not supported in your requested Availability Zone (us-east-1e). "
        "Please retry your request by not specifying an Availability Zone or choosing us-east-1a, us-east-1b.",
        CloudError, "config.availability_zone: us-east-1a:",
    ),
    (
        "Unsupported", 400,
        "The requested configuration is currently not supported. Please check the documentation for supported "
        "configurations.",
        CloudError, "config.instance_type: m5.large:",
    ),
    (
        "InvalidBlockDeviceMapping", 400, "Volume of size 1GB is smaller than snapshot 'snap-0abc', expect size >= 8GB",
        CloudError, "config.disk_map: /dev/sda1=1:",
    ),
    ("SomethingNew", 400, "Never heard of", CloudError, "Look at [cloud] burst.config"),
]  # fmt: skip


def parsed(code: str, status: int, message: str, date: str = "") -> dict[str, Any]:
    """As botocore has it, of what EC2 sends."""
    parsers = pytest.importorskip("botocore.parsers", reason="boto3 is not installed: pip install 'asyncluster[aws]'")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
        f"<Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
        "<RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>"
    )
    answer = {"status_code": status, "headers": {"date": date} if date else {}, "body": body.encode()}
    found: dict[str, Any] = parsers.create_parser("ec2").parse(answer, None)
    return found


def explained(code: str, status: int, message: str, unit: AwsUnit = UNIT, date: str = "") -> AsynClusterError:
    """Our error."""
    ec2 = Ec2("burst", unit, 1, lambda: NOW)
    return error_of(ec2._said("run_instances", parsed(code, status, message, date)), "burst", unit)


@pytest.mark.parametrize(("code", "status", "message", "kind", "words"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_refusals(code: str, status: int, message: str, kind: type[AsynClusterError], words: str) -> None:
    """Of its kind and no other, with its own words, and the setting that has to do with it."""
    error = explained(code, status, message)
    assert type(error) is kind
    assert words in str(error)
    assert code in str(error) or kind is NoAnswerError


def test_a_clock_that_is_wrong_is_told_by_how_much() -> None:
    """Also where EC2 only says that it does not believe us."""
    error = explained("AuthFailure", 401, "AWS was not able to validate", date="Fri, 15 Jan 2027 07:30:00 GMT")
    assert "30m ahead of EC2's" in str(error)
    error = explained("AuthFailure", 401, "AWS was not able to validate", date="Fri, 15 Jan 2027 08:00:02 GMT")
    assert "clock" not in str(error)


@pytest.mark.parametrize("code", ["RequestExpired", "ExpiredToken", "ExpiredTokenException"])
def test_a_session_token_that_has_expired_is_no_clock(code: str) -> None:
    """EC2 says one word for both: it is the clock only where that is off, or nobody knows."""
    unit = attrs.evolve(UNIT, access_key_id="", profile="burst")
    right, wrong = "Fri, 15 Jan 2027 08:00:02 GMT", "Fri, 15 Jan 2027 07:30:00 GMT"
    error = explained(code, 400, "Request has expired.", unit, right)
    assert type(error) is CloudError
    assert "the session token of the credentials has expired" in str(error)
    assert "profile burst" in str(error)
    assert "clock" not in str(error)
    assert "30m ahead of EC2's" in str(explained(code, 400, "Request has expired.", unit, wrong))
    assert "session token" in str(explained("ExpiredToken", 400, "The security token has expired", unit))


def test_the_limit_of_spot_instances_is_a_quota_only_where_nothing_else_will_do() -> None:
    """Where the full price may be paid after a while, it is none just now: the pool goes on, and gets to that."""
    refusal = ("MaxSpotInstanceCountExceeded", 400, "Max spot instance count exceeded")
    paying = attrs.evolve(UNIT, spot_on_demand=True, spot_timeout=600.0)
    assert type(explained(*refusal, paying)) is CapacityError
    assert "limit MaxSpotInstanceCountExceeded is reached, of spot instances" in str(explained(*refusal, paying))
    for unit in (UNIT, attrs.evolve(UNIT, spot_on_demand=True), attrs.evolve(UNIT, spot_timeout=600.0)):
        assert type(explained(*refusal, unit)) is QuotaError
    assert type(explained("VcpuLimitExceeded", 400, "no", paying)) is QuotaError


def test_where_credentials_come_from() -> None:
    """The key, the profile, or what boto3 finds."""
    for unit, words in (
        (AwsUnit("a", "b", profile="burst"), "profile burst"),
        (AwsUnit("a", "b"), "environment"),
    ):
        assert words in str(explained("AuthFailure", 401, "no", unit))


def test_no_secret_and_no_page_of_text() -> None:
    """What it says is one line, not too long."""
    error = str(explained("Strange", 400, "much\n" * 1000))
    assert "\n" not in error
    assert len(error) < 700
    assert "secret" not in repr(AwsUnit("a", "b", secret_access_key="secret")).replace("secret_access_key", "")


def test_a_page_in_place_of_an_answer_is_one_line() -> None:
    """A proxy's or a wrong endpoint's: cut, with the keys that say where EC2 was looked for."""
    with pytest.raises(NoAnswerError) as caught:
        Ec2("burst", AwsUnit("ami-1", "m5.large"), 1)._explain("describe_instances", ValueError("<html>\n" * 1000))
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 600
    assert "[cloud] burst.config: region_name, endpoint, proxy" in said


def test_a_page_instead_of_xml() -> None:
    """What it is about is told, not all of it."""
    from botocore.parsers import ResponseParserError

    page = "<!doctype html>\n<html lang=en>\n<title>500 Internal Server Error</title>\n<h1>Oh</h1>"
    error = ResponseParserError(f"Unable to parse response (syntax error: line 1, column 0):\nb'{page}'")
    with pytest.raises(NoAnswerError) as caught:
        Ec2("burst", AwsUnit("ami-1", "m5.large"), 1)._explain("describe_instances", error)
    said = str(caught.value)
    assert (
        "EC2 answered describe_instances with something that is no well-formed XML (500 Internal Server Error)" in said
    )
    assert "doctype" not in said


def test_a_sentence_ends_with_one_stop() -> None:
    """Also where what is said ends with one."""
    assert ".." not in str(explained("Strange", 400, "There is no such service."))
