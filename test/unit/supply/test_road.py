"""`pool check`: the road of a pilot, step by step, each with its mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchJob, BatchState
from asyncluster.model.supply import Flavor, Order
from asyncluster.model.supply_options import BatchUnit
from asyncluster.supply.batch import BatchCloud
from asyncluster.supply.naming import job_name
from asyncluster.supply.rehearsal import rehearse
from asyncluster.supply.road import NAMES, Evidence, Step, steps
from asyncluster.testing.pilots import FakeQueue

UNIT = BatchUnit("slurm", queue="long", cores=2, walltime=3600.0, interpreter="/opt/python")
JOB = BatchJob("7", BatchState.HELD, queue="long", walltime=3600.0)
REPORT = {
    "host": "node17",
    "executable": "/opt/python",
    "python": "3.11.9",
    "software": "1",
    "cores": 2,
    "memory": 1,
    "scratch": {"folder": "/tmp/x", "free": 10**9, "fault": ""},
    "route": [{"address": "10.0.0.1:9080", "fault": "it is a wall"}, {"address": "10.0.0.2:9080", "fault": ""}],
}
GOOD = Evidence("night", UNIT, "3.11", "1", job=JOB, waited=3.0, began=True, ended=True, report=REPORT)


def walk(**changes: Any) -> dict[str, Step]:
    """The steps of a good road with something changed."""
    return {step.name: step for step in steps(attrs.evolve(GOOD, **changes))}


def test_a_road_without_a_stone() -> None:
    """Every step is OK and says what was found."""
    found = walk()
    assert tuple(found) == NAMES
    assert all(step.ok and not step.mend for step in found.values())
    assert "10.0.0.2:9080" in found["route"].text
    assert "it is a wall" in found["route"].text
    assert found["walltime"].text == "1h"


def changed(**more: Any) -> dict[str, Any]:
    return {"report": {**REPORT, **more}}


LOST = {"report": None, "job": JOB}
WALLED = [{"address": "10.0.0.1:9080", "fault": "10.0.0.1:9080 gave no proof within 10 s"}]


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"silent": "there is no program sbatch here"}, "command", "submit_command"),
        ({"silent": "squeue gave no answer: Could not establish a configuration source"}, "command", "SLURM_CONF"),
        ({"silent": "squeue did not end within 1 min"}, "command", "slurmctld"),
        ({"silent": "/x/slurm.conf cannot be written: Read-only"}, "command", "night.config.folder"),
        ({"refused": "invalid partition", "setting": "queue"}, "queue", "night.config.queue"),
        ({"refused": "no such account", "setting": "account"}, "account", "night.config.account"),
        ({"refused": "too much", "setting": "memory"}, "request", "night.config.memory"),
        ({**LOST, "began": False, "reason": "Priority"}, "start", "--wait"),
        ({**LOST, "log": "/opt/python: not found"}, "interpreter", "night.config.interpreter"),
        ({**LOST, "log": ""}, "interpreter", "night.config.folder"),
        (changed(python="3.12.1"), "versions", "has to be a 3.11"),
        (changed(route=WALLED), "route", "subnets"),
        (changed(scratch={"folder": "/x", "free": 0, "fault": "Read-only"}), "scratch", "TMPDIR"),
        ({"job": attrs.evolve(JOB, walltime=60.0)}, "walltime", "night.config.walltime"),
        ({"unit": attrs.evolve(UNIT, walltime=0.0)}, "walltime", "night.config.walltime"),
    ],
)
def test_each_stone_has_its_mend(changes: dict[str, Any], name: str, words: str) -> None:
    """One step fails, and says what to change; those before it are OK, those that need it are not known."""
    found = walk(**changes)
    assert [step.name for step in found.values() if step.ok is False] == [name]
    assert words in found[name].mend
    before = NAMES[: NAMES.index(name)]
    if not changes.get("refused"):
        assert all(found[each].ok for each in before)
    assert all(not step.mend for step in found.values() if step.ok is not False)


def test_a_template_of_its_own_way_is_not_blamed() -> None:
    """It may start the node by a program of the site; what lies behind it is not known."""
    found = walk(**LOST, own_way=True)
    assert [step.ok for step in found.values()] == [True] * 5 + [None] * 5


@given(
    st.builds(
        Evidence,
        st.just("night"),
        st.just(UNIT),
        st.just("3.11"),
        st.just("1"),
        silent=st.sampled_from(["", "silence"]),
        refused=st.sampled_from(["", "no"]),
        setting=st.sampled_from(["queue", "account", "cores"]),
        job=st.sampled_from([None, JOB]),
        began=st.booleans(),
        ended=st.booleans(),
        report=st.sampled_from([None, REPORT]),
        log=st.sampled_from(["", "it wrote"]),
        own_way=st.booleans(),
    )
)
def test_every_walk_has_all_steps(seen: Evidence) -> None:
    """In order, each with a text; what failed has a mend."""
    found = steps(seen)
    assert tuple(step.name for step in found) == NAMES
    assert all(step.text and bool(step.mend) == (step.ok is False) for step in found)


@attrs.define(eq=False)
class Far(FakeQueue):
    """Its far side: what a job that begins leaves in the folder."""

    left: dict[str, str] = attrs.field(factory=dict)
    full: bool = False
    folder: Path = Path()

    async def release(self, job: str) -> None:
        """It runs at once, unless there is no room."""
        await super().release(job)
        if self.full:
            return
        self.state(job, BatchState.RUNNING, "node17")
        for kind, text in self.left.items():
            (self.folder / f"{self.jobs[job].name}{kind}").write_text(text)
        if self.left:
            self.end(job)


def rehearsed(queue: Far, wait: float = 30.0, template: str = "", others: int = 0) -> Evidence:
    clock = Clock()
    more = {"template": template} if template else {}
    cloud = BatchCloud(
        pool="night", prefix="night-", unit=UNIT, queue=queue, realm="one", has=Flavor(2), folder=queue.folder,
        conf_text=lambda lease: "x", seconds=clock.seconds, in_thread=maybeDeferred, **more,
    )  # fmt: skip
    found: list[Any] = []
    Deferred.fromCoroutine(rehearse(clock, cloud, "3.11", "1", 60.0, wait)).addBoth(found.append)
    for _ in range(300):
        clock.advance(1.0)
    assert isinstance(found[0], Evidence), found
    assert len(queue.jobs) == others
    assert [path.name for path in queue.folder.iterdir() if path.suffix in {".json", ".log"}] == []
    return found[0]


def test_a_rehearsal_is_held_let_go_and_taken_away(tmp_path: Path) -> None:
    """It is no pilot of the pool's, runs the probe in the place of the node, and nothing of it is left."""
    queue = Far(folder=tmp_path, left={".json": json.dumps(REPORT), ".log": "hello"})
    seen = rehearsed(queue)
    assert seen.job is not None
    assert (seen.job.state, seen.began, seen.report) == (BatchState.HELD, True, REPORT)
    assert queue.released == ["1"]
    assert not seen.job.name.startswith("night-")
    assert "asyncluster.node.probe" in queue.scripts["1"]
    assert "-m asyncluster.node --config" not in queue.scripts["1"]


