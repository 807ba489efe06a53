"""What is asked of EC2 and what it tells, as values; spot instances and their price."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from asyncluster.config.fields import Secret
from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.log import as_text, bridge_standard_logging
from asyncluster.model.supply import Flavor, Instance, InstanceState, Order
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws import sdk
from asyncluster.supply.aws.ec2 import Ec2, matching
from asyncluster.supply.aws.instances import flavor_of, instance_of, named_like_ours
from asyncluster.supply.aws.looking import Looking
from asyncluster.supply.aws.request import Asked, client_token, run_arguments
from asyncluster.supply.aws.spot import FORGET, Bids

ORDER = Order("burst-1", "0123456789abcdef", "burst", 600.0)
UNIT = AwsUnit("ami-0abc", "m5.large")


def asked(**more: Any) -> Asked:
    """What one instance is to be."""
    return Asked(ORDER, "realm", 1_800_000_600.0, **more)


def told(**more: Any) -> dict[str, Any]:
    """One instance as EC2 tells of it."""
    tags = {
        "Name": "renamed", "asyncluster-name": "burst-1", "asyncluster-pool": "burst", "asyncluster-realm": "realm",
        "asyncluster-token": "0123", "asyncluster-expires": "1800000600",
    }  # fmt: skip
    return {
        "InstanceId": "i-0abc",
        "State": {"Name": "running"},
        "LaunchTime": datetime(2027, 1, 15, 8, 0, tzinfo=UTC),
        "PrivateIpAddress": "10.0.0.9",
        "PublicIpAddress": "192.0.2.9",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    } | more


# -- what is asked


def test_tags_are_in_the_call_that_makes_it() -> None:
    """On the instance and on its disks, with our token; what ends itself is gone."""
    arguments = run_arguments(UNIT, asked(userdata="#!/bin/sh\n"))
    assert [each["ResourceType"] for each in arguments["TagSpecifications"]] == ["instance", "volume"]
    tags = {tag["Key"]: tag["Value"] for tag in arguments["TagSpecifications"][0]["Tags"]}
    assert tags["Name"] == tags["asyncluster-name"] == "burst-1"
    assert tags["asyncluster-expires"] == "1800000600"
    assert (arguments["MinCount"], arguments["MaxCount"]) == (1, 1)
    assert arguments["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert arguments["MetadataOptions"]["HttpTokens"] == "required"
    assert arguments["UserData"] == "#!/bin/sh\n"
    assert (
        not {"KeyName", "Placement", "NetworkInterfaces", "SecurityGroups", "InstanceMarketOptions"} & arguments.keys()
    )


def test_the_same_order_has_the_same_token_and_no_other() -> None:
    """64 signs at most; another master's, and the same at the full price, is another."""
    tokens = {
        client_token(each)
        for each in (asked(), asked(spot=True), Asked(ORDER, "other", 0.0), Asked(ORDER, "realm", 9.0, "data"))
    }
    assert len(tokens) == 3
    assert {len(token) for token in tokens} == {64}


def test_network() -> None:
    """Names of groups as names, ids as ids; with a subnet or a public address all of it is the interface's."""
    plain = run_arguments(AwsUnit("a", "b", security_groups=("nodes", "sg-0abc")), asked())
    assert (plain["SecurityGroups"], plain["SecurityGroupIds"]) == (["nodes"], ["sg-0abc"])
    unit = AwsUnit("a", "b", security_groups=("nodes", "sg-0abc"), subnet_id="subnet-0abc", availability_zone="z-1")
    (interface,) = run_arguments(unit, asked(groups=("sg-0def", "sg-0abc")))["NetworkInterfaces"]
    assert interface["Groups"] == ["sg-0def", "sg-0abc"]
    assert (interface["SubnetId"], interface["AssociatePublicIpAddress"]) == ("subnet-0abc", False)
    assert run_arguments(unit, asked())["Placement"] == {"AvailabilityZone": "z-1"}
    (interface,) = run_arguments(AwsUnit("a", "b", use_public_ip_address=True), asked())["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"]
    assert "SubnetId" not in interface


