"""Whose account may not be used any more is cut off, and told why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail

from asyncluster.client.accounts import kept_of
from asyncluster.errors import LinkLostError
from asyncluster.master.account_verbs import account_verb
from asyncluster.master.parting import GRACE, Parting
from asyncluster.master.service import Master
from asyncluster.model.peer import Peer, Role
from asyncluster.testing.people import Stage

ROOT = Peer(Role.CLIENT, "root", "unix:pid 1", True)


@attrs.define(eq=False)
class FakeLink:
    """Of a peer that never goes by itself."""

    peer: Peer
    told: list[tuple[Any, ...]] = attrs.field(factory=list)
    reads: bool = True
    connected: bool = True

    def call(self, *args: Any) -> Deferred[Any]:
        self.told.append(args)
        return fail(LinkLostError("the connection ended"))

    def hold_reading(self) -> None:
        self.reads = False

    def abort(self) -> None:
        self.connected = False


@attrs.define(eq=False)
class World:
    """Jane's program and her own node across the network, her shell at the master's machine, Bob's program."""

    stage: Stage
    far: FakeLink
    node: FakeLink
    near: FakeLink
    bob: FakeLink
    parting: Parting

    def ask(self, *args: Any) -> None:
        account_verb(self.stage.sessions, ROOT, args)

    @property
    def cut(self) -> list[bool]:
        return [not link.connected for link in (self.far, self.node, self.near, self.bob)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    stage = Stage(tmp_path, 1e9)
    master = Master(stage.clock)  # type: ignore[arg-type]  # as far as it is asked
    links = [
        FakeLink(Peer(Role.CLIENT, "jane", "10.0.0.1")),
        FakeLink(Peer(Role.NODE, "jane", "10.0.0.2")),
        FakeLink(Peer(Role.CLIENT, "jane", "unix:pid 7")),
        FakeLink(Peer(Role.CLIENT, "bob", "10.0.0.3")),
    ]
    made = World(stage, *links, Parting(stage.clock, stage.registry, master))
    for name in ("jane", "bob"):
        made.ask("add", [{"name": name, "enabled": True, **kept_of(name, "correct horse battery")}])
    master.is_person = lambda name: name == "jane"
    for link in (*links, FakeLink(Peer(Role.NODE, "nodes", "10.0.0.9"))):
        master.attach(link)  # type: ignore[arg-type]  # as far as it is asked
    assert len(master.links_of_people()) == 3
    made.parting.startService()
    return made


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("set", "jane", "disable", {"enabled": False}), "the account jane is disabled; an administrator can `async"),
        (("remove", "jane"), "there is no account jane any more"),
        (("import", [{"name": "jane", "enabled": False}, *({"name": f"u{n}"} for n in range(50))]), "is disabled"),
    ],
)
def test_links_across_the_network_are_ended(world: World, args: tuple[Any, ...], why: str) -> None:
    """A program's and a node's: nothing more is read, the reason is told, and who does not go is cut off."""
    world.ask("set", "jane", "limit", {"slots": 3})
    world.ask("opening add", [["", 0, 480, 1080]])
    assert [link.told for link in (world.far, world.node)] == [[], []]
    world.ask(*args)
    for link in (world.far, world.node):
        ((verb, text),) = link.told
        assert (verb, why in text, link.reads) == ("cut", True, False)
    world.stage.clock.advance(GRACE)
    assert world.cut == [True, True, False, False]
    assert world.near.told == world.bob.told == []


def test_each_is_told_once(world: World) -> None:
    """Whatever else changes before it is cut off, and though it is let in again meanwhile: it is not read any more."""
    world.ask("set", "jane", "disable", {"enabled": False})
    world.ask("opening add", [["", 0, 480, 1080]])
    world.ask("set", "jane", "limit", {"slots": 3})
    assert [len(link.told) for link in (world.far, world.node)] == [1, 1]
    world.ask("set", "jane", "enable", {"enabled": True})
    world.stage.clock.advance(GRACE)
    assert world.cut == [True, True, False, False]


def test_a_master_that_stops_cuts_nobody_off(world: World) -> None:
    """No call is left behind, and nothing is told of what changes from then on."""
    before = len(world.stage.clock.getDelayedCalls())
    world.ask("set", "jane", "disable", {"enabled": False})
    assert len(world.stage.clock.getDelayedCalls()) == before + 2
    world.parting.stopService()
    assert len(world.stage.clock.getDelayedCalls()) == before
    world.ask("remove", "jane")
    assert [len(link.told) for link in (world.far, world.node)] == [1, 1]
    world.stage.clock.advance(GRACE)
    assert not any(world.cut)
