"""`python -m bench.elastic`: what a plan for 2,000 nodes, 50,000 queued batch jobs and 20 pools costs.

Prints milliseconds of processor time of one plan (median and longest of the rounds) and of the table of all jobs'
reasons, which is made when somebody asks for one, memory in MiB that a plan takes beyond its input, the longest turn
of the reactor while a scheduler's answer and a plan are taken over, and for how long a reactor that has the plan made
in a thread is kept from its turn.  The exit code is 1 when one of these turns was longer than it may be.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable
from random import Random

import attrs

from asyncluster import collecting
from asyncluster.daemon import settle
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.past import Past
from asyncluster.elastic.plan import plan
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Pool, Reservation

GIB = 1024**3
STALL = 20.0
"""Milliseconds for which the reactor may be kept from its turn."""


def situation(nodes: int, jobs: int, pools: int, every_job_differs: bool = False) -> Situation:
    """A busy site: pools kept for queues and accounts, a tenth of the nodes idle, jobs of many shapes."""
    random = Random(1)
    made = tuple(
        Pool(
            f"p{i}", "bench", Flavor(random.choice([4, 8, 16]), 32 * GIB), most=nodes // pools + 5,
            priority=i % 3,
            reservation=Reservation(queue=f"q{i % 5}" if i % 2 else "", account=f"a{i % 4}" if i % 3 == 0 else ""),
        )
        for i in range(pools)
    )  # fmt: skip
    records, seen, listings = {}, [], {pool.name: [] for pool in made}
    for i in range(nodes):
        pool = made[i % pools]
        name = f"{pool.name}-{i}"
        used = 0 if i % 10 == 0 else random.randint(1, pool.flavor.cores)
        records[name] = NodeRecord(name, pool.name, name, Life.UP, 0.0, 0.0, "bench", instance=name, started=0.0)
        state = NodeState.BUSY if used else NodeState.IDLE
        memory = used * random.randint(1, 2 * GIB)
        seen.append(BatchNode(name, state, pool.flavor.cores, used, 32 * GIB, memory, jobs=("r",) if used else ()))
        listings[pool.name].append(Instance(name, name, InstanceState.ACTIVE, token=name))
    waiting = []
    for i in range(jobs):
        chunk = Chunk(random.choice([1, 1, 1, 2, 4]), random.choice([1, 2, 4, 8, 32]), random.choice([0, 1, 4]) * GIB)
        if every_job_differs:
            chunk = attrs.evolve(chunk, memory=chunk.memory + i)
        waiting.append(
            BatchJob(
                f"{i}.head", BatchState.QUEUED, (chunk,), owner=f"u{i % 50}", queue=f"q{i % 6}", account=f"a{i % 5}",
                priority=float(random.randint(0, 1000)), submitted=float(i),
                walltime=random.choice([600.0, 3600.0, 86400.0]),
            )
        )  # fmt: skip
    return Situation(
        1000.0, Options(), made, Demand(tuple(waiting), tuple(seen), 995.0),
        {name: Listing(name, tuple(listed), 990.0) for name, listed in listings.items()}, records,
    )  # fmt: skip


def stall(given: Situation) -> float:
    """The longest time, in seconds, that another thread had to wait for its turn while a plan was made."""
    longest, over = 0.0, threading.Event()
    thread = threading.Thread(target=lambda: (plan(given), over.set()))
    thread.start()
    last = time.perf_counter()
    while not over.is_set():
        time.sleep(0.0005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    return longest


class Turns:
    """A reactor's turns, one at a time."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def callLater(self, seconds: float, call: Callable[[], None]) -> object:
        self.due.append(call)
        return call


def turns(given: Situation) -> tuple[float, float]:
    """What the reactor does itself, each the longest turn in milliseconds: an answer is heard, a plan is taken over.

    What an answer replaces is freed in turns that count as hearing.
    """
    reactor, desk = Turns(), Desk(given.options, given.pools)
    past = Past(reactor)
    desk.nodes, desk.listings = dict(given.nodes), dict(given.listings)
    heard, merged = [], []
    for later in range(3):
        answer = afresh(given.demand, given.now + later)
        begin = time.thread_time()
        past.take(desk.demand)
        desk.heard(answer)
        del answer
        heard.append(time.thread_time() - begin)
        while reactor.due:
            begin = time.thread_time()
            reactor.due.pop()()
            heard.append(time.thread_time() - begin)
        seen = desk.situation(given.now + later)
        made = plan(seen)
        begin = time.thread_time()
        desk.merge(seen, made)
        del seen, made
        merged.append(time.thread_time() - begin)
    return max(heard) * 1000, max(merged) * 1000


def afresh(demand: Demand, seen: float) -> Demand:
    """The same answer, read once more: nothing of it is shared with the last one."""
    jobs = tuple(attrs.evolve(job, id="".join(job.id)) for job in demand.jobs)
    return Demand(jobs, tuple(attrs.evolve(node) for node in demand.nodes), seen)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.elastic", description=__doc__)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--differ", action="store_true", help="every job asks for something else: the worst case")
    asked = parser.parse_args()
    given = situation(asked.nodes, asked.jobs, asked.pools, asked.differ)
    settle()
    took = []
    with collecting.paused():  # as the engine does
        for _ in range(asked.rounds):
            begin = time.thread_time()
            made = plan(given)
            took.append((time.thread_time() - begin) * 1000)
        stalls = [stall(given) * 1000 for _ in range(asked.rounds)]
        heard, merged = turns(given)
    begin = time.thread_time()
    waiting = len(made.reasons.jobs)
    table = (time.thread_time() - begin) * 1000
    tracemalloc.start()
    made = plan(given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{asked.nodes} nodes, {asked.jobs} jobs, {asked.pools} pools: {len(made.actions)} actions")
    print(f"plan:   {statistics.median(took):6.0f} ms (longest {max(took):.0f} ms)")
    print(f"table:  {table:6.0f} ms when somebody asks for the reason of one of {waiting} jobs")
    print(f"memory: {peak / 2**20:6.0f} MiB beyond its input, at most")
    print(f"heard:  {heard:6.1f} ms in the longest turn of the reactor (at most {STALL:g})")
    print(f"merged: {merged:6.1f} ms in the longest turn of the reactor (at most {STALL:g})")
    print(f"stall:  {statistics.median(stalls):6.1f} ms (longest {max(stalls):.1f} ms) for who shares the interpreter")
    if max(heard, merged, statistics.median(stalls)) > STALL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
