"""What nova says, as our values."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.model.supply import Flavor, InstanceState, Order
from asyncluster.supply.naming import tags
from asyncluster.supply.openstack import words

ORDER = Order("night-1", "token", "night", 600.0)


def server(**more: Any) -> dict[str, Any]:
    """One as nova lists it."""
    plain = {"id": "1f0c", "name": "night-1", "status": "ACTIVE", "created": "2026-11-21T19:00:00Z", "addresses": {}}
    return plain | {"metadata": tags(ORDER, "realm", 1795291200.0)} | more


def test_ours_bears_all_that_we_wrote() -> None:
    """Realm, token, pool and lease come back out of the metadata."""
    found = words.instance(server())
    assert (found.id, found.name, found.state, found.ours) == ("1f0c", "night-1", InstanceState.ACTIVE, True)
    assert (found.owner, found.token, found.pool, found.expires) == ("realm", "token", "night", 1795291200.0)
    assert found.born == 1795287600.0


def test_a_renamed_server_keeps_its_name_with_us() -> None:
    """The name that it was ordered by is in its tags."""
    assert words.instance(server(name="my-favourite")).name == "night-1"


def test_a_stranger_is_no_ones() -> None:
    """Named as ours, without our tags."""
    found = words.instance(server(metadata={"colour": "blue"}))
    assert (found.name, found.ours, found.owner, found.token) == ("night-1", False, "", "")


@pytest.mark.parametrize(
    ("status", "task", "expected"),
    [
        ("BUILD", "spawning", InstanceState.STARTING),
        ("ACTIVE", None, InstanceState.ACTIVE),
        ("ACTIVE", "deleting", InstanceState.DELETING),
        ("BUILD", "deleting", InstanceState.DELETING),
        ("DELETED", "deleting", InstanceState.GONE),
        ("ERROR", "deleting", InstanceState.ERROR),
        ("SHUTOFF", None, InstanceState.ERROR),
        ("SOFT_DELETED", None, InstanceState.DELETING),
        ("HARD_REBOOT", "rebooting_hard", InstanceState.ACTIVE),
        ("VERIFY_RESIZE", None, InstanceState.UNKNOWN),
        ("SOMETHING_NEW", None, InstanceState.UNKNOWN),
        (None, None, InstanceState.UNKNOWN),
    ],
)
def test_states(status: str | None, task: str | None, expected: InstanceState) -> None:
    """Each of nova's; one that nobody knows is no sign of an end."""
    assert words.state({"status": status, "OS-EXT-STS:task_state": task}) is expected


def test_a_fault_is_told_in_the_clouds_words() -> None:
    """With the status, and with what is being done."""
    fault = {"code": 500, "message": "No valid host was found. "}
    assert words.said(server(status="ERROR", fault=fault)) == "ERROR: No valid host was found. "
    assert words.said(server(status="BUILD", **{"OS-EXT-STS:task_state": "spawning"})) == "BUILD (spawning)"


def test_addresses() -> None:
    """A fixed one before a floating one, IPv4 before IPv6, and what the server says of itself before all."""
    kind = "OS-EXT-IPS:type"
    six = {"addr": "fd78::5", "version": 6, kind: "fixed"}
    four = {"addr": "10.0.0.5", "version": 4, kind: "fixed"}
    floating = {"addr": "192.0.2.5", "version": 4, kind: "floating"}
    assert words.address(server()) == ""
    assert words.address(server(addresses={"a": [floating, six], "b": [four]})) == "10.0.0.5"
    assert words.address(server(addresses={"a": [floating, six]})) == "fd78::5"
    assert words.address(server(addresses={"a": [floating]})) == "192.0.2.5"
    assert words.address(server(addresses={"a": [four]}, accessIPv4="198.51.100.7")) == "198.51.100.7"


def test_flavors() -> None:
    """Memory in bytes; gpus where the extra specs tell of them."""
    plain = {"vcpus": 2, "ram": 2048}
    assert words.flavor(plain, 0.25) == Flavor(2, 2 * 1024**3, 0, 0.25)
    gpus = plain | {"extra_specs": {"pci_passthrough:alias": "nic:1,tesla-GPU:2"}}
    assert words.flavor(gpus, 0.0).gpus == 2
    assert words.flavor(plain | {"extra_specs": {"resources:VGPU": "1"}}, 0.0).gpus == 1
