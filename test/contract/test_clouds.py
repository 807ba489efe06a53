"""The contract of clouds on this machine's own pool, on machines behind a played ssh, and behind Debian's sshd."""

from __future__ import annotations

import pytest

from asyncluster.testing import aws, hosts, sshd
from asyncluster.testing.aws import AwsGround
from asyncluster.testing.cloud_contract import cloud_contract
from asyncluster.testing.cloud_troubles import cloud_troubles
from asyncluster.testing.clouds import LocalGround, PlayedSshGround, ssh_ground
from asyncluster.testing.elastic_schedule import PlayedGround

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.timeout(600)]

MISSING = hosts.missing() or sshd.missing()


class TestLocalCloud(cloud_contract(LocalGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, of processes here."""


class TestPlayedCloud(cloud_contract(PlayedGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, of the cloud that the engine's random schedules are played against."""


class TestHostsCloud(cloud_contract(PlayedSshGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, where a script stands for ssh."""


class TestTroublesOfHosts(cloud_troubles(PlayedSshGround)):  # type: ignore[misc]  # made at run time
    """What is told of machines that die or do not answer."""


class TestHostsCloudBySshd(cloud_contract(ssh_ground, MISSING)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, with real ssh."""


class TestTroublesOfHostsBySshd(cloud_troubles(ssh_ground, MISSING)):  # type: ignore[misc]  # made at run time
    """The same with real ssh."""


class TestAws(cloud_contract(AwsGround, aws.missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, of EC2 as moto plays it."""


class TestTroublesOfAws(cloud_troubles(AwsGround, aws.missing())):  # type: ignore[misc]  # made at run time
    """What is told of instances that die, and of an endpoint that does not answer."""
