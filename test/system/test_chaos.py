"""Chaos: random faults on several hosts while work goes on.  What was handed over is done, whatever dies.

A seed makes a schedule of faults.  It is printed; `ASYNCLUSTER_CHAOS_SEEDS="17 18" bin/test test/system/test_chaos.py`
plays those again, and `ASYNCLUSTER_CHAOS_COUNT=50` that many new ones.  See docs/faults.md.
"""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster import Cluster
from asyncluster.jobs.recovery import Recovered, recover
from asyncluster.model.messages import Outcome
from asyncluster.store.keeper import keeper_for
from asyncluster.testing import ground as grounds
from asyncluster.testing import hosts as namespaces
from asyncluster.testing.faults import Event, draw
from asyncluster.testing.ground import Ground
from asyncluster.testing.hosts import Hosts
from asyncluster.testing.load import Load, runs
from asyncluster.testing.waiting import until

_WHY_NOT = namespaces.missing() or grounds.missing()
pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT or "hosts can be made"),
]

FIXED = (1, 3, 503)
"""For every run, with one that is drawn anew."""

FAULTS = int(os.environ.get("ASYNCLUSTER_CHAOS_FAULTS", "14"))
WITHIN = float(os.environ.get("ASYNCLUSTER_CHAOS_SECONDS", "14"))


def seeds() -> list[int]:
    """Those asked for, or a few that stay and a new one; the same in all processes that run these tests."""
    fresh = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # where there is none, it is another each time
    given = os.environ.get("ASYNCLUSTER_CHAOS_SEEDS", "").split()
    count = int(os.environ.get("ASYNCLUSTER_CHAOS_COUNT", "0"))
    if given or count:
        return [*map(int, given), *(fresh.randrange(10**6) for _ in range(count))]
    return [*FIXED, fresh.randrange(10**6)]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """A head and three hosts."""
    with Hosts(3) as made:
        yield made


@pytest.mark.parametrize("seed", seeds())
def test_chaos(hosts: Hosts, tmp_path: Path, seed: int) -> None:
    """Each task has the one right result, nothing is done more often than was lost, nothing is left behind."""
    log = tmp_path / "runs"
    with Ground(tmp_path, hosts) as ground:
        events = draw(seed, FAULTS, WITHIN, ground.nodes)
        print(f"seed {seed}: {len(events)} faults")
        ground.start("bystander")
        load = Load(ground.socket, log, seed)
        load.start()
        false = play(ground, events, log)
        wrong = load.finish()
        tell_more = end_of_logs(ground) if wrong else ""
        assert not wrong, f"seed {seed}: {wrong}{tell_more}"
        assert false == [], f"seed {seed}: the journal says that they are done"
        ground.end("bystander", kill=True)
        all_is_quiet(ground, seed)
        ended = runs(log, "end")
        assert load.answered() <= ended.keys()
        often = {number: count for number, count in runs(log, "begin").items() if count > 1 + losses(ground)}
        assert not often, f"seed {seed}: run more often than anything was lost: {often}"
        print(f"{load.submitted} tasks, {runs(log, 'begin').total()} runs, {losses(ground)} losses")
        ground.stop()
        assert ground.left_behind() == [], f"seed {seed}"
        assert jobs_in_journal(tmp_path) == {}, f"seed {seed}: jobs were closed, and are in the journal"
        complaints(ground, seed)


JUMPS = (86400 * 400, -86400 * 800)
"""Seconds."""


def test_the_time_of_day(hosts: Hosts, tmp_path: Path) -> None:
    """Clocks of master and nodes jump a year ahead, then two back: nobody seems silent, and timers go on."""
    with Ground(tmp_path, hosts, common={"silence limit": "7s", "heartbeat": "1s"}) as ground:
        with Cluster(socket=ground.site.socket, output=None, reconnect=0) as cluster:
            futures = [cluster.submit(time.sleep, 0.5) for _ in range(6)]
            for seconds in JUMPS:
                for name in ("master", *ground.nodes):
                    ground.set_clock(name, seconds)
                futures += [cluster.submit(time.sleep, 0.5) for _ in range(6)]
                time.sleep(7.5)  # longer than the silence limit: timers that stand still would cost the links
                assert [future.result(120) for future in futures] == [None] * len(futures)
            ground.end("a", kill=True)  # who finds its master again needs timers, too
            ground.start("a")
            until(lambda: "a" in {node.name for node in cluster.nodes()}, "the node is back", limit=120.0)
        ground.stop()
        assert "silent" not in "".join(ground.logs.values())