def test_disks() -> None:
    """By size, type, snapshot; the instance's own; none."""
    disk_map = (
        "/dev/sda1=40", "/dev/sdb=40:gp3", "/dev/sdc=snap-0abc", "/dev/sdd=snap-0abc:9:io2", "sde=ephemeral0",
        "sdf=none",
    )  # fmt: skip
    found = {
        each.pop("DeviceName"): each
        for each in run_arguments(AwsUnit("a", "b", disk_map=disk_map), asked())["BlockDeviceMappings"]
    }
    gone = {"DeleteOnTermination": True}
    assert found == {
        "/dev/sda1": {"Ebs": gone | {"VolumeSize": 40}},
        "/dev/sdb": {"Ebs": gone | {"VolumeSize": 40, "VolumeType": "gp3"}},
        "/dev/sdc": {"Ebs": gone | {"SnapshotId": "snap-0abc"}},
        "/dev/sdd": {"Ebs": gone | {"SnapshotId": "snap-0abc", "VolumeSize": 9, "VolumeType": "io2"}},
        "sde": {"VirtualName": "ephemeral0"},
        "sdf": {"NoDevice": ""},
    }


def test_spot() -> None:
    """At our price, one try."""
    market = run_arguments(AwsUnit("a", "b", spot_bid=0.0205), asked(spot=True))["InstanceMarketOptions"]
    assert market["SpotOptions"]["MaxPrice"] == "0.0205"
    assert market["SpotOptions"]["SpotInstanceType"] == "one-time"


def test_long_user_data_are_packed() -> None:
    """Always to the same bytes, since EC2 compares; what is too long even so is refused, without being told."""
    text = "#!/bin/sh\n" + "# a comment\n" * 5000
    packed = run_arguments(UNIT, asked(userdata=text))["UserData"]
    assert gzip.decompress(packed).decode() == text
    assert packed == run_arguments(UNIT, asked(userdata=text))["UserData"]
    noise = "".join(f"{number * 7919 % 100003:x}" for number in range(30000))
    with pytest.raises(CloudError, match="userdata_file") as caught:
        run_arguments(UNIT, asked(userdata=noise))
    assert noise[:30] not in str(caught.value)


# -- what is told


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", InstanceState.STARTING),
        ("running", InstanceState.ACTIVE),
        ("shutting-down", InstanceState.DELETING),
        ("terminated", InstanceState.GONE),
        ("stopping", InstanceState.ERROR),
        ("stopped", InstanceState.ERROR),
        ("dreaming", InstanceState.UNKNOWN),
    ],
)
def test_states(word: str, state: InstanceState) -> None:
    """Its words as ours; one that nobody has heard of is not known."""
    assert instance_of(told(State={"Name": word}), public=False).state is state


def test_an_instance_of_ours() -> None:
    """By its tags, whatever somebody has renamed it to; its address as configured; its reason."""
    reason = {"Code": "Server.SpotInstanceTermination", "Message": "Server.SpotInstanceTermination: it was reclaimed"}
    found = instance_of(told(StateReason=reason, InstanceLifecycle="spot"), public=False)
    assert (found.name, found.owner, found.pool, found.token, found.ours) == ("burst-1", "realm", "burst", "0123", True)
    assert (found.address, found.born, found.expires) == ("10.0.0.9", 1_800_000_000.0, 1_800_000_600.0)
    assert found.said == "running: Server.SpotInstanceTermination: it was reclaimed (spot)"
    assert instance_of(told(), public=True).address == "192.0.2.9"


def test_strangers() -> None:
    """Named like ours without a tag; another pool's prefix may begin as ours does."""
    names = [{"Key": "Name", "Value": "night-7"}]
    assert named_like_ours(instance_of(told(Tags=names), public=False), "night-")
    assert not named_like_ours(
        instance_of(told(Tags=[{"Key": "Name", "Value": "night-gpu-7"}]), public=False), "night-"
    )
    assert not named_like_ours(instance_of(told(), public=False), "burst-")
    assert instance_of({"InstanceId": "i-1"}, public=False) == Instance("i-1", "", InstanceState.UNKNOWN, ours=False)


def test_flavors() -> None:
    """Gpus of several kinds are counted together."""
    gpus = {"Gpus": [{"Count": 4}, {"Count": 1}]}
    has = {"VCpuInfo": {"DefaultVCpus": 8}, "MemoryInfo": {"SizeInMiB": 32768}, "GpuInfo": gpus}
    assert flavor_of(has, 0.3) == Flavor(8, 32 * 1024**3, 5, 0.3)
    assert flavor_of({}, 0.0) == Flavor(1)


# -- spot


