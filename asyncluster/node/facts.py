"""What this machine is: cores, memory, names.  Read once, when the node starts."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

import psutil

from asyncluster.model.node import NodeFacts

CGROUP = Path("/sys/fs/cgroup")


def quota(root: Path = CGROUP, own: Path = Path("/proc/self/cgroup")) -> float:
    """Give the CPUs that control groups allow this process; infinity when they do not limit it."""
    limits = [float("inf")]
    try:
        entries = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return limits[0]
    for _, controllers, path in (entry for entry in entries if len(entry) == 3):
        version_one = "cpu" in controllers.split(",")
        if controllers and not version_one:
            continue
        base = root / controllers if version_one else root
        folder = base / path.strip("/")
        for place in (folder, *folder.parents):  # a limit above us counts too
            limits.append(_limit(place))
            if place == base:
                break
    return min(limits)


def _limit(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            allowed, period = (folder / "cpu.max").read_text().split()
        else:
            allowed = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float("inf") if allowed == "max" or int(allowed) < 0 else int(allowed) / int(period)
    except (OSError, ValueError):
        return float("inf")


def cores() -> int:
    """Give how many tasks can compute at a time: affinity and control groups honoured, one at least."""
    return max(1, int(min(len(os.sched_getaffinity(0)), quota())))


def gather(
    name: str,
    slots: int,
    serves: str,
    software: str,
    birthplace: str = "daemon",
    gpus: int = 0,
    features: tuple[str, ...] = (),
) -> NodeFacts:
    """Give what a node says of itself; `slots` 0 means all cores; `gpus`: how many tasks are given."""
    return NodeFacts(
        name=name,
        host=socket.gethostname(),
        slots=slots or cores(),
        cores=cores(),
        memory=psutil.virtual_memory().total,
        python=".".join(platform.python_version_tuple()[:2]),
        serves=serves,
        birthplace=birthplace,
        pid=os.getpid(),
        software=software,
        gpus=gpus,
        features=features,
    )
