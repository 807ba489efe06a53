"""A backend for joblib.

`import asyncluster.client.joblib`, then `joblib.parallel_config(backend="asyncluster", cluster=cluster)`.
Without `cluster=` it makes one of its own for the time of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from joblib.parallel import (  # type: ignore[import-untyped]  # joblib has no types
    AutoBatchingMixin,
    ParallelBackendBase,
    register_parallel_backend,
)

from asyncluster.client.futures import Cluster


class AsynClusterBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib is not typed
    """Runs joblib's batches as tasks of a Cluster."""

    supports_retrieve_callback = True
    supports_timeout = True
    default_n_jobs = -1
    # our round trip is about a millisecond: small batches are no waste
    MIN_IDEAL_BATCH_DURATION = 0.02
    MAX_IDEAL_BATCH_DURATION = 0.2

    def __init__(self, cluster: Cluster | None = None, nesting_level: int | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        self._cluster = cluster
        self._own: Cluster | None = None
        self._options = options
        self._futures: set[Any] = set()

    @property
    def cluster(self) -> Cluster:
        """The one that was given, or our own."""
        if self._cluster is not None:
            return self._cluster
        if self._own is None:
            self._own = Cluster(**self._options)
        return self._own

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Tasks at a time; a positive n_jobs is a wish for fewer."""
        slots = int(self.cluster._max_workers)
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        return slots if n_jobs is None or n_jobs < 0 else min(n_jobs, slots)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Any:
        """Hand over one batch."""
        # the batch is an argument, not a function of the job: no two are alike
        future = self.cluster.submit(_run_batch, func)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """The values of a batch, or its exception."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what is queued, and want nothing more of what runs."""
        del ensure_ready
        for future in list(self._futures):
            future.give_up()

    def terminate(self) -> None:
        """End our own cluster; the user's lives on."""
        if self._own is not None:
            own, self._own = self._own, None
            own.shutdown(wait=False)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Inside a task: one after the other."""
        from joblib.parallel import SequentialBackend

        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def __reduce__(self) -> Any:
        """A batch drags its backend along; there it is never used to make a connection."""
        return _elsewhere, ()


def _run_batch(batch: Callable[[], Any]) -> Any:
    return batch()


def _elsewhere() -> AsynClusterBackend:
    return AsynClusterBackend()


register_parallel_backend("asyncluster", AsynClusterBackend)
