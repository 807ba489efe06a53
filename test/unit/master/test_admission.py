"""Who may come in across the network, beyond having the password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

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
    return Admission(Stage(tmp_path, 1e9, people).registry, Here())  # type: ignore[arg-type]  # as far as it is asked


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
