"""The road from a seat to its master and back, both ends joined in memory: links that break, masters that are new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from asyncluster.accounts.passwords import hash_password
from asyncluster.errors import LinkLostError, RefusedError
from asyncluster.master.seating import UNKNOWN, Seating
from asyncluster.model.account import Account, Opening
from asyncluster.model.peer import Peer, Role
from asyncluster.model.seat import (
    Begin,
    Finish,
    Granted,
    Left,
    Linked,
    Notice,
    Over,
    Refused,
    SeatStatus,
    Told,
    Warned,
)
from asyncluster.node.seat import Seat
from asyncluster.node.seat_service import SeatKeeper
from asyncluster.node.yielding import Step, Yielding
from asyncluster.testing.people import FakePeople, Stage

PASSWORD = "correct horse battery"
KEPT = hash_password(PASSWORD)
MONDAY = 1_795_420_800.0 + 9 * 3600
NODES = Peer(Role.NODE, "nodes", "10.0.0.7")
OPENINGS = [Opening(weekday=day) for day in range(7)]


class Program:
    """One at the seat."""

    uid = 0

    def __init__(self) -> None:
        self.told: list[Notice] = []
        self.has_session = False

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)

    def admit(self) -> None:
        self.has_session = True

    def be_patient(self) -> None:
        pass

    def wait(self) -> None:
        pass

    def last(self, kind: type[Any]) -> Any:
        return [each for each in self.told if isinstance(each, kind)][-1]


@attrs.define(eq=False)
class End:
    """One end of a link; other: what hears its calls."""

    wire: World
    other: Any
    peer: Peer = NODES

    def call(self, name: str, *args: Any) -> Deferred[Any]:
        assert name == "seat"
        if self.wire.broken:
            return fail(LinkLostError("it broke"))
        return maybeDeferred(self.other, args)


class World:
    """A master with a stage of its own, and the node `desk`, on one clock."""

    def __init__(self, folder: Path, way: str = "pause") -> None:
        self.folder = folder
        jane = Account("jane", enabled=True, argon2=KEPT, daily=2 * 3600)
        bob = Account("bob", enabled=True, restricted=False, argon2=KEPT)
        self.people = FakePeople({"jane": jane, "bob": bob}, openings=OPENINGS)
        self.broken = False
        self.steps: list[Step] = []
        self.used: list[tuple[str, str, str]] = []
        self.begin_master()
        self.keeper = SeatKeeper(self.clock, Seat("desk", 10), Yielding(way), lambda _uid, _user: "", self.steps.append)
        self.link()

    def begin_master(self) -> None:
        self.stage = Stage(self.folder, MONDAY, self.people)
        self.clock = self.stage.clock
        self.sessions = self.stage.sessions
        self.seating = Seating(
            self.clock,
            self.sessions,
            self.link_of,
            lambda *use: self.used.append(use),  # type: ignore[arg-type]
        )
        self.sessions.tell = self.seating.tell
        self.to_node = End(self, self._order)

    def _order(self, args: tuple[Any, ...]) -> None:
        self.keeper.order(args)

    def link_of(self, node: str) -> Any:
        return None if self.broken or node != "desk" else self.to_node

    def link(self) -> None:
        self.broken = False
        self.keeper.linked(End(self, lambda args: self.seating.verb("desk", args)))  # type: ignore[arg-type]

    def break_link(self) -> None:
        self.broken = True
        self.keeper.unlinked()
        self.seating.away("desk")

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds / 5)):
            self.clock.advance(5.0)
            if not self.broken:
                self.seating.beat("desk")

    def login(self, user: str = "jane", password: str = PASSWORD) -> Program:
        program = Program()
        self.keeper.asked(program, Begin(user, password))  # type: ignore[arg-type]
        return program

    def status(self) -> SeatStatus:
        return self.keeper.status()

    def booked(self) -> list[tuple[str, float, str]]:
        return [(each.user, round(each.seconds), each.reason) for each in self.people.sessions.values()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_session_from_login_to_end(world: World) -> None:
    """Granted, told the time left every half minute, and charged for what it lasted."""
    program = world.login()
    assert program.told[:2] == [Granted(1, "jane", "desk", 7200.0, 10), Left(7200.0)]
    assert program.has_session
    assert world.steps == [Step.STOP]
    assert world.used[-1] == ("desk", "jane", "pause")
    world.pass_by(60)
    assert program.last(Left).seconds == pytest.approx(7140, abs=1)
    world.keeper.asked(program, Finish())  # type: ignore[arg-type]
    assert program.told[-1] == Over("left", "")
    assert world.steps == [Step.STOP, Step.CONTINUE]
    assert world.used[-1] == ("desk", "", "pause")
    assert world.booked() == [("jane", 60, "left")]
    assert world.status().user == ""


def test_warnings_come_in_time_and_once(world: World) -> None:
    """At 10, 5 and 1 minutes; at zero it is over, on both sides."""
    program = world.login()
    world.pass_by(7200 + 60)
    assert [each.minutes for each in program.told if isinstance(each, Warned)] == [10, 5, 1]
    assert program.told[-1] == Over("time", "your time is up")
    assert world.booked() == [("jane", 7200, "time")]
    assert "a day are used up" in world.login().last(Refused).reason


def test_refusals_say_why(world: World) -> None:
    """The same for an unknown user and a wrong password; another one for a database that is away."""
    wrong = world.login(password="not it at all").last(Refused)
    assert wrong == Refused("password", "the user or the password is wrong")
    for name in ("nobody", "a'b", "a\nb", "x" * 30_000):
        assert world.login(name).last(Refused) == wrong
    assert world.login().has_session
    assert world.login("bob").last(Refused).rule == "seat"
    world.keeper.gone(world.keeper._program)  # type: ignore[arg-type]
    world.people.away = True
    assert world.login("bob").last(Refused).rule == "database"
    assert world.status().user == ""


def test_setting_the_clock_changes_nothing(world: World) -> None:
    """Back or forth: what is charged is what passed, and what is left stays."""
    program = world.login()
    world.pass_by(60)
    for hours in (-5, 30):
        world.stage.shift += hours * 3600
        world.pass_by(60)
    assert program.last(Left).seconds == pytest.approx(7200 - 180, abs=1)
    world.keeper.gone(program)  # type: ignore[arg-type]
    assert world.booked() == [("jane", 180, "left")]


def test_messages_and_kicks_reach_the_seat(world: World) -> None:
    """A session that was kicked is over at the seat, too."""
    program = world.login("bob")
    world.sessions.say("bob", "tea\nis ready", "root")
    world.sessions.kick("bob", "go home")
    assert program.told[-2:] == [Told("tea\nis ready", "root"), Over("kicked", "go home")]
    assert world.status().user == ""
    assert world.login("bob").has_session


def test_a_session_goes_on_without_its_master_for_a_while(world: World) -> None:
    """It is told so, all of it is charged, and nothing happens when the link is there again."""
    program = world.login()
    world.pass_by(30)
    world.break_link()
    assert program.told[-1] == Linked(False)
    assert world.login("bob").last(Refused).rule == "seat"
    world.pass_by(60)
    world.link()
    assert Linked(True) in program.told
    world.pass_by(200)
    world.keeper.gone(program)  # type: ignore[arg-type]
    assert world.booked() == [("jane", 290, "left")]


def test_a_session_that_was_given_up_goes_on_as_another(world: World) -> None:
    """The master had waited long enough; what lies between is charged all the same; the seat notices nothing."""
    program = world.login()
    world.pass_by(30)
    world.break_link()
    world.pass_by(200)
    assert world.booked() == [("jane", 30, "vanished")]
    world.link()
    assert world.status().session == 2
    assert world.status().left == pytest.approx(7200 - 230, abs=1)
    assert not [each for each in program.told if isinstance(each, Over)]
    world.pass_by(20)
    world.keeper.gone(program)  # type: ignore[arg-type]
    assert world.booked() == [("jane", 230, "vanished"), ("jane", 20, "left")]
    assert sum(each.seat_seconds for each in world.people.sums if each.axis == "user") == pytest.approx(250, abs=1)


@pytest.mark.parametrize("written", [True, False])
def test_pulling_the_cable_gives_no_hours(world: World, written: bool) -> None:
    """A session that ran out behind a broken link, and was given up meanwhile, is charged whole when it is back."""
    world.login()
    world.pass_by(30)
    world.break_link()
    world.pass_by(200)
    world.people.away = not written
    world.pass_by(7200)
    world.link()
    assert world.login().last(Refused).rule == ("daily" if written else "database")
    world.people.away = False
    assert "a day are used up" in world.login().last(Refused).reason
    world.pass_by(60)
    assert world.booked() == [("jane", 7200, "vanished")]
    assert sum(each.seat_seconds for each in world.people.sums if each.axis == "user") == pytest.approx(7200, abs=1)


def test_a_session_that_is_claimed_goes_by_the_rules_of_now(world: World) -> None:
    """After a restart: what its node says was used takes nothing from an opening, which goes by the clock."""
    world.people.accounts["jane"] = attrs.evolve(world.people.accounts["jane"], daily=None)
    world.people.openings = [Opening(weekday=0)]
    world.stage.registry.openings = world.people.openings
    program = world.login()
    left = program.last(Left).seconds
    assert 7200 < left < 86400
    world.pass_by(30)
    world.break_link()
    world.keeper.clock = Clock()
    world.keeper.clock.advance(world.clock.seconds())
    world.keeper.clock.advance(600)
    world.begin_master()
    world.stage.shift += 630
    world.link()
    world.clock.advance(30)
    assert program.last(Left).seconds == pytest.approx(left - 660, abs=1)


def test_what_happened_meanwhile_is_told_afterwards(world: World) -> None:
    """Kicked while the link was broken: over as soon as it is there.  Gone meanwhile: charged until then."""
    program = world.login("bob")
    world.break_link()
    world.sessions.kick("bob", "go home")
    assert not [each for each in program.told if isinstance(each, Over)]
    world.link()
    assert program.told[-1] == Over("kicked", "go home")
    program = world.login("bob")
    world.pass_by(20)
    world.break_link()
    world.pass_by(30)
    world.keeper.gone(program)  # type: ignore[arg-type]
    world.pass_by(30)
    assert world.used[-1] == ("desk", "bob", "pause")
    world.link()
    assert world.used[-1] == ("desk", "", "pause")
    assert world.booked()[-1] == ("bob", 50, "left")


def test_time_runs_out_without_a_master(world: World) -> None:
    """The node counts by itself: warned, over, and told afterwards; an opening's end holds, too."""
    program = world.login()
    world.pass_by(3600)
    world.break_link()
    world.seating.stop()  # the master does not give it up
    world.pass_by(3700)
    assert [each.minutes for each in program.told if isinstance(each, Warned)] == [10, 5, 1]
    assert program.told[-1] == Over("time", "your time is up")
    world.link()
    assert world.booked() == [("jane", 7200, "time")]


