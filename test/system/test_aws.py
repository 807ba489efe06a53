"""A pool in AWS on its bad days: moto's server behind a proxy that loses answers and says that it is full."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor, task
from twisted.trial.unittest import TestCase

from asyncluster.errors import (
    AsynClusterError,
    CapacityError,
    CloudError,
    NoAnswerError,
    QuotaError,
    ThrottledError,
)
from asyncluster.model.supply import Instance, InstanceState, Listing, Order
from asyncluster.supply.aws import AwsCloud, asking
from asyncluster.testing import aws
from asyncluster.testing.aws import AwsGround
from asyncluster.testing.faultproxy import Fault, Kind
from asyncluster.testing.webproxy import WebProxy
from asyncluster.wire.tls import CERTIFICATE_FILE, KEY_FILE, load_or_make

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(aws.missing()), reason=aws.missing()),
]

RUN, DESCRIBE, BY_TOKEN = "Action=RunInstances", "Action=DescribeInstances&", "tag%3Aasyncluster-token"
FULL = "We currently do not have sufficient m5.large capacity in the Availability Zone you requested (us-east-1a)."
PRICE = "Your Spot request price of 0.05 is lower than the minimum required Spot request fulfillment price of 0.0696."


def order(number: int = 1) -> Order:
    """One node."""
    return Order(f"pool-{number}", f"token-{number}", "pool", 600.0)


class OnBadDays(TestCase):
    """One server for all; nothing is left of one test in the next."""

    timeout = 240.0

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="asyncluster-aws-"))
        cls.ground = AwsGround(cls.folder).__enter__()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.ground.__exit__()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self) -> None:
        self.patch(asking, "FIRST_PAUSE", 0.02)
        self.cloud = self.make()

    def tearDown(self) -> None:
        self.ground.clear()

    def make(self, **unit: Any) -> AwsCloud:
        """The pool's cloud; unit: its settings."""
        self.ground.unit = self.ground.plain_unit(**unit)
        return self.ground.cloud(reactor, "pool", "realm")

    def there(self) -> list[dict[str, Any]]:
        """What runs, as the endpoint itself tells."""
        return self.ground.moto.run()

    def runs(self) -> int:
        """How often an instance was asked for, up to now."""
        return sum(RUN in request.text for request, _ in self.ground.proxy.seen)

    async def fails(self, doing: Any, kind: type[AsynClusterError]) -> str:
        """What it says when it fails with that, and with nothing below it that is another outcome."""
        with pytest.raises(kind) as caught:
            await doing
        assert type(caught.value) is kind or kind is NoAnswerError
        return str(caught.value)

    async def until(self, true: Callable[[tuple[Instance, ...]], object]) -> tuple[Instance, ...]:
        """List until it is so."""
        end = time.monotonic() + 60
        while True:
            listing: Listing = await self.cloud.list()
            if true(listing.instances):
                return listing.instances
            assert time.monotonic() < end, listing
            await task.deferLater(reactor, 0.1)

    # what is said no to

    async def test_no_capacity(self) -> None:
        """CapacityError that names type and zone; nothing was made; it can be had later."""
        self.ground.says(RUN, "InsufficientInstanceCapacity", FULL, 500)
        said = await self.fails(self.cloud.launch(order()), CapacityError)
        assert "m5.large" in said
        assert "availability_zone" in said
        assert self.there() == []
        await self.cloud.launch(order(2))
        assert len(self.there()) == 1

    async def test_quota(self) -> None:
        """QuotaError with the limit's name."""
        self.ground.says(
            RUN, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current limit of 32."
        )
        assert "VcpuLimitExceeded" in await self.fails(self.cloud.launch(order()), QuotaError)

    async def test_asked_too_often(self) -> None:
        """It is asked again after a pause; where that lasts, the caller is told that there was no answer."""
        self.ground.faults.add(RUN, Fault(Kind.STATUS, 503), 2)
        await self.cloud.launch(order())
        assert len(self.there()) == 1
        self.ground.faults.add(RUN, Fault(Kind.STATUS, 503), 100)
        await self.fails(self.cloud.launch(order(2)), ThrottledError)
        assert len(self.there()) == 1

    async def test_a_wrong_key(self) -> None:
        """A launch says which setting it is; a listing is no answer, and never an empty list."""
        await self.cloud.launch(order())
        self.ground.moto.enforce_keys()
        said = await self.fails(self.cloud.launch(order(2)), CloudError)
        assert "[cloud] pool.config.access_key_id (test)" in said
        await self.fails(self.cloud.list(), NoAnswerError)
        self.ground.moto.enforce_keys(False)
        assert len(await self.until(lambda found: found)) == 1

    async def test_a_clock_that_is_wrong(self) -> None:
        """It says so, and by how much; a session token that has expired is told as that, by the same word of EC2's."""
        self.ground.says(RUN, "RequestExpired", "Request has expired.")
        self.patch(self.cloud.ec2, "_wall", lambda: time.time() + 3600.0)
        said = await self.fails(self.cloud.launch(order()), CloudError)
        assert "this machine's clock is 1h" in said  # and what went by since it answered
        assert "ahead of EC2's" in said
        self.patch(self.cloud.ec2, "_wall", time.time)
        self.ground.says(RUN, "RequestExpired", "Request has expired.")
        said = await self.fails(self.cloud.launch(order()), CloudError)
        assert "session token" in said
        assert "clock" not in said

    async def test_an_image_that_is_gone(self) -> None:
        """The key and its value are named."""
        said = await self.fails(self.make(image_id="ami-00000000").launch(order()), CloudError)
        assert "[cloud] pool.config.image_id: ami-00000000" in said

    async def test_keys_and_types_that_are_not_there(self) -> None:
        """Likewise."""
        said = await self.fails(self.make(key_name="nobodys").launch(order()), CloudError)
        assert "[cloud] pool.config.key_name: nobodys" in said
        said = await self.fails(self.make(instance_type="m0.none").launch(order()), CloudError)
        assert "[cloud] pool.config.instance_type: m0.none" in said
        said = await self.fails(self.make(subnet_id="subnet-00000000").launch(order()), CloudError)
        assert "[cloud] pool.config.subnet_id: subnet-00000000" in said

    # what is not known

    async def test_a_lost_answer_makes_one(self) -> None:
        """It took effect, and is found by its tag before it is asked for again."""
        self.ground.faults.add(RUN, Fault(Kind.LOST))
        before = self.runs()
        made: Instance = await self.cloud.launch(order())
        assert self.runs() - before == 1
        assert [one["InstanceId"] for one in self.there()] == [made.id]

    async def test_of_two_for_one_order_the_listing_has_both(self) -> None:
        """Moto ignores the token that EC2 knows an order by, so two are made, and no listing ends one of them.

        Which one the book has, and whether it is at work by now, only the engine knows: lists may be old.
        """
        self.ground.faults.add(RUN, Fault(Kind.LOST))
        self.ground.sees_nothing(BY_TOKEN, 2)  # before it is asked for again, and after
        made: Instance = await self.cloud.launch(order())
        both = sorted((one["LaunchTime"], one["InstanceId"]) for one in self.there())
        assert len(both) == 2
        for _ in range(2):
            found = await self.until(lambda found: [one.state is InstanceState.ACTIVE for one in found] == [True, True])
            assert [one.id for one in found] == [each[1] for each in both]
        assert {one.token for one in found} == {"token-1"}
        assert len(self.there()) == 2
        await self.cloud.destroy(next(one for one in found if one.id != made.id))
        assert [one["InstanceId"] for one in self.there()] == [made.id]

    async def test_the_elder_of_two_is_the_one_that_is_told_of(self) -> None:
        """Where the second look shows both; one that somebody has stopped is not the one to keep."""
        self.ground.faults.add(RUN, Fault(Kind.LOST))
        self.ground.sees_nothing(BY_TOKEN, 1)
        made: Instance = await self.cloud.launch(order())
        (elder, younger) = (found.id for found in (await self.cloud.list()).instances)
        assert made.id == elder
        self.ground.moto.client().stop_instances(InstanceIds=[elder])
        await self.until(lambda found: [one.id for one in found] == [younger, elder])
        assert (await self.cloud.launch(order())).id == younger

    async def test_no_answer_at_all_is_no_refusal(self) -> None:
        """It may be there: the caller is told that, and the next listing shows one instance for the order."""
        self.ground.faults.add(RUN, Fault(Kind.LOST), 100)
        self.ground.faults.add(BY_TOKEN, Fault(Kind.RESET), 100)
        await self.fails(self.cloud.launch(order()), NoAnswerError)
        self.ground.faults.calm()
        found = await self.until(lambda found: [one for one in found if one.state is InstanceState.ACTIVE])
        assert len(self.there()) == 1
        assert (found[0].token, found[0].owner) == ("token-1", "realm")

    async def test_a_refusal_after_a_lost_answer_is_no_refusal(self) -> None:
        """What is refused is the second try; whether the first took effect is not said."""
        self.ground.faults.add(RUN, Fault(Kind.RESET_AFTER))
        self.ground.sees_nothing(BY_TOKEN, 1)
        self.ground.says(RUN, "InsufficientInstanceCapacity", FULL, 500)
        await self.fails(self.cloud.launch(order()), NoAnswerError)
        assert len(await self.until(lambda found: found)) == 1

    async def test_half_a_list_is_no_list(self) -> None:
        """It is asked for again; where it never comes whole there is no answer."""
        await self.cloud.launch(order())
        self.ground.faults.add(DESCRIBE, Fault(Kind.HALF), 2)
        assert len((await self.cloud.list()).instances) == 1
        self.ground.faults.add(DESCRIBE, Fault(Kind.HALF), 100)
        await self.fails(self.cloud.list(), NoAnswerError)

    async def test_one_that_ec2_does_not_know_yet_is_not_gone(self) -> None:
        """Just after its launch: it is to be ended again.  What was never ours is gone."""
        made: Instance = await self.cloud.launch(order())
        message = f"The instance ID '{made.id}' does not exist"
        self.ground.says("Action=TerminateInstances", "InvalidInstanceID.NotFound", message)
        await self.fails(self.cloud.destroy(made), NoAnswerError)
        await self.cloud.destroy(made)
        assert self.there() == []
        await self.cloud.destroy(attrs.evolve(made, id="i-0123456789abcdef0"))

    # what is asked for

    async def test_what_an_instance_is_given(self) -> None:
        """Tags, user data, disks, a public address, and groups by name where their ids are needed."""
        client = self.ground.moto.client()
        subnet = client.describe_subnets()["Subnets"][0]
        group = client.create_security_group(GroupName="nodes", Description="nodes", VpcId=subnet["VpcId"])["GroupId"]
        client.create_key_pair(KeyName="ops")
        cloud = self.make(
            subnet_id=subnet["SubnetId"],
            security_groups=("nodes",),
            key_name="ops",
            use_public_ip_address=True,
            disk_map=("/dev/sda1=30:gp3", "/dev/sdb=8"),
        )
        made: Instance = await cloud.launch(order())
        (told,) = self.there()
        tags = {tag["Key"]: tag["Value"] for tag in told["Tags"]}
        assert tags.items() >= {
            "Name": "pool-1", "asyncluster-pool": "pool", "asyncluster-realm": "realm", "asyncluster-token": "token-1",
        }.items()  # fmt: skip
        assert told["NetworkInterfaces"][0]["Groups"][0]["GroupId"] == group
        assert (told["KeyName"], told["SubnetId"]) == ("ops", subnet["SubnetId"])
        assert len(told["BlockDeviceMappings"]) == 2
        assert made.address == told["PublicIpAddress"]
        data = client.describe_instance_attribute(InstanceId=made.id, Attribute="userData")["UserData"]["Value"]
        assert base64.b64decode(data) == b"#!/bin/sh\n# pool-1\n"

    async def test_a_group_by_name_is_one_of_the_default_vpc(self) -> None:
        """Each VPC has a group "default"; where it is another one by now, the next launch but one knows of it."""
        client = self.ground.moto.client()
        (vpc,) = client.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        client.create_vpc(CidrBlock="10.9.0.0/16")
        nodes = client.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc["VpcId"])["GroupId"]
        groups = {each["GroupId"]: each for each in client.describe_security_groups()["SecurityGroups"]}
        names = [each["GroupName"] for each in groups.values()]
        assert names.count("default") > 1
        cloud = self.make(security_groups=("default", "nodes"), use_public_ip_address=True)
        await cloud.launch(order())
        (told,) = self.there()
        given = {each["GroupId"] for each in told["NetworkInterfaces"][0]["Groups"]}
        assert {(groups[each]["GroupName"], groups[each]["VpcId"]) for each in given} == {
            ("default", vpc["VpcId"]),
            ("nodes", vpc["VpcId"]),
        }
        client.delete_security_group(GroupId=nodes)
        again = client.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc["VpcId"])["GroupId"]
        self.ground.says(RUN, "InvalidGroup.NotFound", f"The security group '{nodes}' does not exist")
        assert "config.security_groups" in await self.fails(cloud.launch(order(2)), CloudError)
        await cloud.launch(order(2))
        assert again in {each["GroupId"] for one in self.there() for each in one["NetworkInterfaces"][0]["Groups"]}

    async def test_leases_and_everything(self) -> None:
        """A renewed lease stands at each; one that is gone does no harm; those of other pools are told of."""
        kept, gone = [await self.cloud.launch(order(number)) for number in (1, 2)]
        other = self.ground.cloud(reactor, "other", "theirs")
        await other.launch(Order("pool-9", "token-9", "other", 600.0))
        self.ground.moto.client().run_instances(
            ImageId=self.ground.moto.image, MinCount=1, MaxCount=1, InstanceType="m5.large",
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "pool-77"}]}],
        )  # fmt: skip
        await self.cloud.renew([kept, attrs.evolve(gone, id="i-0123456789abcdef0")], 4_000_000_000.0)
        found = {one.name: one for one in (await self.cloud.everything()).instances}
        assert found["pool-1"].expires == 4_000_000_000.0
        assert (found["pool-9"].pool, found["pool-9"].owner) == ("other", "theirs")
        assert not found["pool-77"].ours
        assert {one.name for one in (await self.cloud.list()).instances} == {"pool-1", "pool-2", "pool-77"}

    async def test_what_a_type_has(self) -> None:
        """As EC2 says it, at our price."""
        has = await self.make(instance_type="g4dn.xlarge").flavor()
        assert (has.cores, has.memory, has.gpus, has.price) == (4, 16 * 1024**3, 1, 0.1)

    async def test_examined(self) -> None:
        """All is well; and what is not is named with the key that mends it."""
        findings = {each.name: each for each in await self.cloud.check()}
        assert [name for name, each in findings.items() if each.ok is False] == []
        assert findings["launch"].ok
        assert self.there() == []
        findings = {each.name: each for each in await self.make(image_id="ami-00000000", key_name="none").check()}
        assert [name for name, each in findings.items() if each.ok is False] == [
            "image",
            "key",
        ]  # moto dry-runs without a look
        assert "image_id" in findings["image"].mend
        self.ground.moto.enforce_keys()
        findings = {each.name: each for each in await self.make().check()}
        assert (findings["endpoint"].ok, findings["credentials"].ok, findings["image"].ok) == (True, False, None)
        self.ground.stop()
        findings = {each.name: each for each in await self.make().check()}
        assert (findings["endpoint"].ok, findings["credentials"].ok) == (False, None)

    async def test_a_trial_launch_is_what_a_launch_would_be(self) -> None:
        """With the groups' ids in the interface, as EC2 has it, and as a spot one (moto dry-runs without a look)."""
        client = self.ground.moto.client()
        subnet = client.describe_subnets()["Subnets"][0]
        group = client.create_security_group(GroupName="nodes", Description="nodes", VpcId=subnet["VpcId"])["GroupId"]
        cloud = self.make(subnet_id=subnet["SubnetId"], security_groups=("nodes",), spot_bid=0.05)
        findings = {each.name: each for each in await cloud.check()}
        assert findings["launch"].ok
        tried = [request.text for request, _ in self.ground.proxy.seen if "DryRun=true" in request.text][-1]
        assert f"NetworkInterface.1.SecurityGroupId.1={group}" in tried
        assert "MarketType=spot" in tried
        await cloud.launch(order())
        made = [request.text for request, _ in self.ground.proxy.seen if RUN in request.text][-1]
        words = ("NetworkInterface.", "InstanceMarketOptions.", "SecurityGroup", "ImageId", "Placement")
        assert _those(tried, words) == _those(made, words)

    async def test_the_quota_that_is_left(self) -> None:
        """As Service Quotas has it (recorded: moto knows none of EC2's), less what runs; without the right no fault."""
        await self.cloud.launch(order())
        quota = {"QuotaCode": "L-1216C47A", "QuotaName": "Running On-Demand Standard instances", "Value": 7.0}
        self.ground.bodies[200] = json.dumps({"Quota": quota}).encode()
        self.ground.faults.add("L-1216C47A", Fault(Kind.STATUS, 200))
        findings = {each.name: each for each in await self.cloud.check()}
        said = "2 nodes more: 2 of 7 vCPUs are in use (Running On-Demand Standard instances)"
        assert findings["quota"].text == said
        denied = {"__type": "AccessDeniedException", "Message": "User is not authorized"}
        self.ground.bodies[400] = json.dumps(denied).encode()
        self.ground.faults.add("L-1216C47A", Fault(Kind.STATUS, 400))
        findings = {each.name: each for each in await self.cloud.check()}
        assert findings["quota"].ok is None
        assert "needs servicequotas:GetServiceQuota" in findings["quota"].text
        assert "allow servicequotas:GetServiceQuota" in findings["quota"].mend
        self.ground.faults.add("L-1216C47A", Fault(Kind.RESET))
        findings = {each.name: each for each in await self.cloud.check()}
        assert findings["quota"].ok is None
        assert "Service Quotas did not answer get_service_quota" in findings["quota"].text
        assert findings["quota"].mend

    async def test_a_policy_without_a_right_that_is_not_needed(self) -> None:
        """Whom EC2 forbids to list zones it knows: the credentials are good, and all the rest is looked at."""
        cloud = self.make(availability_zone="us-east-1a")
        self.ground.says("Action=DescribeAvailabilityZones", "UnauthorizedOperation", "You are not authorized.", 403)
        findings = {each.name: each for each in await cloud.check()}
        assert [name for name, each in findings.items() if each.ok is False] == []
        assert findings["launch"].ok
        assert "perhaps zone us-east-1a (to look needs ec2:DescribeAvailabilityZones)" in findings["network"].text

    # through a proxy

    async def test_through_a_proxy(self) -> None:
        """All of it: the service is called by a name that only the proxy knows; as http, and in a tunnel as https."""
        load_or_make(self.folder)
        certificate, key = self.folder / CERTIFICATE_FILE, self.folder / KEY_FILE
        with WebProxy(self.ground.proxy.port, certificate, key) as proxy:
            out = {"proxy": "127.0.0.1", "proxy_port": proxy.port}
            self.cloud = self.make(endpoint="http://ec2.cloud.invalid", **out)
            made = await self.cloud.launch(order())
            assert [each["InstanceId"] for each in self.there()] == [made.id]
            assert set(proxy.seen) == {("POST", "ec2.cloud.invalid")}
            self.cloud = self.make(endpoint="https://ec2.cloud.invalid", validate_certs=False, **out)
            await self.cloud.destroy(made)
            assert self.there() == []
            assert ("CONNECT", "ec2.cloud.invalid:443") in proxy.seen
            refused = await self.make(endpoint="https://ec2.cloud.invalid", **out).check()
            assert (refused[0].name, refused[0].ok) == ("endpoint", False)
            assert "validate_certs" in refused[0].text
        findings = await self.make(endpoint="http://ec2.cloud.invalid", **out).check()  # it has ended
        assert (findings[0].name, findings[0].ok) == ("endpoint", False)
        assert "the proxy 127.0.0.1 cannot be reached" in findings[0].text
        assert "proxy_port" in findings[0].mend + findings[0].text

    # spot

    async def test_a_spot_instance(self) -> None:
        """Asked for at our price, once, and ended when it is reclaimed."""
        await self.make(spot_bid=0.05).launch(order())
        (told,) = self.there()
        assert told["InstanceLifecycle"] == "spot"
        asked = next(
            request.text for request, _ in self.ground.proxy.seen if RUN in request.text and "Spot" in request.text
        )
        assert "MaxPrice=0.05" in asked
        assert "SpotInstanceType=one-time" in asked

    async def test_none_at_that_price(self) -> None:
        """CapacityError, so that other pools are tried; the full price is paid by nobody who has not said so."""
        cloud = self.make(spot_bid=0.05, spot_timeout=0.001)
        for code, message, status in (("SpotMaxPriceTooLow", PRICE, 400), ("InsufficientInstanceCapacity", FULL, 500)):
            self.ground.says(RUN, code, message, status)
            said = await self.fails(cloud.launch(order()), CapacityError)
            assert "spot" in said
        assert self.there() == []

    async def test_the_full_price_after_a_time(self) -> None:
        """Where that is configured, and not before; a spot instance is asked for first all the same."""
        cloud = self.make(spot_bid=0.05, spot_timeout=3600.0, spot_on_demand=True)
        self.ground.says(RUN, "SpotMaxPriceTooLow", PRICE)
        assert "spot_timeout" in await self.fails(cloud.launch(order()), CapacityError)
        assert self.there() == []
        assert cloud._bids.since is not None
        cloud._bids.since -= 3601.0
        self.ground.says(RUN, "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        await cloud.launch(order(2))
        assert [one.get("InstanceLifecycle") for one in self.there()] == [None]
        await cloud.launch(order(3))
        assert sorted(str(one.get("InstanceLifecycle")) for one in self.there()) == ["None", "spot"]


def _those(request: str, words: tuple[str, ...]) -> list[str]:
    """What a request says of those things."""
    return sorted(each for each in request.rpartition("\n")[2].split("&") if each.startswith(words))
