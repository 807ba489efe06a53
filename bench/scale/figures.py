"""The figures themselves.  Each starts services of its own, as an administrator would, and gives numbers by name."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncluster import Cluster
from asyncluster.client.future import TaskFuture
from asyncluster.programs import run_program
from asyncluster.testing.site import Daemon, Site
from bench.environments import prepare
from bench.plan import Load, System
from bench.processes import own_seconds, resident
from bench.work import nap, same

Values = dict[str, float]
LIMIT = 120.0
REGISTERED = 600.0
PART = 45_000
CLIENTS = 23
"""So many it takes for a million tasks; less for fewer of them would compare clients, not depths."""
KIB, MIB = 1024, 1024**2


@contextmanager
def site(**server: str) -> Iterator[Site]:
    """Services in a folder of their own, with the heartbeats of the defaults."""
    with tempfile.TemporaryDirectory(prefix="asyncluster-scale-") as folder:
        common = {"heartbeat": "8s", "silence limit": "20s"}
        with Site(
            Path(folder), common=common, server={key.replace("_", " "): value for key, value in server.items()}
        ) as made:
            yield made


def memory_of(daemon: Daemon) -> int:
    """Resident bytes."""
    size = resident(daemon.pid)
    assert size is not None, "it has ended"
    return size


def until(true: Callable[[], object]) -> None:
    """Wait for that, at most LIMIT seconds."""
    deadline = time.monotonic() + LIMIT
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to be so")
        time.sleep(0.02)


class Counted:
    """When the so-manyth of these calls ended, for those numbers; `perf_counter` seconds.  From any thread."""

    def __init__(self, futures: list[list[TaskFuture[int]]], numbers: tuple[int, ...]) -> None:
        self.at: dict[int, float] = {}
        self._numbers = frozenset(numbers)
        self._count = itertools.count(1)  # its `next` is one step, whatever thread takes it
        for future in itertools.chain.from_iterable(futures):
            future.add_done_callback(self._one)

    def _one(self, future: object) -> None:
        number = next(self._count)
        if number in self._numbers:
            self.at[number] = time.perf_counter()


def queue(depth: int, some: int = 100_000) -> Values:
    """So many tasks are queued, and as they are worked off, the rate of the first `some` while the rest still waits.

    Nobody is there to run them while they are queued; then a node with two slots joins.
    """
    with site() as here:
        master = here.start_master()
        with Cluster(socket=here.socket, output=None) as cluster:
            warm = [cluster.submit(same, number) for number in range(2_000)]
            node = here.start_node("warm", slots=2)
            for future in warm:
                future.result(LIMIT)
            node.stop()
            until(lambda: not cluster.nodes())
            before = memory_of(master)
            # a client hands over so many calls at a time: more of them come from more clients
            with contextlib.ExitStack() as stack:
                count = max(CLIENTS, -(-(depth + some) // PART))
                others = [stack.enter_context(Cluster(socket=here.socket, output=None)) for _ in range(count)]
                shares = [range(part, depth + some, count) for part in range(count)]
                futures = [
                    [other.submit(same, number) for number in share]
                    for other, share in zip(others, shares, strict=True)
                ]
                until(lambda: cluster.status()["queued"] == depth + some)
                time.sleep(2)  # the journal and the acknowledgements come after
                grown = memory_of(master) - before
                first, last = some // 5, some  # a rate is steady once its node has warmed up
                done = Counted(futures, (first, last))
                spent = own_seconds(master.pid) or 0.0
                here.start_node("worker", slots=2, wait=False)
                until(lambda: last in done.at)
                spent = (own_seconds(master.pid) or 0.0) - spent
                rate = (last - first) / (done.at[last] - done.at[first])
                for other in others:
                    other.shutdown(wait=False, cancel_futures=True)
    return {"tasks_s": rate, "master_us_a_task": spent * 1e6 / some, "kib_a_task": grown / (depth + some) / KIB}


def recovery(count: int = 100_000) -> Values:
    """Seconds from the start of a master, after one was killed with `count` tasks queued, to the first result.

    A node was there when it was killed, and looks for the next one.
    """
    with site() as here:
        master = here.start_master()
        here.start_node("worker", slots=2, client={"retry every": "1s"})
        with Cluster(socket=here.socket, output=None) as cluster:
            blockers = [cluster.submit(nap, 1.0) for _ in range(2)]
            futures = [cluster.submit(nap, 0.05) for _ in range(min(count, PART))]
            with contextlib.ExitStack() as stack:
                for start in range(PART, count, PART):
                    other = stack.enter_context(Cluster(socket=here.socket, output=None, reconnect=60))
                    for _ in range(start, min(count, start + PART)):
                        other.submit(nap, 0.05)
                    stack.callback(other.shutdown, wait=False, cancel_futures=True)
                until(lambda: cluster.status()["queued"] >= count - 1000)
                values = _killed_once(here, master, futures, blockers)
                cluster.shutdown(wait=False, cancel_futures=True)
    return values


def _killed_once(
    here: Site, master: Daemon, futures: list[TaskFuture[None]], blockers: list[TaskFuture[None]]
) -> Values:
    for blocker in blockers:
        blocker.result(LIMIT)
    futures[0].result(LIMIT)
    master.stop(signal.SIGKILL)
    time.sleep(1)  # what the node was given ahead runs out
    done = sum(future.done() for future in futures)
    begin = time.perf_counter()
    here.start_master()
    ready = time.perf_counter() - begin
    until(lambda: sum(future.done() for future in futures[: done + 500]) > done + 20)
    first = time.perf_counter() - begin
    return {"ready_s": ready, "first_dispatch_s": first}


def killed(count: int = 100_000, seconds: float = 0.002, every: float = 5.0) -> Values:
    """`count` tasks of `seconds`, undisturbed and while the master is killed every `every` seconds."""
    calm = _worked_off(count, seconds, None)
    rough = _worked_off(count, seconds, every)
    return {
        "calm_s": calm["seconds"],
        "killed_s": rough["seconds"],
        "ratio": rough["seconds"] / calm["seconds"],
        "kills": rough["kills"],
        "lost": rough["lost"],
        "twice": rough["twice"],
        "ran_again": rough["ran_again"],
    }


def _worked_off(count: int, seconds: float, every: float | None) -> Values:
    with site() as here, tempfile.TemporaryDirectory() as marks:
        master = [here.start_master()]
        here.start_node("worker", slots=4, client={"retry every": "1s"})
        over = threading.Event()
        kills = 0

        def kill() -> None:
            nonlocal kills
            while every is not None and not over.wait(every):
                master[0].stop(signal.SIGKILL)
                kills += 1
                master[0] = here.start_master()

        def work(number: int) -> int:
            import os
            import time

            time.sleep(seconds)
            with open(f"{marks}/{os.getpid()}", "a", encoding="ascii") as log:
                log.write(f"{number}\n")
            return number

        with Cluster(socket=here.socket, output=None) as cluster:
            begin = time.perf_counter()
            answers: list[int] = []
            futures = [cluster.submit(work, number) for number in range(count)]
            for future in futures:
                future.add_done_callback(lambda done: answers.append(done.result()))
            killer = threading.Thread(target=kill)
            killer.start()
            values = [future.result(LIMIT) for future in futures]
            taken = time.perf_counter() - begin
            over.set()
            killer.join()
        ran = [int(line) for path in Path(marks).iterdir() for line in path.read_text().split()]
        return {
            "seconds": taken,
            "kills": float(kills),
            "lost": float(sum(value != number for number, value in enumerate(values))),
            "twice": float(len(answers) - len(set(answers))),
            "ran_again": float(len(ran) - len(set(ran))),
        }


def durable(count: int = 100_000) -> Values:
    """Bulk no-op tasks a second of a durable job, against one that is not; in turns, the best of three each."""
    with site() as here:
        here.start_master()
        here.start_node("worker", slots=2)
        rates: dict[bool, list[float]] = {True: [], False: []}
        for safe in (True, False) * 3:
            with Cluster(socket=here.socket, output=None, durable=safe) as cluster:
                for number in range(200):
                    cluster.submit(same, number).result(LIMIT)
                begin = time.perf_counter()
                futures = [cluster.submit(same, number) for number in range(count)]
                for future in futures:
                    future.result(LIMIT)
                rates[safe].append(count / (time.perf_counter() - begin))
    return {
        "durable_s": max(rates[True]),
        "not_durable_s": max(rates[False]),
        "ratio": max(rates[True]) / max(rates[False]),
    }


def nodes(count: int, watch: float = 30.0, at_once: int = 1_000) -> Values:
    """So many nodes register, `at_once` of them together, and then idle.

    Seconds until all are there, processor time a node of the master and of the herd, master's growth, share of a core.
    They live in one process on this machine (see `herd`), which takes its share of the two cores.
    """
    with site() as here:
        master = here.start_master()
        before, idle = memory_of(master), own_seconds(master.pid) or 0.0
        sections = here.sections("herd")
        del sections["client"]["retry every"]  # as the default has it: a site made for tests tries every second
        config = here.config("herd", sections)
        command = [sys.executable, "-m", "bench.scale.herd", str(config), str(count), str(at_once)]
        herd = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            begin = time.perf_counter()
            gave_up = _registered(herd, count)
            taken = time.perf_counter() - begin
            ours, theirs = (own_seconds(master.pid) or 0.0) - idle, own_seconds(herd.pid) or 0.0
            time.sleep(5)
            spent = own_seconds(master.pid) or 0.0
            time.sleep(watch)
            share = ((own_seconds(master.pid) or 0.0) - spent) / watch
            grown = memory_of(master) - before
        finally:
            herd.kill()
            herd.communicate()
        refused = sum(map(int, re.findall(r"gate refused (\d+)", master.text())))
    return {
        "all_s": taken,
        "gave_up": float(gave_up),
        "refused": float(refused),
        "master_ms_a_node": ours * 1000 / count,
        "herd_ms_a_node": theirs * 1000 / count,
        "growth_mib": grown / MIB,
        "cpu_share": share,
    }


def _registered(herd: subprocess.Popen[str], count: int) -> int:
    """Wait until so many are; how many gave up.  TimeoutError with the last word when that takes too long."""
    over = threading.Timer(REGISTERED, herd.kill)
    over.start()
    gave_up, line = 0, ""
    assert herd.stdout is not None
    for line in herd.stdout:
        gave_up += line.startswith("gave up")
        if line.strip() == f"registered {count}":
            over.cancel()
            return gave_up
    raise TimeoutError(f"{count} nodes are not registered after {REGISTERED:.0f} s; the last word was {line.strip()!r}")


def programs(count: int = 2_000) -> Values:
    """`true` as a task of its own, so many times, on two slots: a second, ours (with journal) and HyperQueue's."""
    rival = prepare(System("hyperqueue", "HyperQueue", "", "hyperqueue", ("hyperqueue>=0.26",), Load()))
    with site() as here:
        here.start_master()
        here.start_node("worker", slots=2)
        with Cluster(socket=here.socket) as cluster:
            for tasks in (20, count):
                begin = time.perf_counter()
                futures = [cluster.submit(run_program, ["true"]) for _ in range(tasks)]
                assert [future.result(LIMIT) for future in futures] == [0] * tasks
                taken = time.perf_counter() - begin
    done = subprocess.run(
        [str(rival), str(Path(__file__).parent / "rivals.py"), str(count)], capture_output=True, text=True, check=True
    )
    theirs = float(done.stdout.split()[-1])
    return {"tasks_s": count / taken, "hyperqueue_tasks_s": count / theirs, "ratio": theirs / taken}
