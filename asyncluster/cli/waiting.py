"""Waits until a cluster has what was asked for; knows only how to ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from asyncluster.errors import AsynClusterError
from asyncluster.model.node import NodeView

SECONDS = 30.0


def wait_for_nodes(nodes: Callable[[], Sequence[NodeView]], count: int, seconds: float = SECONDS) -> Sequence[NodeView]:
    """The nodes, as soon as there are so many; raises AsynClusterError when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        present = nodes()
        if len(present) >= count:
            return present
        if time.monotonic() > deadline:
            raise AsynClusterError(
                f"after {seconds:.0f} s only {len(present)} of {count} nodes are there; their logs tell why"
            )
        time.sleep(0.05)


def wait_for_name(nodes: Callable[[], Sequence[NodeView]], name: str, log: object, seconds: float = SECONDS) -> None:
    """Return when that node is there; raises AsynClusterError, which names its log, when time is up."""
    deadline = time.monotonic() + seconds
    while name not in {node.name for node in nodes()}:
        if time.monotonic() > deadline:
            raise AsynClusterError(f"node {name} has not joined after {seconds:.0f} s; {log} tells why")
        time.sleep(0.05)