def play(ground: Ground, events: list[Event], log: Path) -> list[int]:
    """Have the faults happen.  Tasks that the journal of a killed master called done, and that were not."""
    begin = time.monotonic()
    todo = sorted(
        [(event.at, 0, index) for index, event in enumerate(events)]
        + [(event.at + event.lasts, 1, index) for index, event in enumerate(events)]
    )
    false: list[int] = []
    for at, over, index in todo:
        while time.monotonic() - begin < at:
            ground.keep_up()
            time.sleep(0.02)
        fault = events[index].fault
        print(f"  {time.monotonic() - begin:6.2f} {'mend ' if over else 'begin'} {fault}")
        (fault.mend if over else fault.begin)(ground)
        if fault.target == "process master" and not over:
            false += not_done(ground.folder, log)
    return false


def not_done(folder: Path, log: Path) -> list[int]:
    """Tasks of the load whose value is in the journal though they did not come to their end."""
    shutil.rmtree(folder / "copy", ignore_errors=True)
    shutil.copytree(folder / "state", folder / "copy", ignore=shutil.ignore_patterns("filler"))
    ended = runs(log, "end")
    wrong = []
    for recovered in jobs_in_journal(folder, "copy").values():
        for result in recovered.results.values():
            if result.outcome == Outcome.VALUE:
                value = pickle.loads(result.payload)
                if isinstance(value, tuple) and value[0] not in ended:
                    wrong.append(value[0])
    return wrong


def jobs_in_journal(folder: Path, name: str = "state") -> dict[int, Recovered]:
    """Those that are open in the journal of a master that does not run."""
    keeper = keeper_for(f"sqlite:///{folder / name / 'asyncluster.sqlite'}")
    found = keeper.open()
    keeper.close()
    jobs = recover(found.entries)
    return {job.job: jobs.get(job.job, Recovered()) for job in found.jobs}


def all_is_quiet(ground: Ground, seed: int) -> None:
    """Nodes are back, nothing runs, nothing waits, no job is open, no process belongs to nobody."""
    with Cluster(socket=ground.site.socket, output=None) as cluster:

        def quiet() -> bool:
            ground.keep_up()
            status = cluster.status()
            others = [job for job in cluster.jobs() if job.name in ("load", "bystander", "dropped")]
            return (status["nodes"], status["running"], status["queued"]) == (len(ground.nodes), 0, 0) and not others

        try:
            until(quiet, "quiet", limit=120.0)
        except AssertionError as error:
            raise AssertionError(
                f"seed {seed}: {cluster.status()}, {cluster.jobs()}, {cluster.nodes()}{end_of_logs(ground)}"
            ) from error
    until(
        lambda: not ground.left_behind(),
        lambda: f"no processes but daemons and their workers: {ground.left_behind()}",
        limit=120.0,
    )


def losses(ground: Ground) -> int:
    """How often a node, a worker or a master was given up: so often a task may have been run again."""
    logs = ground.logs
    left = len(re.findall(r"node \w+ left: |was started anew", logs["master"]))
    again = ground.starts.total() - ground.starts["bystander"] - len(ground.nodes) - 1
    return left + again + ground.workers_killed


def complaints(ground: Ground, seed: int) -> None:
    """No daemon has logged a fault of its own."""
    for name, text in ground.logs.items():
        for word in ("Traceback", "Unhandled", "failed inside", "broke the protocol", "is damaged"):
            at = text.find(word)
            assert at < 0, f"seed {seed}: {name} logged {word}:\n{text[max(0, at - 2000) : at + 4000]}"


def end_of_logs(ground: Ground) -> str:
    """For whoever reads a failure."""
    return "".join(f"\n--- {name}\n{text[-3000:]}" for name, text in ground.logs.items())
