"""ipyparallel: controller and two engines on loopback, load-balanced view.

Its docs advise a `chunksize` for `map` over many short calls: 1,000, as for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipyparallel

from bench.drivers.base import FutureHandles


class Balanced(FutureHandles):
    """`apply_async` for tasks: each has its own AsyncResult."""

    distribution = "ipyparallel"

    def start(self) -> None:
        self.cluster = ipyparallel.Cluster(n=2, controller_ip="127.0.0.1", engine_timeout=60)
        self.cluster.start_cluster_sync()
        self.client = self.cluster.connect_client_sync()
        self.client.wait_for_engines(2, timeout=60)
        self.view = self.client.load_balanced_view()

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        return self.view.apply_async(function, argument)

    def result(self, handle: Any) -> Any:
        return handle.get()

    def gather(self, handles: list[Any]) -> list[Any]:
        self.client.wait(handles)
        return [handle.get() for handle in handles]

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.view.map_sync(function, items, chunksize=1_000))

    def stop(self) -> None:
        self.client.close()
        self.cluster.stop_cluster_sync()