def test_a_new_daemon_has_no_session(world: World) -> None:
    """Its node was killed: what the master still has there is over, charged until it was heard last."""
    world.login("bob")
    world.pass_by(20)
    world.break_link()
    world.keeper = SeatKeeper(world.clock, Seat("desk", 10), Yielding("pause"), lambda *_: "", world.steps.append)
    world.clock.advance(30)
    world.link()
    assert world.booked() == [("bob", 20, "vanished")]
    assert world.login("bob").has_session


def test_a_new_master_knows_the_session(world: World) -> None:
    """It was killed and is back: the same session, all of it charged; one that has no book ends it."""
    program = world.login()
    world.pass_by(30)
    world.break_link()
    world.pass_by(60)
    clock, world.keeper.clock = world.clock, Clock()
    world.keeper.clock.advance(clock.seconds())  # type: ignore[attr-defined]
    world.begin_master()
    world.link()
    world.pass_by(30)
    world.keeper.clock.advance(30)  # type: ignore[attr-defined]
    world.keeper.gone(program)  # type: ignore[arg-type]
    assert world.booked() == [("jane", 120, "left")]
    program = world.login()
    world.break_link()
    world.people.sessions.clear()
    world.begin_master()
    world.link()
    assert program.told[-1] == Over("vanished", "the master does not know this session any more")


