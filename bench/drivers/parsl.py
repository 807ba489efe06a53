"""Parsl's HighThroughputExecutor: interchange and two workers on loopback, no monitoring, no usage tracking."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import parsl
from parsl.app.python import PythonApp
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

from bench.drivers.base import FutureHandles


class AsInstalled(FutureHandles):
    """Its own defaults: encrypted, as ours is, and with its log files, as ours has; one app per function.

    It has no batching `map` (ParslPoolExecutor ignores `chunksize`).
    """

    distribution = "parsl"
    executor: Mapping[str, Any] = {}
    config: Mapping[str, Any] = {}

    def start(self) -> None:
        executor = HighThroughputExecutor(
            label="htex",
            address="127.0.0.1",
            max_workers_per_node=2,
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
            **self.executor,
        )
        config = Config(
            executors=[executor],
            run_dir=os.path.join(os.environ["TMPDIR"], "runinfo"),
            strategy="none",
            usage_tracking=0,
            **self.config,
        )
        self.kernel = parsl.load(config)
        self.apps: dict[Any, Any] = {}

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        app = self.apps.get(function)
        if app is None:
            app = self.apps[function] = PythonApp(function, data_flow_kernel=self.kernel, executors=["htex"])
        return app(argument)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self.gather([self.submit(function, item) for item in items])

    def stop(self) -> None:
        self.kernel.cleanup()


class Tuned(AsInstalled):
    """As fast as it can: a little prefetch, as its docs advise for many short tasks, no encryption, no log."""

    executor: Mapping[str, Any] = {"prefetch_capacity": 2, "encrypted": False}
    config: Mapping[str, Any] = {"initialize_logging": False}
