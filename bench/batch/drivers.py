"""One program of each system, run on Slurm's login node in that system's environment: `python -m bench.batch.drivers`.

    drivers.py SYSTEM FOLDER BEGIN

BEGIN: seconds since the epoch when this process was asked for. Prints JSON: seconds from there to the first result and
to all of them. Each asks for nodes with two cores, two at most, with the defaults of its system for everything else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from bench.batch.systems import CORES, NAP, NODES, TASKS

HEAD = "10.77.0.1"


def work(number: int) -> int:
    """The task."""
    import time

    time.sleep(NAP)
    return number * number


def ours() -> Iterator[int]:
    """Results as they come."""
    from concurrent.futures import as_completed

    from asyncluster import Cluster

    with Cluster.from_batch("slurm", cores=CORES, max_nodes=NODES, walltime="0:10:00", output=None) as cluster:
        for future in as_completed([cluster.submit(work, number) for number in range(TASKS)]):
            yield future.result()


def dask(folder: str) -> Iterator[int]:
    """The same."""
    from dask_jobqueue import SLURMCluster
    from distributed import Client, as_completed

    with (
        SLURMCluster(
            cores=CORES,
            memory="400MB",
            walltime="00:10:00",
            interface="eth0",
            scheduler_options={"interface": "br0", "dashboard": False},
            local_directory=folder,
            log_directory=folder,
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.adapt(maximum_jobs=NODES)
        for future in as_completed([client.submit(work, number, pure=False) for number in range(TASKS)]):
            yield future.result()


def parsl(folder: str) -> Iterator[int]:
    """The same."""
    from concurrent.futures import as_completed

    import parsl
    from parsl import python_app
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import SlurmProvider

    provider = SlurmProvider(
        partition="main",
        exclusive=False,
        cores_per_node=CORES,
        init_blocks=0,
        min_blocks=0,
        max_blocks=NODES,
        walltime="00:10:00",
        worker_init=f"export PATH={sys.prefix}/bin:$PATH",
    )
    executor = HighThroughputExecutor(address=HEAD, max_workers_per_node=CORES, provider=provider)
    with parsl.load(Config(executors=[executor], run_dir=f"{folder}/run", usage_tracking=0)):
        app = python_app(work)
        for future in as_completed([app(number) for number in range(TASKS)]):
            yield future.result()


def main(system: str, folder: str, begin: float) -> None:
    """Time one system; AssertionError for a wrong result."""
    results = ours() if system == "ours" else {"dask": dask, "parsl": parsl}[system](folder)
    total = count = 0
    first = whole = 0.0
    for value in results:
        first = first or time.time() - begin
        total, count = total + value, count + 1
        if count == TASKS:
            whole = time.time() - begin
    assert (count, total) == (TASKS, sum(number * number for number in range(TASKS)))
    print(json.dumps({"first": first, "all": whole}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