def test_the_full_price_only_after_a_time_and_only_if_said_so() -> None:
    """From the first refusal of those in a row."""
    bids = Bids(0.1, 600.0, on_demand=True)
    bids.refused(1000.0)
    assert not bids.falls_back(1000.0)
    bids.refused(1599.0)
    assert not bids.falls_back(1599.0)
    bids.refused(1600.0)
    assert bids.falls_back(1600.0)
    bids.taken()
    bids.refused(1700.0)
    assert not bids.falls_back(1700.0)
    for never in (Bids(0.1, 600.0), Bids(0.1, 0.0, on_demand=True)):
        never.refused(0.0)
        never.refused(9999.0)
        assert not never.falls_back(9999.0)
        assert never.outlook(9999.0)


def test_refusals_of_yesterday_do_not_count() -> None:
    """When nothing waited nobody asked."""
    bids = Bids(0.1, 600.0, on_demand=True)
    bids.refused(0.0)
    bids.refused(FORGET + 1.0)
    assert not bids.falls_back(FORGET + 1.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5000), st.booleans()), max_size=30))
def test_never_before_its_time(steps: list[tuple[float, bool]]) -> None:
    """Whatever comes, the full price is paid only where refusals in a row have lasted for so long."""
    bids, now, since = Bids(0.1, 3000.0, on_demand=True), 0.0, None
    for wait, there in steps:
        now += wait
        if there:
            bids.taken()
            since = None
        else:
            bids.refused(now)
            since = now if since is None else since
        assert not bids.falls_back(now) or (since is not None and now - since >= 3000.0)


# -- the library, and looks


def test_looks_of_one_turn_are_one_question() -> None:
    """Each is told what is its own; a failure is everybody's."""
    clock, questions = Clock(), []

    async def ask(names: Any) -> list[Instance]:
        questions.append(sorted(names))
        if "bad" in names:
            raise CloudError("no")
        return [Instance("i-1", "b", InstanceState.ACTIVE)]

    looking = Looking(clock, ask)
    answers: dict[str, Any] = {}
    for key, name in (("1", "a"), ("2", "b"), ("3", "b")):
        looking.at(name).addCallback(lambda found, key=key: answers.update({key: [one.id for one in found]}))
    clock.advance(0)
    assert questions == [["a", "b"]]
    assert answers == {"1": [], "2": ["i-1"], "3": ["i-1"]}
    failures: list[Any] = []
    looking.at("bad").addErrback(failures.append)
    clock.advance(0)
    assert failures[0].check(CloudError)


def test_json_read_slowly_is_the_same(tmp_path: Path) -> None:
    """In its order; and of EC2's model all that our calls reach is kept."""
    text = json.dumps({"b": [1, 2.5, None, True, "ä"], "a": {"x": {}, "y": []}})
    assert list(sdk.slowly(text).items()) == list(json.loads(text).items())
    shape = {"shape": "In"}
    data = {
        "operations": {"RunInstances": {"input": shape}, "SellAll": {"input": {"shape": "Other"}}},
        "shapes": {
            "In": {"members": {"a": {"shape": "List"}}, "documentation": "long"},
            "List": {"member": {"shape": "Text"}},
            "Text": {"type": "string"},
            "Other": {"type": "string"},
        },
    }
    found = sdk.pruned(Path("/x/ec2/2016-11-15/service-2"), data)
    assert list(found["operations"]) == ["RunInstances"]
    assert list(found["shapes"]) == ["In", "List", "Text"]
    assert "documentation" not in found["shapes"]["In"]


