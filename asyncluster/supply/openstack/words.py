"""What nova says, as our values: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from asyncluster.model.supply import Flavor, Instance, InstanceState
from asyncluster.supply.naming import TAG, read_tags

Server = Mapping[str, Any]

STATES = {
    "BUILD": InstanceState.STARTING,
    "ACTIVE": InstanceState.ACTIVE,
    "REBOOT": InstanceState.ACTIVE,
    "HARD_REBOOT": InstanceState.ACTIVE,
    "PASSWORD": InstanceState.ACTIVE,
    "MIGRATING": InstanceState.ACTIVE,
    "ERROR": InstanceState.ERROR,
    "SHUTOFF": InstanceState.ERROR,  # nobody starts it again, and it costs what it costs
    "SHELVED": InstanceState.ERROR,
    "SHELVED_OFFLOADED": InstanceState.ERROR,
    "SOFT_DELETED": InstanceState.DELETING,  # still in the quota; `destroy` ends it for good
    "DELETED": InstanceState.GONE,
}
"""Every other status (PAUSED, SUSPENDED, RESCUE, a resize …) is somebody's doing that may pass: unknown."""

_GPUS = re.compile(r"[^,:]*gpu[^,:]*:([0-9]+)", re.IGNORECASE)
_MB = 1024**2


def tag_of_pool(pool: str) -> str:
    """The tag by which a pool's servers are listed; nova takes 60 characters, no comma and no slash."""
    return f"{TAG}-pool-{pool}"


def instance(server: Server) -> Instance:
    """One server of a detailed list."""
    tags = read_tags(_mapping(server.get("metadata")))
    name = str(server.get("name") or "")
    return Instance(
        id=str(server["id"]),
        name=tags.name or name if tags else name,
        state=state(server),
        ours=tags is not None,
        owner=tags.realm if tags else "",
        token=tags.token if tags else "",
        address=address(server),
        born=born(server),
        said=said(server),
        expires=tags.expires if tags else 0.0,
        pool=tags.pool if tags else "",
    )


def state(server: Server) -> InstanceState:
    """Of a server; one that is being deleted says so only in its task."""
    status = str(server.get("status") or "").upper()
    if str(server.get("OS-EXT-STS:task_state") or "") == "deleting" and status not in ("DELETED", "ERROR"):
        return InstanceState.DELETING
    return STATES.get(status, InstanceState.UNKNOWN)


def said(server: Server) -> str:
    """The cloud's own words: status, what is being done to it, and what went wrong."""
    status, task = str(server.get("status") or ""), str(server.get("OS-EXT-STS:task_state") or "")
    fault = str(_mapping(server.get("fault")).get("message") or "")
    return status + (f" ({task})" if task else "") + (f": {fault}" if fault else "")


def address(server: Server) -> str:
    """Where it may be reached: what it says of itself, else a fixed address before a floating one, IPv4 before IPv6."""
    for key in ("accessIPv4", "accessIPv6"):
        if server.get(key):
            return str(server[key])
    networks = _mapping(server.get("addresses")).values()
    found = [each for network in networks for each in network if isinstance(each, Mapping) and each.get("addr")]
    found.sort(key=lambda each: (each.get("OS-EXT-IPS:type") == "floating", each.get("version") != 4))
    return str(found[0]["addr"]) if found else ""


def born(server: Server) -> float:
    """When it was ordered, in seconds since the epoch; 0 = it does not say."""
    try:
        return datetime.fromisoformat(str(server.get("created"))).timestamp()
    except ValueError:
        return 0.0


def flavor(found: Mapping[str, Any], price: float) -> Flavor:
    """One flavor of a detailed list.  Gpus: what its extra specs ask for by an alias that says gpu, or as VGPU."""
    specs = _mapping(found.get("extra_specs"))
    gpus = sum(map(int, _GPUS.findall(str(specs.get("pci_passthrough:alias", "")))))
    virtual = str(specs.get("resources:VGPU", "0"))
    gpus += int(virtual) if virtual.isdecimal() else 0
    return Flavor(int(found["vcpus"]), int(found["ram"]) * _MB, gpus, price)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
