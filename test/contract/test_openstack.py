"""The contract of clouds on a real OpenStack."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from asyncluster.testing import openstack
from asyncluster.testing.cloud_contract import cloud_contract
from asyncluster.testing.cloud_troubles import cloud_troubles
from asyncluster.testing.openstack_ground import openstack_ground

pytestmark = [pytest.mark.real, pytest.mark.namespaces, pytest.mark.openstack, pytest.mark.timeout(600)]

SCRIPTS = Path(__file__).parents[1] / "openstack"
MISSING = openstack.missing(SCRIPTS)
GROUND = openstack_ground(functools.partial(openstack.shared, SCRIPTS))


class TestOpenStack(cloud_contract(GROUND, MISSING)):  # type: ignore[misc]  # made at run time
    """Everything the contract asks."""


class TestTroublesOfOpenStack(cloud_troubles(GROUND, MISSING)):  # type: ignore[misc]  # made at run time
    """What is told of servers that die, and without an answer."""
