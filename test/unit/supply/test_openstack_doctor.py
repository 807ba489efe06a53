"""What `cloud check` tells of a pool in OpenStack where nova refuses, without one."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import pytest

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply import Finding, Flavor
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.aws.doctor import REST
from asyncluster.supply.openstack.asking import Asking, EndpointError
from asyncluster.supply.openstack.doctor import KEYS, Doctor


class Refusing(Asking):
    """A cloud that says no to everything but who we are."""

    def authorize(self) -> None:
        """We are let in."""

    def nova(self, method: str, path: str, doing: str, body: Any = None, **query: str | int) -> Mapping[str, Any]:
        """See the class; the limits belong to who we are."""
        if doing == "look at the limits":
            return {}
        raise CloudError(f"nova says no to {doing}")

    def neutron(self, path: str, doing: str, **query: str | int) -> Mapping[str, Any]:
        """See the class."""
        raise CloudError(f"neutron says no to {doing}")

    def glance(self, path: str, doing: str, **query: str | int) -> Mapping[str, Any]:
        """See the class."""
        raise CloudError(f"glance says no to {doing}")


def doctor(asking: Asking) -> Doctor:
    """Of a pool that asks that."""

    def flavor() -> Flavor:
        raise CloudError("there is none")

    return Doctor(asking, flavor, lambda: asking.neutron("/networks", "list networks"))


def test_each_that_fails_names_the_settings_that_mend_it() -> None:
    """Whoever refuses, and whatever it says; in the order and by the names of all clouds."""
    asking = Refusing("burst", OpenStackUnit(key_name="ops", security_groups=("nodes",), image_uuid="i"))
    findings = doctor(asking).look()
    assert [each.name for each in findings] == [*KEYS]
    assert [*KEYS] == ["endpoint", *(name for name in REST if name != "launch")]
    assert [each.name for each in findings if each.ok] == ["endpoint", "credentials"]
    by_name = {each.name: each for each in findings}
    for name in ("image", "flavor", "quota", "key"):
        assert by_name[name].mend == f"look at [cloud] burst.config.{KEYS[name]} in asyncluster.yaml"
    for key in ("networks", "security_groups", "availability_zone"):
        assert f"look at [cloud] burst.config.{key} in asyncluster.yaml" in by_name["network"].mend


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (NoAnswerError("away"), "endpoint"),
        (EndpointError("no keystone"), "endpoint"),
        (CloudError("no"), "credentials"),
    ],
)
def test_what_stands_in_the_way(error: Exception, failed: str) -> None:
    """It is told with its mend, and all behind it as not looked at."""

    class Out(Refusing):
        def authorize(self) -> None:
            raise error

    findings = doctor(Out("burst", OpenStackUnit())).look()
    assert [each.name for each in findings] == [*KEYS]
    assert [each.name for each in findings if each.ok is False] == [failed]
    assert all(each.ok is None for each in findings[findings.index(_of(findings, failed)) + 1 :])
    assert _of(findings, failed).mend == f"look at [cloud] burst.config.{KEYS[failed]} in asyncluster.yaml"


def _of(findings: list[Finding], name: str) -> Finding:
    return next(each for each in findings if each.name == name)


def test_a_port_where_nobody_listens() -> None:
    """In few words, with what mends it; by the library itself."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        unit = OpenStackUnit(auth_url=f"{url}/v3", username="u", password="p", project="q", time_limit=10.0)
        first = doctor(Asking("burst", unit)).look()[0]
    assert (first.name, first.ok) == ("endpoint", False)
    assert f"Connection refused ({url})" in first.text
    assert len(first.text) < 250, first.text
    assert first.mend == f"look at [cloud] burst.config.{KEYS['endpoint']} in asyncluster.yaml"
