"""A batch system that refuses pilots, under a whole engine: the pool pauses, says why, and one trial reopens it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Options
from asyncluster.elastic.plan import plan
from asyncluster.model.supply import Flavor, Pool
from asyncluster.model.supply_options import BatchUnit
from asyncluster.supply.batch import BatchCloud
from asyncluster.testing.elastic_fakes import FakeScheduler, MemoryBook
from asyncluster.testing.elastic_world import Faults, World
from asyncluster.testing.pilots import FakeQueue


@attrs.define(eq=False)
class Counting(FakeQueue):
    """Notes when somebody tried."""

    clock: Clock = attrs.field(factory=Clock)
    tried: list[float] = attrs.field(factory=list)

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Take it, or not."""
        self.tried.append(self.clock.seconds())
        return await super().submit(script, extra, held)


def test_ten_refusals_pause_the_pool_and_one_trial_reopens_it(tmp_path: Path) -> None:
    """With all that one needs to mend it, meanwhile, beside the pool and the job that waits."""
    clock, pool = Clock(), Pool("p", "batch", Flavor(1), most=5, prefix="p-")
    world = World(Random(1), (pool,), Faults())
    queue = Counting(clock=clock, refuse="sbatch: error: invalid partition specified: nosuch")
    unit = BatchUnit("slurm", queue="nosuch", cores=1)
    cloud = BatchCloud(
        pool="p", prefix="p-", unit=unit, queue=queue, realm="r", has=Flavor(1), folder=tmp_path / "p",
        conf_text=lambda lease: "x", seconds=clock.seconds, in_thread=maybeDeferred,
    )  # fmt: skip
    options = Options(realm="r")
    engine = Engine(
        clock, FakeScheduler(world), [pool], {"p": cloud}, MemoryBook(),  # type: ignore[arg-type] # a Clock has no threads
        options, wall=lambda: clock.seconds() + 1e9, think=lambda situation: maybeDeferred(plan, situation),
    )  # fmt: skip
    engine.startService()
    for _ in range(5):
        world.submit(1, 1e6)

    def pass_time(seconds: int) -> None:
        for _ in range(seconds):
            clock.advance(1.0)
            world.pass_to(clock.seconds(), engine.renews)

    def told() -> dict[str, Any]:
        found: dict[str, Any] = engine.status()["pools"]["p"]
        return found

    while told()["failures"] < options.breaker:
        pass_time(1)
        assert clock.seconds() < 20_000
    pass_time(30)  # so that there is a plan that knows
    tries = len(queue.tried)
    assert tries >= options.breaker
    for word in ("paused", "in a row", "submit", "ended with 1", "invalid partition", "config.queue", str(tmp_path)):
        assert word in told()["reason"] + told()["fault"], word
    assert len(list((tmp_path / "p").glob("*.sh"))) == options.breaker
    pass_time(int(options.breaker_wait) - 90)
    assert len(queue.tried) == tries
    queue.refuse = ""
    pass_time(160)
    assert len(queue.tried) == tries + 1  # five jobs wait, one is tried
    assert len(queue.jobs) == 1
