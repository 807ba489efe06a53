"""dask.distributed: LocalCluster over loopback TCP, two single-threaded worker processes, no dashboard.

As its docs advise: `submit(pure=False)` (no hashing of arguments), `Client.gather` for many, `map(batch_size=…)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from distributed import Client, Future, LocalCluster

from bench.drivers.base import FutureHandles


class Distributed(FutureHandles):
    """Scheduler in the client's process, as LocalCluster has it; workers with their nannies."""

    distribution = "distributed"

    def start(self) -> None:
        self.cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            worker_dashboard_address=None,
        )
        self.client = Client(self.cluster)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future:
        return self.client.submit(function, argument, pure=False)

    def gather(self, handles: list[Any]) -> list[Any]:
        return list(self.client.gather(handles))

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.client.gather(self.client.map(function, items, pure=False, batch_size=1_000)))

    def stop(self) -> None:
        self.client.close()
        self.cluster.close()
