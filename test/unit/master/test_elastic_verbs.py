"""What is told to whoever looks: the first of very many jobs, and everything made and written in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from asyncluster.elastic.actions import Plan, Reason, Reasons
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.elastic.status import waiting
from asyncluster.errors import RefusedError
from asyncluster.master.elastic_verbs import elastic_verb
from asyncluster.model.batch import BatchJob, BatchState, Demand
from asyncluster.model.pages import from_pages
from asyncluster.model.peer import Peer, Role
from asyncluster.model.supply import Flavor, Pool
from asyncluster.testing.threads import Threads

WHY = Reason("most", "pool p has all its nodes")


class Engine:
    """With very many jobs; says of what is made where it is made."""

    def __init__(self) -> None:
        self.reactor = Threads()
        self.options = Options(shown=3)
        reasons = {str(number): WHY for number in range(1000)}
        self.plan = Plan((), {}, {}, Reasons(reasons, {}, {}, WHY))

    @property
    def means(self) -> tuple[Threads, Options]:
        return self.reactor, self.options

    def preview(self) -> Deferred[Plan]:
        return succeed(self.plan)

    def look(self) -> Callable[[], dict[str, Any]]:
        return lambda: {"aside": self.reactor.inside}

    look_at_jobs = look

    def explain_job(self, job: str) -> Reason | None:
        return {"7": WHY}.get(job)

    explain_node = explain_pool = explain_job

    def explain_groups(self, job: str) -> dict[str, Reason]:
        return {"8": {"8/1": WHY}, "9": {"9": WHY, "9/1": Reason("free", "p-1 has room")}}.get(job, {})

    def waiting_jobs(self) -> list[str]:
        return ["17.head", "nixx"]

    nodes: Mapping[str, NodeRecord] = {
        name: NodeRecord(name, "p", "t", Life.UP, 0.0, 0.0, instance="i-0abc", address="10.0.0.7")
        for name in ("nix-1", "7")
    }

    def cloud(self, name: str) -> None:
        raise RefusedError(f"there is no pool {name}; there are: p")


def ask(engine: Engine, *words: str) -> Any:
    """What a user of no rights is told."""
    told: list[Any] = []
    answer: Any = elastic_verb(engine, Peer(Role.CLIENT, "ann", "here"), words)  # type: ignore[arg-type]  # what is asked of it
    answer.addCallback(told.append)
    return from_pages(told[0])


def test_a_node_is_told_with_its_machine() -> None:
    """By that its console log is found; a pool and a job are none."""
    told: list[Any] = []
    for kind in ("node", "pool", "job"):
        answer: Any = elastic_verb(Engine(), Peer(Role.CLIENT, "ann", "here"), ("explain", kind, "7"))  # type: ignore[arg-type]  # likewise
        answer.addCallback(told.append)
    why = attrs.asdict(WHY)
    assert told == [{**why, "instance": "i-0abc", "address": "10.0.0.7"}, why, why]


def test_a_plan_of_very_many_jobs_tells_of_the_first() -> None:
    """As many as `queued_job_number_to_display` says, and how many there are."""
    found = ask(Engine(), "plan")
    assert (list(found["jobs"]), found["waiting"]) == (["0", "1", "2"], 1000)


@pytest.mark.parametrize("what", ["status", "jobs"])
def test_what_takes_long_is_made_in_a_thread(what: str) -> None:
    """So that the reactor goes on meanwhile, however many nodes and jobs there are."""
    assert ask(Engine(), what) == {"aside": True}


@pytest.mark.parametrize(
    ("job", "text"), [("7", WHY.text), ("8", WHY.text), ("9", f"9: {WHY.text}; 9/1: p-1 has room")]
)
def test_a_job_is_all_of_its_groups(job: str, text: str) -> None:
    """Whoever names the job need not know how its tasks are grouped."""
    told: Any = elastic_verb(Engine(), Peer(Role.CLIENT, "ann", "here"), ("explain", "job", job))  # type: ignore[arg-type]  # likewise
    assert told.result["text"] == text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("job", "tell more; did you mean nixx?"),
        ("pool", "no pool nix; there are: p"),
        ("node", "no node nix of a pool is there now"),
    ],
)
def test_what_is_not_there_is_told_as_such(kind: str, said: str) -> None:
    """With what there is, or who knows more."""
    told: Any = elastic_verb(Engine(), Peer(Role.CLIENT, "ann", "here"), ("explain", kind, "nix"))  # type: ignore[arg-type]  # likewise
    failures: list[Failure] = []
    told.addErrback(failures.append)
    assert failures[0].check(RefusedError)
    assert said in failures[0].getErrorMessage()


def test_waiting_jobs() -> None:
    """Those that still wait, with the reason last decided; one that is new has none as yet."""
    states = [BatchState.QUEUED, BatchState.RUNNING, BatchState.HELD, BatchState.QUEUED]
    demand = Demand(tuple(BatchJob(str(number), state) for number, state in enumerate(states)), (), 0.0)
    found = waiting(demand, {"0": WHY, "1": WHY, "9": WHY}, 2)
    assert found["jobs"]["0"] == attrs.asdict(WHY)
    assert (list(found["jobs"]), found["jobs"]["2"]["rule"], found["waiting"]) == (["0", "2"], "new", 3)
    assert waiting(None, {}, 2) == {"jobs": {}, "waiting": 0}


def test_a_copy_of_the_book_stays_as_it_was() -> None:
    """While it is looked at in a thread."""
    desk = Desk(Options(), [Pool("p", "fake", Flavor(1))])
    seen = desk.copied()
    desk.set_modes(sleep=True)
    desk.freeze("p", "ann")
    assert (seen.modes.sleep, seen.pools["p"].mode.value) == (False, "open")
