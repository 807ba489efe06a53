"""What is remembered of owners, and for how long."""

from __future__ import annotations

import attrs
import pytest

from asyncluster.node import known
from asyncluster.node.identity import Identity
from asyncluster.node.known import FRESH, KnownOwners
from asyncluster.node.limits import Limit

ANN = Identity(1000, 1000, (1000,), "/home/ann", "ann", change=True)


@attrs.define(eq=False)
class Machine:
    """Counts what it is asked."""

    users: dict[str, Identity] = attrs.field(factory=lambda: {"ann": ANN})
    asked: list[str] = attrs.field(factory=list)

    def identify(self, owner: str) -> Identity | str:
        self.asked.append(owner)
        return self.users.get(owner, f"{owner} is not known")

    def limits(self, identity: Identity) -> tuple[Limit, ...]:
        return ((identity.gid, 1, 1),)


def test_the_machine_is_asked_once_a_minute() -> None:
    """Whatever workers are started meanwhile; then what it says holds."""
    machine = Machine()
    owners = KnownOwners(machine.identify, machine.limits)
    for now in (10.0, 20.0, 10.0 + FRESH - 1.0):
        assert owners.of("ann", now) == (ANN, ((1000, 1, 1),))
    assert machine.asked == ["ann"]
    machine.users["ann"] = attrs.evolve(ANN, gid=7)
    assert owners.of("ann", 10.0 + FRESH) == (machine.users["ann"], ((7, 1, 1),))
    del machine.users["ann"]
    assert owners.of("ann", 10.0 + 2 * FRESH) == "ann is not known"


def test_who_is_not_known_is_looked_for_again() -> None:
    """He may have been made just now."""
    machine = Machine()
    owners = KnownOwners(machine.identify, machine.limits)
    assert owners.of("bob", 1.0) == "bob is not known"
    machine.users["bob"] = ANN
    assert owners.of("bob", 1.1) == (ANN, ((1000, 1, 1),))


def test_not_everybody_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who were asked for longest ago are forgotten."""
    monkeypatch.setattr(known, "MOST", 3)
    machine = Machine({f"u{number}": ANN for number in range(5)})
    owners = KnownOwners(machine.identify, machine.limits)
    for number in (0, 1, 2, 3, 4, 4, 3, 2, 0):
        owners.of(f"u{number}", 1.0)
    assert machine.asked == ["u0", "u1", "u2", "u3", "u4", "u0"]
