"""`python -m bench.clouds`: what a cloud costs the master's reactor, against moto's server as AWS.

Prints how long 50 instances of one plan take and what the endpoint has of them, what a listing of 2,000 instances takes
of the reactor's own processor time, and for how long the reactor was kept from its turn at most in each case: by its
own work, or because a thread that calls the cloud had the interpreter.  What threads of this process waited for a
processor meanwhile is taken off; the first line is the same reactor at rest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater, react

from asyncluster.config.fields import Secret
from asyncluster.daemon import settle
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Flavor, Order, Pool
from asyncluster.model.supply_options import AwsUnit
from asyncluster.supply.aws import AwsCloud
from asyncluster.supply.aws.ec2 import PAGE
from asyncluster.supply.blocking import Blocking
from asyncluster.testing import aws
from asyncluster.testing.elastic_fakes import FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World

BEAT = 0.002
"""Seconds between two turns that are watched."""

LIMIT = 120.0
"""Seconds after which what is not launched is not waited for."""


class Idle(FakeScheduler):
    """Answers at once that nothing waits."""

    def __init__(self, world: World, reactor: Any) -> None:
        super().__init__(world)
        self._reactor = reactor

    def snapshot(self) -> Deferred[Demand]:
        """See IScheduler."""
        return succeed(Demand((), (), self._reactor.seconds()))

    def add_node(self, name: str, address: str, flavor: Flavor) -> Deferred[None]:
        """Taken, and nothing becomes of it."""
        return succeed(None)


class Queues:
    """How long threads of this process have waited for a processor, all together; others may be using them."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}

    def seconds(self) -> float:
        """Up to now."""
        total = 0
        for thread in os.listdir("/proc/self/task"):
            if thread not in self._files:
                self._files[thread] = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)
            with suppress(OSError):  # it has ended
                total += int(os.pread(self._files[thread], 100, 0).split()[1])
        return total / 1e9


class Watch:
    """Notes how late the reactor's turns are.

    longest: seconds; kept: without what our threads waited for a processor meanwhile; own: seconds of processor time of
    the reactor's thread.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._queues = Queues()
        self._call: Any = None
        self.start()

    def start(self) -> None:
        """Anew."""
        self.stop()
        self.longest, self.kept, self.late, self._own = 0.0, 0.0, 0, time.thread_time()
        self._next()

    def _next(self) -> None:
        self._queued, self._due = self._queues.seconds(), self._reactor.seconds() + BEAT
        self._call = self._reactor.callLater(BEAT, self._turn)

    def stop(self) -> None:
        """No more."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _turn(self) -> None:
        late = self._reactor.seconds() - self._due
        kept = max(0.0, late - (self._queues.seconds() - self._queued))
        self.longest, self.kept, self.late = max(self.longest, late), max(self.kept, kept), self.late + (kept > 0.02)
        self._next()

    def tell(self, what: str, more: str = "") -> None:
        """One line of the table, and begin anew."""
        own = time.thread_time() - self._own
        print(
            f"{what:28} kept {self.kept * 1000:5.1f} ms at most, {self.late} times above 20 ms "
            f"({self.longest * 1000:5.1f} ms with the wait for a processor); own time {own:5.2f} s{more}",
            flush=True,
        )
        self.start()


def cloud(reactor: Any, blocking: Blocking, server: aws.Moto, url: str) -> AwsCloud:
    """The pool."""
    unit = AwsUnit(server.image, aws.TYPE, aws.REGION, "test", Secret("test"), endpoint=url)

    def userdata(order: Order) -> Deferred[str]:
        return succeed(f"#!/bin/sh\n# {order.name}\n")

    return AwsCloud("bench", "bench-", unit, Flavor(2), "realm", reactor, blocking.call, userdata, time.time)


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[None]:
    """For the time of a block."""
    engine.startService()
    try:
        yield
    finally:
        await engine.stopService()


async def launch(reactor: Any, pool: Any, count: int) -> tuple[float, dict[str, str]]:
    """One plan for so many nodes: how long it took, and the book, instances by token."""
    settings = Pool("bench", "aws", Flavor(2), least=count, most=count, prefix="bench-", spawn_rate=float(count))
    book, begin = MemoryBook(), time.perf_counter()
    world = World(Random(1), (settings,), Faults())
    engine = Engine(reactor, Idle(world, reactor), [settings], {"bench": pool}, book, Options(realm="realm"))
    async with running(engine):
        while (
            time.perf_counter() - begin < LIMIT
            and sum(bool(each.get("instance")) for each in book.kept.values()) < count
        ):
            await deferLater(reactor, 0.05)
        took = time.perf_counter() - begin
    return took, {each["token"]: each["instance"] for each in book.kept.values() if each.get("instance")}


def compared(server: aws.Moto, tokens: dict[str, str]) -> str:
    """The book, and what the endpoint has."""
    there = server.run()
    tagged = {
        {tag["Key"]: tag["Value"] for tag in one["Tags"]}.get("asyncluster-token"): one["InstanceId"] for one in there
    }
    same = "the same" if tokens == tagged else "NOT the same"
    return f"    {len(tokens)} in the book, {len(there)} at the endpoint, {same} by their tags"


def sample(server: aws.Moto) -> str:
    """What moto writes of one instance that was just launched."""
    bodies: list[bytes] = []
    client = server.client()
    client.meta.events.register_last(
        "before-parse.ec2.DescribeInstances", lambda response_dict, **_: bodies.append(response_dict["body"])
    )
    client.describe_instances(InstanceIds=[server.run()[0]["InstanceId"]])
    return bodies[-1].decode()


@contextmanager
def pages(text: str, count: int, size: int) -> Iterator[str]:
    """The URL of what answers DescribeInstances with so many, as fast as they can be read: a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.pages", str(count), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(text)
        process.stdin.close()
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def measure(reactor: Any, launches: int, instances: int) -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder, aws.Moto(Path(folder) / "moto.log") as server:
        blocking = Blocking(reactor, "pool bench", limit=600.0)
        blocking.startService()
        settle()
        pool, watch = cloud(reactor, blocking, server, server.url), Watch(reactor)
        await deferLater(reactor, 5.0)
        watch.tell("at rest, for 5 s")
        await pool.flavor()
        watch.tell("the client is made")
        took, tokens = await launch(reactor, pool, launches)
        watch.tell(f"{launches} launched by one plan", f"; {took:.1f} s")
        print(compared(server, tokens))
        text = sample(server)
        with pages(text, instances, PAGE) as url:
            pool = cloud(reactor, blocking, server, url)
            await blocking.call(pool.ec2.client)
            for _ in range(3):
                watch.start()
                begin = time.perf_counter()
                listed = len((await pool.list()).instances)
                watch.tell(f"{listed} instances listed", f"; {time.perf_counter() - begin:.1f} s")
        watch.stop()
        blocking.stopService()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.clouds", description=__doc__)
    parser.add_argument("--launches", type=int, default=50)
    parser.add_argument("--instances", type=int, default=2000)
    asked = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, asked.launches, asked.instances)))


if __name__ == "__main__":
    main()
