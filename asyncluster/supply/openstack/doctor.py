"""What a launch will need, looked at one by one: who we are, and each thing that the pool names.  It blocks."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import attrs

from asyncluster.errors import AsynClusterError, NoAnswerError
from asyncluster.model.supply import Finding, Flavor
from asyncluster.model.supply_options import OpenStackUnit
from asyncluster.supply.openstack import faults
from asyncluster.supply.openstack.asking import Asking, EndpointError

_MB = 1024**2

KEYS = {
    "endpoint": "auth_url, region_name, ca_file, cloud",
    "credentials": faults.CREDENTIALS,
    "image": "image_uuid",
    "flavor": "flavor",
    "quota": "flavor",
    "network": "networks, security_groups, availability_zone",
    "key": "key_name",
}
"""What is looked at, in order, and the settings that have to do with it; the names are those of all clouds."""


class UnfitError(Exception):
    """Something is not as it should be: what, and how to mend it."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


Findings = list[Finding]


@attrs.define(eq=False)
class Doctor:
    """Of one pool.  flavor, networks: as the cloud looks them up."""

    asking: Asking
    flavor: Callable[[], Flavor]
    networks: Callable[[], object]

    @property
    def unit(self) -> OpenStackUnit:
        """One server."""
        return self.asking.unit

    def look(self) -> Findings:
        """All findings; what a failed one stands in the way of is told as not looked at."""
        found: Findings = []
        try:
            self.asking.authorize()
            self.asking.nova("GET", "/limits", "look at the limits")
        except (NoAnswerError, EndpointError) as error:
            return [self._fails("endpoint", error), *_not_looked("endpoint")]
        except AsynClusterError as error:
            found = [self._answers(), self._fails("credentials", error)]
            return [*found, *_not_looked("credentials")]
        found = [self._answers(), Finding("credentials", True, "keystone and nova let us in")]
        checks = (self._image, self._flavor, self._quota, self._network, self._key)
        return [*found, *map(self._finding, _after("credentials"), checks)]

    def _finding(self, name: str, check: Callable[[], str]) -> Finding:
        try:
            return Finding(name, True, check())
        except UnfitError as error:
            return Finding(name, False, str(error), error.mend)
        except AsynClusterError as error:
            return self._fails(name, error)

    def _fails(self, name: str, error: Exception) -> Finding:
        return Finding(name, False, str(error), f"look at {self._at(KEYS[name])}")

    def _answers(self) -> Finding:
        return Finding(
            "endpoint", True, f"keystone answers at {self.unit.auth_url or 'its URL, as it is set elsewhere'}"
        )

    def _at(self, key: str) -> str:
        return faults.keys(self.asking.pool, key)

    def _flavor(self) -> str:
        found = self.flavor()
        gpus = f", {found.gpus} gpus" if found.gpus else ""
        return f"{self.unit.flavor}: {found.cores} cores, {found.memory // _MB} MiB{gpus}"

    def _image(self) -> str:
        found = self.asking.glance(f"/images/{quote(self.unit.image_uuid, safe='')}", "look at the image")
        name, status = found.get("name"), found.get("status")
        if status != "active":
            raise UnfitError(f"the image {name} is {status}", f"{self._at('image_uuid')} takes one that is active")
        least, has = int(found.get("min_ram") or 0), self.flavor().memory // _MB
        if least > has:
            raise UnfitError(
                f"the image {name} needs {least} MiB, and the flavor has {has}",
                f"{self._at('flavor')} takes a larger one",
            )
        return f"{name} is active"

    def _key(self) -> str:
        name = self.unit.key_name
        if not name:
            return "none is asked for"
        self.asking.nova("GET", f"/os-keypairs/{quote(name, safe='')}", f"find the key {name} ({self._at('key_name')})")
        return name

    def _network(self) -> str:
        """All three, whatever is wrong with one of them."""
        parts = {"networks": self._networks, "security_groups": self._groups, "availability_zone": self._zone}
        said: list[str] = []
        wrong: list[tuple[str, str]] = []
        for key, part in parts.items():
            try:
                said.append(part())
            except UnfitError as error:
                wrong.append((str(error), error.mend))
            except AsynClusterError as error:
                wrong.append((str(error), f"look at {self._at(key)}"))
        if wrong:
            raise UnfitError("; ".join(text for text, _ in wrong), "; ".join(mend for _, mend in wrong))
        return ", ".join(said)

    def _groups(self) -> str:
        for name in self.unit.security_groups:
            found = self.asking.neutron("/security-groups", "list security groups", name=name).get("security_groups")
            by_id = self.asking.neutron("/security-groups", "list security groups", id=name).get("security_groups")
            if not found and not by_id:
                raise UnfitError(
                    f"there is no security group {name}",
                    f"{self._at('security_groups')} takes names (`openstack security group list` shows all)",
                )
        groups = self.unit.security_groups
        return f"group {', '.join(groups)}" if groups else "the project's default group"

    def _zone(self) -> str:
        wanted = self.unit.availability_zone
        found = self.asking.nova("GET", "/os-availability-zone", "list zones").get("availabilityZoneInfo", ())
        zones = [each["zoneName"] for each in found if each.get("zoneState", {}).get("available")]
        if wanted and wanted.partition(":")[0] not in zones:
            raise UnfitError(
                f"there is no zone {wanted}; there is {', '.join(zones) or 'none'}",
                f"{self._at('availability_zone')} names one",
            )
        return f"zone {wanted}" if wanted else f"the cloud's own choice of zone ({', '.join(zones)})"

    def _networks(self) -> str:
        self.networks()
        if self.unit.networks:
            return f"network {', '.join(self.unit.networks)}"
        found = self.asking.neutron("/networks", "list networks").get("networks", ())
        names = [str(each.get("name")) for each in found if not each.get("router:external")]
        if len(names) > 1:
            raise UnfitError(
                f"the project has several: {', '.join(names[:10])}", f"{self._at('networks')} names those to use"
            )
        return f"network {names[0]}" if names else "no network as yet; the cloud makes one where it is set up so"

    def _quota(self) -> str:
        has = self.flavor()
        limits = self.asking.nova("GET", "/limits", "look at the limits").get("limits", {}).get("absolute", {})
        left: dict[str, int] = {}
        for name, each, most, used in (
            ("instances", 1, "maxTotalInstances", "totalInstancesUsed"),
            ("cores", has.cores, "maxTotalCores", "totalCoresUsed"),
            ("ram", has.memory // _MB, "maxTotalRAMSize", "totalRAMUsed"),
        ):
            if int(limits.get(most, -1)) >= 0:
                left[name] = max(0, (int(limits[most]) - int(limits.get(used, 0))) // max(each, 1))
        if not left:
            return "without limits"
        name = min(left, key=lambda key: left[key])
        if not left[name]:
            raise UnfitError(
                f"not one server more: the project's limit of {name} is used up",
                "end what is not needed (`asyncluster cloud orphans`), or have the limit raised",
            )
        return f"{left[name]} servers more, by the limit of {name}"


def _after(name: str) -> list[str]:
    return list(KEYS)[list(KEYS).index(name) + 1 :]


def _not_looked(after: str) -> Findings:
    return [Finding(name, None, f"not looked at, because of {after}") for name in _after(after)]
