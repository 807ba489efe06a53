"""Which systems there are, in which order they take turns, how much each is given. Pure; it measures nothing.

The counts differ between systems so that each measurement takes a few seconds; no system's cost a task depends
on the count in this range (rates are compared, never times).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIGURES = ("start", "latency", "balance", "map", "bulk", "cpu", "memory", "payloads")
SUBJECTS = ("ours", "ours-tcp")


@dataclass(frozen=True)
class Load:
    """How much one system is given in one round; calls and tasks are counts, `limit` is in seconds."""

    bulk: int = 2_000
    mapped: int = 100_000
    chunked: int = 100_000  # a multiple of 1,000
    latency: int = 300
    warm: int = 50
    naps: int = 200
    nap: float = 0.02
    memory: int = 0  # tasks for the memory figure; 0: not taken
    payloads: int = 0  # of 4 MB, both ways; 0: not taken
    batch: int = 20_000  # how many of them are outstanding at once
    limit: float = 300.0


@dataclass(frozen=True)
class System:
    """One competitor: `driver` is a module in bench/drivers, `needs` is what pip installs for it."""

    name: str
    label: str
    driver: str
    environment: str
    needs: tuple[str, ...]
    load: Load


SYSTEMS = (
    System("ours", "AsynCluster (client on UNIX socket)", "ours:Embedded", "ours", (), Load(
        bulk=40_000, latency=1_000, payloads=100, memory=1_000_000, limit=600)),
    System("ours-tcp", "AsynCluster (client on TCP + TLS)", "ours:Services", "ours", (), Load(
        bulk=40_000, latency=1_000, payloads=100)),
    System("ppe", "ProcessPoolExecutor", "ppe:Pool", "ppe", (), Load(bulk=12_000, latency=1_000)),
    System("ray", "Ray tasks", "ray:Tasks", "ray", ("ray>=2.50",), Load(bulk=4_000)),
    System("ray-actors", "Ray actors", "ray:Actors", "ray", ("ray>=2.50",), Load(bulk=4_000)),
    System("dask", "dask.distributed", "dask:Distributed", "dask", ("distributed>=2025.10",), Load(
        bulk=1_500, mapped=2_000, payloads=100)),
    System("ipyparallel", "ipyparallel", "ipyparallel:Balanced", "ipyparallel", ("ipyparallel>=9.0",), Load(bulk=500)),
    System("parsl", "Parsl HTEX", "parsl:AsInstalled", "parsl", ("parsl>=2025.10",), Load(
        bulk=1_500, mapped=2_000)),
    System("parsl-tuned", "Parsl HTEX without encryption and log", "parsl:Tuned", "parsl", ("parsl>=2025.10",), Load(
        bulk=1_500, mapped=2_000)),
)  # fmt: skip


def quick(load: Load) -> Load:
    """A tenth of everything: shows that the harness works, gives no figure worth quoting."""
    return replace(
        load,
        bulk=load.bulk // 10,
        mapped=load.mapped // 10,
        chunked=load.chunked // 10,
        latency=max(30, load.latency // 10),
        warm=10,
        naps=40,
        payloads=load.payloads // 5,
        memory=load.memory // 20,
        limit=120.0,
    )


def chosen(names: str | None, everything: tuple[str, ...]) -> tuple[str, ...]:
    """The names in a comma-separated list, in our own order; all of them for None. Raises ValueError on an unknown."""
    if names is None:
        return everything
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in everything]
    if unknown or not wanted:
        raise ValueError(f"{', '.join(unknown) or 'an empty list'} is not among {', '.join(everything)}")
    return tuple(name for name in everything if name in wanted)
