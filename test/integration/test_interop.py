"""What takes an executor takes ours: joblib, Dask, SciPy."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster import Cluster

pytestmark = pytest.mark.real


@pytest.fixture
def cluster(cluster_socket: str) -> Any:
    with Cluster(socket=cluster_socket) as cluster:
        yield cluster


def test_joblib(cluster: Cluster, cluster_socket: str) -> None:
    """By its documented road, with a cluster that is given or made for the call; errors come through."""
    joblib = pytest.importorskip("joblib")
    import asyncluster.client.joblib  # noqa: F401

    calls = [joblib.delayed(lambda x: x * x)(x) for x in range(300)]
    with joblib.parallel_config(backend="asyncluster", cluster=cluster):
        assert joblib.Parallel()(calls) == [x * x for x in range(300)]
        assert list(joblib.Parallel(n_jobs=2, return_as="generator")(calls)) == [x * x for x in range(300)]
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()(joblib.delayed(lambda x: 1 // x)(x) for x in (1, 0))
    with joblib.parallel_config(backend="asyncluster", socket=cluster_socket):
        assert joblib.Parallel()(calls) == [x * x for x in range(300)]
    assert cluster.submit(abs, -1).result(30) == 1


def test_dask(cluster: Cluster) -> None:
    """dask.compute(scheduler=executor)."""
    dask = pytest.importorskip("dask")

    @dask.delayed
    def double(x: int) -> int:
        return 2 * x

    total = dask.delayed(sum)([double(x) for x in range(50)])
    assert dask.compute(total, scheduler=cluster) == (2450,)


def test_scipy(cluster: Cluster) -> None:
    """scipy.optimize.differential_evolution(workers=executor.map)."""
    optimize = pytest.importorskip("scipy.optimize")

    def bowl(x: Any) -> float:
        return float((x[0] - 1) ** 2 + (x[1] + 2) ** 2)

    found = optimize.differential_evolution(
        bowl, [(-5, 5), (-5, 5)], workers=cluster.map, updating="deferred", seed=1, maxiter=60
    )
    assert abs(found.x[0] - 1) < 1e-3
    assert abs(found.x[1] + 2) < 1e-3
