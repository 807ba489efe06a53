"""Who was here when a master was killed, and how long the next one waits for them."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock

from asyncluster.jobs.recovery import Recovered
from asyncluster.master.ledger import Ledger
from asyncluster.master.roll import SAY_SECONDS, Roll
from asyncluster.master.service import RETURN_SECONDS, Master
from asyncluster.model.journal import StoredJob
from asyncluster.model.messages import Code, Task
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role


class Link:
    """A node's, that leads nowhere."""

    peer = Peer(Role.NODE, "nodes", "here")

    def send_now(self, messages: object) -> None: ...


def follower(clock: Clock, roll: Roll | None) -> Master:
    master = Master(clock, roll=roll)
    recovered = Recovered(codes=[Code(1, 0, 0, b"")], tasks={0: Task(1, 0, 0, 0, b"")})
    master.begin_with(Ledger(), "r", 2, [(StoredJob(1, "ann", {"owner": "ann", "reconnect": 100.0}, 0.0), recovered)])
    return master


def arrive(master: Master, name: str) -> None:
    master.attach_node(NodeFacts(name, "host", 1, 1, 0, "3.11", session="s"), [], Link())  # type: ignore[arg-type]  # link enough


def test_what_is_written_is_found(tmp_path: Path) -> None:
    """The last word of many in a moment; nothing known is something else than nobody."""
    clock, path = Clock(), tmp_path / "nodes.json"
    roll = Roll(clock, path)
    assert roll.former() is None
    roll.note(["a"])
    roll.note(["a", "b"])
    clock.advance(SAY_SECONDS)
    assert Roll(clock, path).former() == {"a", "b"}
    roll.note([])
    clock.advance(SAY_SECONDS)
    assert Roll(clock, path).former() == set()
    path.write_text("{torn")
    assert Roll(clock, path).former() is None


def test_a_master_rests_until_all_are_back(tmp_path: Path) -> None:
    """And gives out nothing before; a node that is new does not count."""
    clock = Clock()
    (tmp_path / "nodes.json").write_text('["a", "b"]')
    master = follower(clock, Roll(clock, tmp_path / "nodes.json"))
    arrive(master, "new")
    arrive(master, "a")
    clock.advance(0)
    assert master.board.queued == 1
    arrive(master, "b")
    clock.advance(0)
    assert master.board.queued == 0


def test_a_node_that_stays_away_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """The whole rest, as where nothing is known of nodes; none at all where none was here."""
    for text, known in (('["a"]', True), ("", True), ("", False)):
        clock = Clock()
        (tmp_path / "nodes.json").write_text(text)
        master = follower(clock, Roll(clock, tmp_path / "nodes.json") if known else None)
        arrive(master, "other")
        clock.advance(RETURN_SECONDS / 2)
        assert master.board.queued == 1
        clock.advance(RETURN_SECONDS)
        assert master.board.queued == 0
    (tmp_path / "nodes.json").write_text("[]")
    clock = Clock()
    master = follower(clock, Roll(clock, tmp_path / "nodes.json"))
    arrive(master, "other")
    clock.advance(0)
    assert master.board.queued == 0
