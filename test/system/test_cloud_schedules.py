"""Random schedules of the engine over HTTP: clouds' endpoints behind a proxy that misbehaves, masters that are killed.

ASYNCLUSTER_CLOUD_SCHEDULES says how many; half of it where the endpoint is a real one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from asyncluster.supply.naming import read_tags
from asyncluster.testing import aws, openstack
from asyncluster.testing.aws import AwsGround
from asyncluster.testing.cloud_schedule import OPTIONS, CloudSchedule
from asyncluster.testing.faultproxy import FaultProxy, Kind, Scripted
from asyncluster.testing.openstack_ground import OpenStackGround

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.openstack, pytest.mark.timeout(36000)]

SCRIPTS = Path(__file__).parents[1] / "openstack"
MANY = int(os.environ.get("ASYNCLUSTER_CLOUD_SCHEDULES", "3"))


class AwsSchedules(TestCase):
    """On moto."""

    skip = aws.missing() or None
    timeout = 36000.0
    ground: AwsGround
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        """One server for all of them."""
        cls.folder = Path(tempfile.mkdtemp(prefix="asyncluster-schedules-"))
        cls.ground = AwsGround(cls.folder).__enter__()

    @classmethod
    def tearDownClass(cls) -> None:
        """It ends."""
        cls.ground.__exit__()
        shutil.rmtree(cls.folder, ignore_errors=True)

    async def test_nothing_is_left_and_no_busy_node_ends(self) -> None:
        """Whatever the endpoint does, and whenever the master dies; all that was ever made bears our tags."""
        moto = self.ground.moto
        for seed in range(MANY):
            schedule = CloudSchedule(reactor, seed, self.make, self.ground.proxy, lambda: len(moto.run()))
            try:
                await schedule.play()
            except AssertionError as error:
                raise AssertionError(f"schedule {seed}: {error}") from error
            for group in moto.client().describe_instances()["Reservations"]:
                for one in group["Instances"]:
                    tags = read_tags({tag["Key"]: tag["Value"] for tag in one["Tags"]})
                    assert tags is not None, one
                    assert (tags.realm, tags.pool, bool(tags.token), tags.expires > 0) == ("realm", "pool", True, True)
        assert {fault.kind for _, fault in self.ground.proxy.seen} - {Kind.NONE}, "faults were made"

    def make(self, mortal: Any) -> Any:
        """The cloud of one master."""
        return self.ground.cloud(mortal, "pool", "realm")


SLOWER = attrs.evolve(
    OPTIONS, action_limit=60.0, cloud_poller_interval=1.5, max_listing_age=90.0, max_idle_time=3.0, stray_grace=10.0,
    missing_time=20.0, lease=30.0,
)  # fmt: skip
"""Each of its calls takes tenths of a second, and a server some seconds."""


class OpenStackSchedules(TestCase):
    """On nova, with keystone and all the rest."""

    skip = openstack.missing(SCRIPTS) or None
    timeout = 36000.0

    async def test_nothing_is_left_and_no_busy_node_ends(self) -> None:
        """The same; keystone is spared, since without a token nothing else is ever asked."""
        plane = openstack.shared(SCRIPTS)
        self.addCleanup(plane.clear)
        compute = plane.admin().compute
        with FaultProxy(plane.ports["nova"], Scripted(), rewrite={plane.url("nova"): "{url}"}) as nova:
            told = {plane.url("nova"): nova.url, plane.url("keystone"): "{url}"}
            with FaultProxy(plane.ports["keystone"], Scripted(), rewrite=told) as keystone:
                ground = OpenStackGround(plane, auth_url=f"{keystone.url}/v3")
                for seed in range((MANY + 1) // 2):
                    schedule = CloudSchedule(
                        reactor,
                        seed,
                        lambda mortal: ground.cloud(mortal, "pool", "realm"),
                        nova,
                        lambda: len(list(compute.servers(all_projects=True, details=False))),
                        SLOWER,
                    )
                    try:
                        await schedule.play()
                    except AssertionError as error:
                        raise AssertionError(f"schedule {seed}: {error}") from error
            assert {fault.kind for _, fault in nova.seen} - {Kind.NONE}, "faults were made"