def test_a_client_is_as_the_settings_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, region, endpoint, proxy and certificates; nothing is asked twice by itself."""
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'asyncluster[aws]'")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    unit = AwsUnit(
        "a", "b", "eu-west-1", "AKIA", Secret("hush"), endpoint="https://ec2.example.org", proxy="proxy.example.org",
        proxy_port=3128, validate_certs=False,
    )  # fmt: skip
    client = sdk.make_client("burst", unit, 3)
    assert (client.meta.region_name, client.meta.endpoint_url) == ("eu-west-1", "https://ec2.example.org")
    assert client.meta.config.proxies == dict.fromkeys(("http", "https"), "http://proxy.example.org:3128")
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.config.max_pool_connections == 3
    assert client._endpoint.http_session._verify is False
    assert client._request_signer._credentials.secret_key == "hush"

    client = sdk.make_client("burst", AwsUnit("a", "b", "eu-west-1", "AKIA", Secret("hush")), 3)
    assert client.meta.endpoint_url == "https://ec2.eu-west-1.amazonaws.com"
    assert client.meta.config.proxies is None
    assert client._endpoint.http_session._verify

    quotas = sdk.make_client("burst", unit, 1, "service-quotas")  # is not what stands at EC2's place
    assert quotas.meta.endpoint_url == "https://servicequotas.eu-west-1.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SERVICE_QUOTAS", "https://quotas.example.org")
    assert sdk.make_client("burst", unit, 1, "service-quotas").meta.endpoint_url == "https://quotas.example.org"

    (tmp_path / "config").write_text(
        "[profile night]\nregion = eu-north-1\naws_access_key_id = AKIN\naws_secret_access_key = shush\n"
    )
    client = sdk.make_client("burst", AwsUnit("a", "b", profile="night"), 3)
    assert (client.meta.region_name, client._request_signer._credentials.access_key) == ("eu-north-1", "AKIN")
    monkeypatch.setenv("AWS_PROFILE", "night")
    assert sdk.make_client("burst", AwsUnit("a", "b"), 3).meta.region_name == "eu-north-1"
    monkeypatch.delenv("AWS_PROFILE")
    with pytest.raises(CloudError, match=r"config\.profile: .*'day'"):
        sdk.make_client("burst", AwsUnit("a", "b", profile="day"), 3)
    with pytest.raises(CloudError, match=r"config\.region_name: is missing"):
        sdk.make_client("burst", AwsUnit("a", "b"), 3)


def test_without_credentials_it_says_where_they_were_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is sent."""
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'asyncluster[aws]'")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    ec2 = Ec2("burst", AwsUnit("a", "b", "eu-west-1", endpoint="http://127.0.0.1:9"), 1)
    with pytest.raises(CloudError, match="environment"):
        ec2.instances(matching(tag_Name="x"))


class Role(BaseHTTPRequestHandler):
    """The metadata service of an instance with a role, as its IMDSv2 answers."""

    def do_PUT(self) -> None:
        """A token, by which what follows is asked."""
        self._say("token")

    def do_GET(self) -> None:
        """The name of the role, and what it gives."""
        assert self.headers["x-aws-ec2-metadata-token"] == "token"
        given = {
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": "ASIAROLE",
            "SecretAccessKey": "hush", "Token": "for-a-time", "Expiration": "2126-01-01T00:00:00Z",
        }  # fmt: skip
        self._say("burst-role" if self.path.endswith("security-credentials/") else json.dumps(given))

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_the_role_of_the_instance_is_who_we_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where neither keys nor a profile are set, on loopback; what it gives has a token, for a time."""
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'asyncluster[aws]'")
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Role) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            client = sdk.make_client("burst", AwsUnit("a", "b", "eu-west-1"), 1)
            found = client._request_signer._credentials.get_frozen_credentials()
        finally:
            server.shutdown()
    assert (found.access_key, found.secret_key, found.token) == ("ASIAROLE", "hush", "for-a-time")


def test_no_log_has_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at any level: botocore's debugging tells of each request, user data and all."""
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install 'asyncluster[aws]'")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    seen: list[LogEvent] = []
    observer = cast(ILogObserver, seen.append)
    globalLogPublisher.addObserver(observer)
    ec2 = Ec2("burst", AwsUnit("a", "b", "eu-west-1", "AKIA", Secret("hush"), endpoint="http://127.0.0.1:9"), 1)
    before = logging.getLogger().level
    try:
        bridge_standard_logging("debug, botocore.endpoint=debug")
        with pytest.raises(NoAnswerError):
            ec2.run(run_arguments(ec2.unit, asked(userdata="its-secret")))
    finally:
        globalLogPublisher.removeObserver(observer)
        logging.getLogger().setLevel(before)
    text = "".join(as_text(event) for event in seen)
    assert base64.b64encode(b"its-secret").decode() not in text
    assert "its-secret" not in text
    for name in ("keystoneauth.session", "keystoneauth1.session", "openstack", "urllib3.connectionpool"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


def test_filters() -> None:
    """Of tags and of states."""
    assert matching(tag_asyncluster__pool="burst", instance_state_name=["a", "b"]) == [
        {"Name": "tag:asyncluster-pool", "Values": ["burst"]},
        {"Name": "instance-state-name", "Values": ["a", "b"]},
    ]