@attrs.define(eq=False)
class Late(Far):
    """Takes a job after it was told to, and says nothing."""

    hidden: int = 0

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Not at once."""
        found = await super().jobs_named(prefix)
        self.hidden -= bool(found)
        return () if self.hidden > 0 else found


@pytest.mark.parametrize("hidden", [0, 3])
def test_a_job_that_was_taken_without_an_answer_is_taken_away(tmp_path: Path, hidden: int) -> None:
    """A submission that times out may have been carried out, at once or late: none is left held for ever."""
    queue = Late(folder=tmp_path, deaf=True, hidden=hidden)
    assert "in time" in rehearsed(queue).silent
    assert queue.cancelled == ["1"]


def test_what_an_earlier_check_left_is_taken_away(tmp_path: Path) -> None:
    """Its master was killed; jobs of other realms, other pools and people are not touched."""
    queue = Far(folder=tmp_path, left={".json": json.dumps(REPORT)})
    old = job_name(Order("check-0a1b2c3d", "t", "night", 1.0), "one")
    others = [
        str(job_name(Order("check-0a1b2c3d", "t", "night", 1.0), "two")),
        str(job_name(Order("check-in-1", "t", "check-in", 1.0), "one")),
        "check-0a1b2c3d",
    ]
    for number, name in enumerate([str(old), *others]):
        queue.jobs[f"x{number}"] = BatchJob(f"x{number}", BatchState.HELD, name=name)
    assert rehearsed(queue, others=len(others)).report == REPORT
    assert queue.cancelled == ["x0", "1"]


class Unlistable(Far):
    """It is not there, and what its submitting program says of that is like a refusal."""

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """No answer."""
        raise NoAnswerError("squeue gave no answer: no configuration")


def test_who_cannot_be_asked_has_refused_nothing(tmp_path: Path) -> None:
    """The batch system is asked for its list first; no setting of the pool's is blamed for its silence."""
    seen = rehearsed(Unlistable(folder=tmp_path, refuse="sbatch: fatal: what nobody has seen before"))
    assert (seen.silent, seen.refused) == ("squeue gave no answer: no configuration", "")


def test_a_rehearsal_that_goes_wrong_is_evidence(tmp_path: Path) -> None:
    """A job that ends without a report, one that is refused, a batch system that is silent, one that never begins."""
    assert rehearsed(Far(folder=tmp_path, left={".log": "not found"})).log == "not found"
    assert rehearsed(Far(folder=tmp_path, refuse="invalid partition")).setting == "queue"
    queue = Far(folder=tmp_path)
    queue.silent = True
    assert "does not answer" in rehearsed(queue).silent
    seen = rehearsed(Far(folder=tmp_path, full=True), wait=20.0)
    assert (seen.began, seen.report) == (False, None)
    assert 19.0 <= seen.waited <= 21.0
    own = rehearsed(Far(folder=tmp_path, left={".log": "up"}), template="#!/bin/sh\n{{ prefix }} {{ directives[0] }}\n")
    assert own.own_way
