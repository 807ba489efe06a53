"""What nova refuses, as our errors: with the limit's name, or with the key that mends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from asyncluster.errors import CloudError, NoAnswerError, QuotaError
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.openstack import faults

UNIT = OpenStackUnit(
    username="ann", password="hidden", image_uuid="image-1", flavor="big", key_name="key-1", security_groups=("a", "b")
)


UNIFIED = "Resource %s is over limit of 2 due to current usage 2 and delta 1"
"""As oslo.limit writes it."""


def said(text: str, kind: str = "badRequest") -> str:
    """A body as nova writes it."""
    return json.dumps({kind: {"code": 400, "message": text}})


@pytest.mark.parametrize(
    ("status", "text", "limit"),
    [
        (403, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", "instances"),
        (403, "Quota exceeded for cores, ram: Requested 2, 4096, but already used 19, 0 of 20 cores", "cores, ram"),
        (403, "Quota exceeded for resources: ['port'].", "port"),
        (413, "Quota exceeded for ram: Requested 1", "ram"),
        (403, "Maximum number of ports exceeded", "Maximum number of ports"),
        (403, "Quota exceeded, too many servers in group", "servers in group"),
        (403, "Quota exceeded, too many key pairs.", "key pairs"),
        (403, f"Project 7 is over a limit for [{UNIFIED % 'servers'}]", "servers"),
        (
            403,
            f"Project 7 is over a limit for [{UNIFIED % 'class:VCPU'}, {UNIFIED % 'class:MEMORY_MB'}]",
            "class:VCPU, class:MEMORY_MB",
        ),
    ],
)
def test_quota(status: int, text: str, limit: str) -> None:
    """The limit is named."""
    error = faults.refused("night", UNIT, status, said(text, "forbidden"), "make night-1")
    assert isinstance(error, QuotaError)
    assert str(error).endswith(f"(limit {limit})")


def test_a_quota_in_other_words_is_a_quota() -> None:
    """Without a name for it; a policy whose name has the word is none, and what we may not do is no quota."""
    for text in ("Project 7 is over a limit.", "Your quota does not allow this flavor"):
        error = faults.refused("night", UNIT, 403, said(text, "forbidden"), "make night-1")
        assert isinstance(error, QuotaError)
        assert str(error).endswith(text)
    for text in ("Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.", "Policy doesn't allow it"):
        error = faults.refused("night", UNIT, 403, said(text, "forbidden"), "look at the limits")
        assert type(error) is CloudError
        assert "username, password" in str(error)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("Can not find requested image", "image_uuid", "image-1"),
        ("Invalid key_name provided.", "key_name", "key-1"),
        ("Security group c not found for project 7", "security_groups", "a, b"),
        ("The requested availability zone is not available", "availability_zone", "not set"),
        ("Flavor's disk is too small for requested image.", "image_uuid", "image-1"),
        ("Multiple possible networks found, use a Network ID to be more specific.", "networks", "not set"),
    ],
)
def test_what_is_not_there_names_its_key(text: str, key: str, value: str) -> None:
    """Key and value."""
    error = faults.refused("night", UNIT, 400, said(text), "make night-1")
    assert type(error) is CloudError
    assert text in str(error)
    assert f"[cloud] night.config.{key} in asyncluster.yaml is {value}" in str(error)


def test_credentials() -> None:
    """A wrong password names the settings, and never their values."""
    error = faults.refused("night", UNIT, 401, said("The request you have made requires authentication."), "log in")
    assert type(error) is CloudError
    assert "night.config.username, password and project" in str(error)
    assert "hidden" not in str(error) + repr(UNIT)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_no_answer(status: int) -> None:
    """The cloud is ill, or asks for patience: nothing is known."""
    assert isinstance(faults.refused("night", UNIT, status, "", "list servers"), NoAnswerError)


def test_what_nobody_knows_is_told_as_it_is() -> None:
    """With its status."""
    assert "gremlins (status 409)" in str(faults.refused("night", UNIT, 409, said("gremlins"), "make night-1"))


def test_messages() -> None:
    """Nova's, neutron's, keystone's, a load balancer's page, nothing; on one line."""
    assert faults.message(said("a\n b")) == "a b"
    assert faults.message('{"NeutronError": {"type": "X", "message": "no"}}') == "no"
    assert faults.message('{"message": "plain"}') == "plain"
    assert faults.message("<html><h1>502 Bad Gateway</h1></html>") == "502 Bad Gateway"
    assert faults.message("") == faults.message("{}") == faults.message("[1]"[:0]) == ""


def test_retry_after() -> None:
    """Seconds, or a date."""
    now = datetime(2026, 11, 21, 19, 0, 0, tzinfo=UTC)
    assert faults.wait_of({"Retry-After": "30"}) == 30.0
    assert faults.wait_of({"Retry-After": "Sat, 21 Nov 2026 19:01:00 GMT"}, now) == 60.0
    assert faults.wait_of({"Retry-After": "Sat, 21 Nov 2026 18:59:00 GMT"}, now) == 0.0
    assert faults.wait_of({"Retry-After": "soon"}) == faults.wait_of({}) == 0.0
