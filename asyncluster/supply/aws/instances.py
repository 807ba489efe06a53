"""What EC2 says of instances, as values of ours; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from asyncluster.model.supply import Flavor, Instance, InstanceState
from asyncluster.supply.naming import read_tags

STATES = {
    "pending": InstanceState.STARTING,
    "running": InstanceState.ACTIVE,
    "shutting-down": InstanceState.DELETING,
    "terminated": InstanceState.GONE,
    "stopping": InstanceState.ERROR,  # nobody of ours stops one, and its disks cost money
    "stopped": InstanceState.ERROR,
}

ALIVE = ("pending", "running", "stopping", "stopped")
"""Its words for what may still run, or run again."""


def state_of(word: str) -> InstanceState:
    """UNKNOWN for a word that this release has not heard of."""
    return STATES.get(word, InstanceState.UNKNOWN)


def instance_of(told: Mapping[str, Any], public: bool) -> Instance:
    """public: whether a node is reached by its public address."""
    tags = {str(tag.get("Key")): str(tag.get("Value", "")) for tag in told.get("Tags") or ()}
    ours = read_tags(tags)
    word = str((told.get("State") or {}).get("Name", ""))
    reason = str((told.get("StateReason") or {}).get("Message", "")) or str(told.get("StateTransitionReason", ""))
    said = f"{word}: {reason}" if reason else word
    address = told.get("PublicIpAddress" if public else "PrivateIpAddress") or ""
    born = told.get("LaunchTime")
    found = Instance(
        id=str(told["InstanceId"]),
        name=tags.get("Name", ""),
        state=state_of(word),
        ours=ours is not None,
        address=str(address),
        born=born.timestamp() if born is not None else 0.0,
        said=f"{said} (spot)" if told.get("InstanceLifecycle") == "spot" else said,
    )
    if ours is None:
        return found
    return Instance(
        id=found.id,
        name=ours.name or found.name,
        state=found.state,
        owner=ours.realm,
        token=ours.token,
        address=found.address,
        born=found.born,
        said=found.said,
        expires=ours.expires,
        pool=ours.pool,
    )


def instances_of(page: Mapping[str, Any], public: bool) -> list[Instance]:
    """All of one answer of DescribeInstances or RunInstances."""
    groups: Iterable[Any] = page.get("Reservations", [page])
    return [instance_of(told, public) for group in groups for told in group.get("Instances") or ()]


def named_like_ours(instance: Instance, prefix: str) -> bool:
    """It bears no tag of ours and is called as by this pool, not by another one whose prefix begins as ours does."""
    return not instance.ours and instance.name.startswith(prefix) and instance.name.removeprefix(prefix).isalnum()


def flavor_of(told: Mapping[str, Any], price: float) -> Flavor:
    """Of one answer of DescribeInstanceTypes."""
    gpus = sum(int(each.get("Count", 0)) for each in (told.get("GpuInfo") or {}).get("Gpus") or ())
    return Flavor(
        cores=int((told.get("VCpuInfo") or {}).get("DefaultVCpus", 1)),
        memory=int((told.get("MemoryInfo") or {}).get("SizeInMiB", 0)) * 1024**2,
        gpus=gpus,
        price=price,
    )
