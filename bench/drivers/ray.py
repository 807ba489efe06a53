"""Ray on one machine, two CPUs, no dashboard, no usage report: once with tasks, once with two actors in turn.

As its docs advise: `ray.get` once on all references, never one by one; `map` by its own
`ray.util.multiprocessing.Pool`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.util.multiprocessing import Pool

from bench import work
from bench.drivers.base import FutureHandles


@ray.remote(num_cpus=0)  # two of them are two workers; with a CPU each none would be left for the Pool
class Hand:
    """An actor with the measured functions as methods, as one would write it: no function travels with a call."""

    def same(self, number: int) -> int:
        return work.same(number)

    def same_all(self, numbers: range) -> list[int]:
        return work.same_all(numbers)

    def nap(self, seconds: float) -> float:
        return work.nap(seconds)


class Tasks(FutureHandles):
    """One remote function per function; `num_cpus=1` each, so two run at a time."""

    distribution = "ray"

    def start(self) -> None:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=200 * 2**20,
            log_to_driver=False,
            _temp_dir=os.path.join(os.environ["TMPDIR"], "ray"),
            _node_ip_address="127.0.0.1",
        )
        self.remotes: dict[Any, Any] = {}
        self.pool: Pool | None = None

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        remote = self.remotes.get(function)
        if remote is None:
            remote = self.remotes[function] = ray.remote(num_cpus=1)(function)
        return remote.remote(argument)

    def result(self, handle: Any) -> Any:
        return ray.get(handle)

    def gather(self, handles: list[Any]) -> list[Any]:
        return list(ray.get(handles))

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        if self.pool is None:  # made by the warm-up call, so that its start is not counted
            self.pool = Pool(processes=2, ray_remote_args={"num_cpus": 0})
        return list(self.pool.map(function, items, chunksize=1_000))

    def stop(self) -> None:
        if self.pool is not None:
            self.pool.terminate()
        ray.shutdown()


class Actors(Tasks):
    """Two actors that live as long as the run, given calls in turn."""

    def start(self) -> None:
        super().start()
        self.turn = itertools.cycle([Hand.remote() for _ in range(2)])

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        return getattr(next(self.turn), function.__name__).remote(argument)