def test_a_program_that_leaves_while_it_logs_in(world: World) -> None:
    """Its session ends as it begins; meanwhile nobody else can log in there."""
    world.people.held = []
    program = world.login("bob")
    assert world.login("jane").last(Refused).rule == "seat"
    world.keeper.gone(program)  # type: ignore[arg-type]
    world.people.let_go()
    assert world.booked() == [("bob", 0, "left")]
    assert program.told == []
    assert world.login("jane").has_session


def test_a_daemon_that_stops_ends_its_session(world: World) -> None:
    """With a word to the seat, and workers going on, so that they can finish."""
    program = world.login("bob")
    world.pass_by(20)
    world.keeper.startService()
    world.keeper.stopService()
    assert program.told[-1] == Over("node", "the node daemon of this machine stops")
    assert world.steps == [Step.STOP, Step.CONTINUE]
    assert world.booked() == [("bob", 20, "left")]


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("begin", "jane"),
        ("begin", b"jane", "x"),
        ("left", 1, float("nan"), "left"),
        ("left", 1, -1.0, "left"),
        ("claim", [(1, "jane", 1.0), (2, "bob", 1.0)]),
        ("claim", [("1", "jane", 1.0)]),
        ("use", "jane", "sometimes"),
        ("use", "x" * 30_000, "pause"),
        ("use", "\x1b[2Jroot", "pause"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, args: tuple[Any, ...]) -> None:
    """A node may be broken; its session goes on."""
    world.login("bob")
    with pytest.raises(RefusedError):
        world.seating.verb("desk", args)
    assert world.sessions.seats.at("desk") is not None


