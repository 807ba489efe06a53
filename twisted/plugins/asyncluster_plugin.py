"""Tells `twistd` that `asyncluster-master` and `asyncluster-node` exist; the services are made by their taps."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

asyncluster_master = ServiceMaker(
    "AsynCluster master",
    "asyncluster.master.tap",
    "Owns the queue and the book of nodes.",
    "asyncluster-master",
)

asyncluster_node = ServiceMaker(
    "AsynCluster node",
    "asyncluster.node.tap",
    "Runs tasks for a master on this machine.",
    "asyncluster-node",
)
