"""The contract of clouds on this machine's own pool, on machines behind a played ssh, and behind Debian's sshd."""

from __future__ import annotations

import pytest

from asyncluster.testing import hosts, sshd
from asyncluster.testing.clouds import LocalGround, PlayedSshGround, ssh_ground
from asyncluster.testing.contracts import cloud_contract

pytestmark = pytest.mark.real


class TestLocalCloud(cloud_contract(LocalGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, of processes here."""


class TestHostsCloud(cloud_contract(PlayedSshGround)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, where a script stands for ssh."""


class TestHostsCloudBySshd(cloud_contract(ssh_ground, hosts.missing() or sshd.missing())):  # type: ignore[misc]  # made at run time
    """Everything the contract asks, with real ssh."""
