"""concurrent.futures.ProcessPoolExecutor: one machine, pipes, no proof, no encryption; the bar for pure overhead."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from bench.drivers.base import FutureHandles


class Pool(FutureHandles):
    """Two workers by the default start method; chunks of 1,000 (its docs: a large chunksize for long iterables)."""

    def start(self) -> None:
        self.pool = ProcessPoolExecutor(max_workers=2)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        return self.pool.submit(function, argument)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, items, chunksize=1_000))

    def stop(self) -> None:
        self.pool.shutdown()

    def version(self) -> str:
        return platform.python_version()
