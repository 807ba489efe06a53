"""What `cloud check` tells of a pool in OpenStack where nova refuses, without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncluster.errors import CloudError
from asyncluster.model.supply import Flavor
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.openstack.asking import Asking
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


def test_each_that_fails_names_the_settings_that_mend_it() -> None:
    """Whoever refuses, and whatever it says."""
    asking = Refusing("burst", OpenStackUnit(key_name="ops", security_groups=("nodes",), image_uuid="i"))

    def flavor() -> Flavor:
        raise CloudError("there is none")

    findings = Doctor(asking, flavor, lambda: asking.neutron("/networks", "list networks")).look()
    assert {each.name for each in findings} == KEYS.keys()
    assert [each.name for each in findings if each.ok] == ["credentials"]
    for each in findings[1:]:
        assert each.mend == f"look at [cloud] burst.config.{KEYS[each.name]} in asyncluster.yaml"
