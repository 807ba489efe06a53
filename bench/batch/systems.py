"""Which systems ask Slurm for nodes, and what pip installs for each. Pure."""

from __future__ import annotations

from bench.plan import Load, System

NODES, CORES, TASKS, NAP = 2, 2, 1000, 0.02
"""Of the Slurm; tasks of that many seconds."""

SYSTEMS = (
    System("ours", "AsynCluster (Cluster.from_batch)", "ours", "ours", (), Load()),
    System("dask", "dask-jobqueue adapt()", "dask", "dask-jobqueue", ("dask-jobqueue>=0.9",), Load()),
    System("parsl", "Parsl HTEX, SlurmProvider", "parsl", "parsl", ("parsl>=2025.10",), Load()),
)
