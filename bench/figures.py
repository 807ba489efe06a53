"""What is measured, defined once for every system. Runs inside a system's own environment: standard library only.

Each figure is a function of a running system and its load, and gives plain numbers by name. The results of every
call are checked: a wrong answer is an error, not a fast system.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from statistics import median
from typing import Any, Protocol

from bench.plan import Load
from bench.processes import own_seconds, resident, tree_seconds
from bench.stats import percentile
from bench.work import nap, same, same_all

Values = dict[str, float]
CHUNK = 1_000  # calls in a chunk made by hand
PASSES, LONG = 5, 1.5  # a short measurement is repeated: at most so often, for about so many seconds
PAYLOAD = 4_000_000  # bytes
SETTLE = 0.3  # seconds for acknowledgements that follow the last result, before processor time is read


class Adapter(Protocol):
    """One system in its own best way of doing these things (drivers say whose advice they follow)."""

    def start(self) -> None:
        """Start it with two workers, from nothing running."""

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """One task, tracked on its own; gives a handle."""

    def result(self, handle: Any) -> Any:
        """Wait for one task."""

    def gather(self, handles: list[Any]) -> list[Any]:
        """Wait for many, in order."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Many calls of which nobody follows the single one."""

    def stop(self) -> None:
        """End all of it."""

    def version(self) -> str:
        """Which release is measured."""

    def master(self) -> int | None:
        """The process that owns the queue, where the system lets us know."""

    def extras(self) -> Values:
        """What only this system can tell of itself (worker start, say)."""


class WrongResultError(Exception):
    """A system gave something else than what its functions returned."""


def check(given: Sequence[Any], expected: Sequence[Any]) -> None:
    """Raise WrongResultError unless both are equal."""
    if list(given) != list(expected):
        raise WrongResultError(f"{len(given)} results, {len(expected)} expected, or not the same ones")


def many(system: Adapter, count: int) -> None:
    """Submit `count` tasks one by one, then fetch all their results."""
    handles = [system.submit(same, number) for number in range(count)]
    check(system.gather(handles), range(count))


def latency(system: Adapter, load: Load) -> Values:
    """One call at a time on an idle system: milliseconds from submission to result."""
    for number in range(load.warm):
        system.result(system.submit(same, number))
    taken = []
    for number in range(load.latency):
        begin = time.perf_counter()
        given = system.result(system.submit(same, number))
        taken.append((time.perf_counter() - begin) * 1e3)
        check([given], [number])
    return {"p50_ms": percentile(taken, 0.50), "p99_ms": percentile(taken, 0.99), "calls": load.latency}


def balance(system: Adapter, load: Load) -> Values:
    """Tasks that each take a while, on two workers: the share of what is possible at best."""
    begin = time.perf_counter()
    system.gather([system.submit(nap, load.nap) for _ in range(load.naps)])
    seconds = time.perf_counter() - begin
    return {"share": load.naps * load.nap / 2 / seconds, "seconds": seconds, "tasks": load.naps}


def typical(run: Callable[[], None]) -> float:
    """Seconds that `run` takes: once when it is long, else the median of up to five times."""
    taken: list[float] = []
    while len(taken) < PASSES and sum(taken) < LONG:
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def mapped(system: Adapter, load: Load) -> Values:
    """Trivial calls by the system's own bulk map, and in chunks of 1,000 made by hand: calls a second."""
    few = min(2_000, load.mapped // 10)
    check(system.map(same, range(few)), range(few))
    seconds = typical(lambda: check(system.map(same, range(load.mapped)), range(load.mapped)))
    chunks = [range(first, first + CHUNK) for first in range(0, load.chunked, CHUNK)]

    def by_hand() -> None:
        parts = system.gather([system.submit(same_all, chunk) for chunk in chunks])
        check(list(chain.from_iterable(parts)), range(load.chunked))

    return {
        "calls_s": load.mapped / seconds,
        "seconds": seconds,
        "calls": load.mapped,
        "chunked_calls_s": load.chunked / typical(by_hand),
    }


def bulk(system: Adapter, load: Load) -> Values:
    """No-op tasks, each with its own handle: tasks a second, and processor time a task in all processes."""
    many(system, load.bulk // 10)
    keeper, master = os.getppid(), system.master()
    before, master_before = tree_seconds(keeper), own_seconds(master) if master else None
    begin = time.perf_counter()
    many(system, load.bulk)
    seconds = time.perf_counter() - begin
    time.sleep(SETTLE)
    values = {
        "tasks_s": load.bulk / seconds,
        "seconds": seconds,
        "tasks": load.bulk,
        "cpu_us": (tree_seconds(keeper) - before) / load.bulk * 1e6,
    }
    master_after = own_seconds(master) if master else None
    if master_before is not None and master_after is not None:
        values["master_cpu_us"] = (master_after - master_before) / load.bulk * 1e6
    return values


def payloads(system: Adapter, load: Load) -> Values:
    """Arguments of 4 MB that come back as results: MB a second, both ways counted; the master's memory afterwards."""
    data = os.urandom(PAYLOAD)
    check([system.result(system.submit(same, data))], [data])

    def run() -> None:
        handles = [system.submit(same, data) for _ in range(load.payloads)]
        check(system.gather(handles), [data] * load.payloads)

    seconds = typical(run)
    found = {"mb_s": 2 * load.payloads * PAYLOAD / 1e6 / seconds, "seconds": seconds, "payloads": load.payloads}
    master = system.master()
    after = resident(master) if master else None
    return found if after is None else found | {"master_mib": after / 2.0**20}


def memory(system: Adapter, load: Load, before: int) -> Values:
    """The master's memory in MiB when fresh (`before`, bytes) and after many finished and fetched tasks."""
    done = 0
    while done < load.memory:
        count = min(load.batch, load.memory - done)
        many(system, count)
        done += count
    time.sleep(1.0)
    master = system.master()
    after = resident(master) if master else None
    if after is None:
        raise WrongResultError("the master is gone, or its process is not known")
    mebi = 2.0**20
    return {
        "before_mib": before / mebi,
        "after_mib": after / mebi,
        "growth_mib": (after - before) / mebi,
        "tasks": done,
    }


def measure(system: Adapter, load: Load, figures: Sequence[str], spawned: float) -> Iterator[tuple[str, Values]]:
    """Start the system and take the figures asked for, each as soon as it is known; the caller stops the system."""
    system.start()
    check([system.result(system.submit(same, 7))], [7])
    seconds = time.monotonic() - spawned
    master = system.master()
    fresh = resident(master) if master else None
    if "start" in figures:
        yield "start", {"seconds": seconds, **system.extras()}
    for name, take in (("latency", latency), ("balance", balance), ("map", mapped)):
        if name in figures:
            yield name, take(system, load)
    if "bulk" in figures or "cpu" in figures:
        yield "bulk", bulk(system, load)
    if "memory" in figures and load.memory and fresh is not None:
        yield "memory", memory(system, load, fresh)
    if "payloads" in figures and load.payloads:  # last: what they took the allocator may keep
        yield "payloads", payloads(system, load)
