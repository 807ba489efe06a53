"""Who may come in across the network, beyond having the password."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.errors import StoreError
from asyncluster.master.admission import AWAY, Admission
from asyncluster.model.account import Account
from asyncluster.model.peer import Peer, Role
from asyncluster.testing.people import FakePeople, Stage

JANE = Peer(Role.CLIENT, "jane", "10.0.0.1")


@attrs.define
class Here:
    """The master, as far as it is asked: who has programs here, nodes and open jobs."""

    names: set[str] = attrs.field(factory=set)
    jobs: set[str] = attrs.field(factory=set)
    nodes: set[str] = attrs.field(factory=set)

    def has_client(self, name: str) -> bool:
        return name in self.names

    def is_person(self, name: str) -> bool:
        return name == "jane"

    def has_account(self, name: str) -> bool:
        return name in self.nodes

    @property
    def attendance(self) -> Here:
        return self

    @property
    def reception(self) -> Here:
        return self

    @property
    def desks(self) -> Here:
        return self

    def count(self, name: str) -> int:
        return int(name in self.jobs)


@pytest.fixture
def people() -> FakePeople:
    return FakePeople({"jane": Account("jane", enabled=True), "joe": Account("joe")})


@pytest.fixture
def admission(tmp_path: Path, people: FakePeople) -> Admission:
    stage = Stage(tmp_path, 1e9, people)
    return Admission(stage.registry, Here(), stage.clock, 5.0)  # type: ignore[arg-type]  # as far as it is asked


def answer(admission: Admission, peer: Peer) -> Any:
    """What is said; None where the database is not asked."""
    asked = admission.admit(peer)
    said: list[str] = []
    if asked is None:
        return None
    asked.addCallback(said.append)
    return said[0]


def test_what_the_database_says_holds(admission: Admission) -> None:
    """Of now: an account that was disabled or removed since its verifier was read is one no more."""
    assert answer(admission, JANE) == ""
    for name in ("joe", "nobody"):
        assert "not be used" in answer(admission, attrs.evolve(JANE, name=name))
    admission.registry.people.accounts["jane"] = Account("jane")  # type: ignore[attr-defined]
    assert "not be used" in answer(admission, JANE)


def test_who_is_disabled_does_not_come_in_beside_his_own_job(admission: Admission) -> None:
    """His proof may have begun before."""
    admission.master.jobs.add("joe")  # type: ignore[attr-defined]
    assert "not be used" in answer(admission, attrs.evolve(JANE, name="joe"))


def test_a_database_that_only_reads_is_away(
    admission: Admission, people: FakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as nothing can be written; then who comes is let in at once."""
    touched: list[Deferred[None]] = []
    reads: list[str] = []

    def find_user(_: FakePeople, name: str) -> Deferred[Account | None]:
        reads.append(name)
        return succeed(people.accounts[name])

    def touch(_: FakePeople) -> Deferred[None]:
        touched.append(Deferred())
        return touched[-1]

    monkeypatch.setattr(FakePeople, "find_user", find_user)
    monkeypatch.setattr(FakePeople, "touch", touch)
    people.away = True
    said: list[str] = []
    for outcome in (Failure(StoreError("it is locked")), None):
        asked = admission.admit(JANE)
        assert asked is not None
        asked.addCallback(said.append)
        assert reads == []
        people.away = outcome is not None
        touched[-1].callback(outcome)
    assert (said, reads) == ([AWAY, ""], ["jane"])


def test_a_database_that_does_not_answer_is_not_waited_for(admission: Admission, people: FakePeople) -> None:
    """Who waits hears why before his time is over; an answer that comes later does no harm."""
    people.held = []
    asked = admission.admit(JANE)
    assert asked is not None
    said: list[str] = []
    asked.addCallback(said.append)
    clock = cast(Clock, admission.clock)
    clock.advance(4.9)
    assert said == []
    clock.advance(0.1)
    assert said == [AWAY]
    people.let_go()
    assert said == [AWAY]


def test_while_the_database_is_away(admission: Admission, people: FakePeople) -> None:
    """Nobody is let in who was not already; who is here, or has a job that waits for him, is."""
    people.away = True
    assert answer(admission, JANE) == AWAY
    admission.master.names.add("jane")  # type: ignore[attr-defined]
    assert answer(admission, JANE) is None
    admission.master.names.clear()  # type: ignore[attr-defined]
    admission.master.jobs.add("jane")  # type: ignore[attr-defined]
    assert answer(admission, JANE) is None
    admission.master.jobs.clear()  # type: ignore[attr-defined]
    own_node = attrs.evolve(JANE, role=Role.NODE)
    assert answer(admission, own_node) == AWAY
    admission.master.nodes.add("jane")  # type: ignore[attr-defined]
    assert answer(admission, own_node) is None


def test_who_has_no_account_in_the_database(admission: Admission, people: FakePeople) -> None:
    """The site's nodes; and everybody, where the database is only as old as the master."""
    people.away = True
    assert answer(admission, Peer(Role.NODE, "nodes", "10.0.0.2")) is None
    admission.registry.lasts = False
    assert answer(admission, JANE) is None
