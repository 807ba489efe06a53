"""Random schedules of the engine over HTTP: clouds' endpoints behind a proxy that misbehaves, masters that are killed.

ASYNCLUSTER_CLOUD_SCHEDULES says how many.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from asyncluster.supply.naming import read_tags
from asyncluster.testing import aws
from asyncluster.testing.aws import AwsGround
from asyncluster.testing.cloud_schedule import CloudSchedule

pytestmark = [pytest.mark.real, pytest.mark.timeout(36000)]

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
        done = {fault.kind for _, fault in self.ground.proxy.seen}
        assert len(done) > 4, "faults of several kinds were made"

    def make(self, mortal: Any) -> Any:
        """The cloud of one master."""
        return self.ground.cloud(mortal, "pool", "realm")