def test_a_node_cannot_claim_what_is_anothers(world: World) -> None:
    """Neither another node's session, nor its own under another name, nor one that never was."""
    world.login("bob")
    for node, claim in (("else", (1, "bob", 5.0)), ("else", (9, "jane", 5.0))):
        found: list[Any] = []
        maybeDeferred(world.seating.verb, node, ("claim", [claim])).addCallback(found.append)
        assert "over" in found[0]
    visit = world.sessions.seats.at("desk")
    assert visit is not None
    assert visit.used(world.clock.seconds()) < 1.0


@pytest.mark.parametrize("given_up", [False, True])
def test_a_node_of_another_account_has_none_of_its_sessions(world: World, given_up: bool) -> None:
    """Though it has the node's name now, and tells number and user."""
    world.login("bob")
    world.pass_by(20)
    world.break_link()
    world.pass_by(300 if given_up else 10)
    world.broken = False
    world.to_node = End(world, world._order, Peer(Role.NODE, "mallory", "10.0.0.7"))
    for what in (("left", 1, 9e9, "left"), ("claim", [(1, "bob", 9e9)])):
        found: list[Any] = []
        maybeDeferred(world.seating.verb, "desk", what).addCallback(found.append)
    assert found == [{"of": 1, "over": UNKNOWN, "reason": "vanished"}]
    assert world.booked() == [("bob", 20, "vanished")]


def test_a_node_cannot_take_what_was_kept_for_another(world: World) -> None:
    """Whoever claims another's session by its number learns nothing, and it waits for its own node all the same."""
    program = world.login("bob")
    world.break_link()
    world.sessions.kick("bob", "go home, Bob")
    found: list[Any] = []
    maybeDeferred(world.seating.verb, "else", ("claim", [(1, "bob", 5.0)])).addCallback(found.append)
    assert found == [{"of": 1, "over": UNKNOWN, "reason": "vanished"}]
    world.link()
    assert program.told[-1] == Over("kicked", "go home, Bob")


def test_a_use_that_ended_without_a_master_is_told_of(world: World) -> None:
    """Else the master would give that node nothing for ever."""
    program = world.login("bob")
    assert world.used[-1] == ("desk", "bob", "pause")
    world.break_link()
    world.keeper.gone(program)  # type: ignore[arg-type]
    world.link()
    assert world.used[-1] == ("desk", "", "pause")


def test_a_login_whose_link_broke_leaves_no_session(world: World) -> None:
    """The node is back before the answer: it does not know of the session, so there is none."""
    world.people.held = []
    answers: list[Deferred[Any]] = []

    def ask(args: tuple[Any, ...]) -> Deferred[Any]:
        maybeDeferred(world.seating.verb, "desk", args)
        answers.append(Deferred())
        return answers[-1]  # nothing comes back by a link that breaks

    world.keeper.linked(End(world, ask))  # type: ignore[arg-type]
    program = world.login("bob")
    world.break_link()
    answers[-1].errback(LinkLostError("it broke"))
    assert program.last(Refused).rule == "master"
    world.to_node = End(world, world._order)
    world.link()
    world.people.let_go()
    assert world.sessions.seats.at("desk") is None
    assert world.login("bob").has_session


def test_the_end_of_an_old_link_is_not_the_nodes(world: World) -> None:
    """It came back by a new one and has claimed its session before the master hears that the old one is dead."""
    program = world.login("bob")
    world.seating.away("desk")
    world.pass_by(300)
    assert world.sessions.seats.at("desk") is not None
    world.keeper.gone(program)  # type: ignore[arg-type]
    assert world.booked() == [("bob", 300, "left")]
