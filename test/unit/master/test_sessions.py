"""Sessions at seats: logins, the half minutes, ends, and a database that is away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed

from asyncluster.accounts.grant import Refusal
from asyncluster.accounts.passwords import hash_password, is_password, outdated
from asyncluster.accounts.seats import Seats
from asyncluster.accounts.visit import End, Say, Tell, Visit, Warn
from asyncluster.errors import RefusedError, StoreError
from asyncluster.master.piecemeal import FEW
from asyncluster.master.sessions import TICK, WRONG
from asyncluster.model.account import Account, Opening, Session
from asyncluster.model.peer import Peer, Role
from asyncluster.testing.people import BERLIN, FakePeople, Stage

PASSWORD = "correct horse battery"
KEPT = hash_password(PASSWORD)
ROOT = Peer(Role.CLIENT, "root", "unix", True)
MONDAY = datetime(2026, 11, 23, 9, tzinfo=BERLIN).timestamp()
JANE = Account("jane", enabled=True, argon2=KEPT, daily=2 * 3600)
BOB = Account("bob", enabled=True, restricted=False, argon2=KEPT)


@pytest.fixture
def people() -> FakePeople:
    openings = [Opening(weekday=day, start=480, end=1080) for day in range(5)]
    return FakePeople({"jane": JANE, "bob": BOB, "new": Account("new", argon2=KEPT)}, openings=openings)


@pytest.fixture
def stage(tmp_path: Path, people: FakePeople) -> Stage:
    return Stage(tmp_path, MONDAY, people)


def outcome(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0]


def test_a_login_is_granted_the_time_that_is_left(stage: Stage) -> None:
    """It is in the book at once; a second one of the same user is told where the first is."""
    visit = outcome(stage.login("jane", PASSWORD, "desk-1"))
    assert isinstance(visit, Visit)
    assert visit.granted == 7200.0
    assert stage.people.sessions[1] == Session(1, "jane", "desk-1", MONDAY, MONDAY)
    assert outcome(stage.login("jane", PASSWORD, "desk-2")).rule == "session"
    assert outcome(stage.login("bob", PASSWORD, "desk-1")).rule == "seat"
    assert outcome(stage.login("bob", PASSWORD, "desk-2")).granted is None


@pytest.mark.parametrize("user", ["jane", "nobody", "", "a\nb", "x" * 30_000, "'; DROP TABLE users --"])
def test_unknown_users_and_wrong_passwords_are_answered_alike(stage: Stage, user: str) -> None:
    """With the same words after the same work: one look into the database and one hash."""
    with (
        mock.patch("asyncluster.accounts.passwords.is_password", wraps=is_password) as hashed,
        mock.patch.object(FakePeople, "find_user", autospec=True, side_effect=FakePeople.find_user) as looked,
    ):
        assert outcome(stage.login(user, PASSWORD + "x", "desk-1")) is WRONG
    assert hashed.call_count == looked.call_count == 1
    assert not len(stage.sessions.seats)


def test_who_is_disabled_learns_it_only_with_the_password(stage: Stage) -> None:
    """Else names could be tried."""
    assert outcome(stage.login("new", "wrong wrong wrong", "desk-1")) is WRONG
    assert outcome(stage.login("new", PASSWORD, "desk-1")).rule == "disabled"


def test_attempts_are_limited(stage: Stage) -> None:
    """After five wrong ones the right one is not looked at either, for a while."""
    for _ in range(5):
        assert outcome(stage.login("jane", "wrong wrong wrong", "desk-1")) is WRONG
    refusal = outcome(stage.login("jane", PASSWORD, "desk-2"))
    assert refusal == Refusal("attempts", "too many wrong passwords; try again in 5m")
    stage.pass_by(300.0)
    assert isinstance(outcome(stage.login("jane", PASSWORD, "desk-2")), Visit)


def test_two_logins_at_once_on_two_nodes(stage: Stage) -> None:
    """While the database thinks about the first, the second is refused."""
    stage.people.held = []
    first, second = stage.login("jane", PASSWORD, "desk-1"), stage.login("jane", PASSWORD, "desk-2")
    answers: list[Any] = []
    first.addBoth(answers.append)
    second.addBoth(answers.append)
    while stage.people.held:
        stage.people.held.pop(0).callback(None)
    assert sorted(type(answer).__name__ for answer in answers) == ["Refusal", "Visit"]
    assert len(stage.sessions.seats) == 1


def test_time_left_warnings_and_the_end(stage: Stage) -> None:
    """Each half minute, at ten, five and one minutes, and at zero to the second; it is charged once, as used."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(7300.0)
    told = [action.left for action in stage.told if isinstance(action, Tell)]
    assert told[:3] == [7170.0, 7140.0, 7110.0]
    assert [action.minutes for action in stage.told if isinstance(action, Warn)] == [10, 5, 1]
    (end,) = [action for action in stage.told if isinstance(action, End)]
    assert end.session == Session(1, "jane", "desk-1", MONDAY, MONDAY + 7200.0, "time")
    assert stage.people.sessions[1] == end.session
    assert sum(each.seat_seconds for each in stage.people.sums if each.axis == "user") == 7200.0
    refusal = outcome(stage.login("jane", PASSWORD, "desk-1"))
    assert refusal == Refusal("daily", "2h a day are used up; more from Tuesday 00:00")


def test_a_clock_that_is_set_changes_no_charge(stage: Stage) -> None:
    """Back by an hour, then forth by two."""
    outcome(stage.login("bob", PASSWORD, "desk-1"))
    stage.pass_by(600.0)
    stage.shift -= 3600.0
    stage.pass_by(600.0)
    stage.shift += 7200.0
    stage.pass_by(600.0)
    stage.sessions.leave("desk-1")
    assert stage.people.sessions[1].seconds == 1800.0


def test_a_node_that_vanishes(stage: Stage) -> None:
    """Its session ended when it was heard last."""
    outcome(stage.login("bob", PASSWORD, "desk-1"))
    stage.pass_by(100.0)
    stage.clock.advance(20.0)
    stage.sessions.vanished("desk-1")
    assert stage.people.sessions[1] == Session(1, "bob", "desk-1", MONDAY, MONDAY + 100.0, "vanished")
    assert isinstance(outcome(stage.login("bob", PASSWORD, "desk-2")), Visit)


def test_disabled_in_mid_session(stage: Stage) -> None:
    """It ends at once; so it does where an opening is taken away, or the account."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(60.0)
    stage.registry.change(ROOT, "jane", "disable", lambda account: attrs.evolve(account, enabled=False))
    assert stage.people.sessions[1].reason == "disabled"
    stage.registry.change(ROOT, "jane", "enable", lambda account: attrs.evolve(account, enabled=True))
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(60.0)
    stage.registry.drop_openings(ROOT, list(stage.registry.openings))
    assert stage.people.sessions[2].reason == "rules"
    outcome(stage.login("bob", PASSWORD, "desk-1"))
    stage.registry.remove(ROOT, "bob")
    assert stage.people.sessions[3].reason == "disabled"


def test_more_hours_in_mid_session(stage: Stage) -> None:
    """What was used so far is not given twice."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(3600.0)
    stage.registry.change(ROOT, "jane", "restrict", lambda account: attrs.evolve(account, daily=3 * 3600))
    visit = stage.sessions.seats.of_user("jane")
    assert visit is not None
    assert visit.left(stage.clock.seconds()) == 7200.0


def test_kick_and_message(stage: Stage) -> None:
    """They reach the seat; who has no session is told so to the administrator."""
    outcome(stage.login("bob", PASSWORD, "desk-1"))
    stage.sessions.say("bob", "lunch", "root")
    stage.sessions.kick("bob", "go home")
    assert stage.told[-2] == Say(1, "desk-1", "lunch", "root")
    assert (stage.told[-1].text, stage.people.sessions[1].reason) == ("go home", "kicked")
    with pytest.raises(RefusedError, match="bob has no session"):
        stage.sessions.kick("bob", "")


def test_while_the_database_is_away(stage: Stage) -> None:
    """Nobody new is let in, who sits there stays, and what ended meanwhile is charged once when it is back."""
    outcome(stage.login("bob", PASSWORD, "desk-1"))
    stage.people.away = True
    refusal = outcome(stage.login("jane", PASSWORD, "desk-2"))
    assert refusal.rule == "database"
    stage.pass_by(600.0)
    assert len(stage.sessions.seats) == 1
    stage.sessions.leave("desk-1")
    assert stage.people.sessions[1].reason == ""
    stage.pass_by(60.0)
    stage.people.away = False
    stage.pass_by(60.0)
    assert stage.people.sessions[1] == Session(1, "bob", "desk-1", MONDAY, MONDAY + 600.0, "left")
    assert sum(each.seat_seconds for each in stage.people.sums if each.axis == "user") == 600.0
    assert isinstance(outcome(stage.login("jane", PASSWORD, "desk-2")), Visit)


def test_an_end_that_is_not_written_yet_counts(stage: Stage) -> None:
    """A login directly behind an outage writes what is owed first, so no hour is used twice."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(3600.0)
    stage.people.away = True
    stage.sessions.leave("desk-1")
    stage.people.away = False
    visit = outcome(stage.login("jane", PASSWORD, "desk-1"))
    assert visit.granted == 3600.0


def test_a_master_that_restarts_knows_its_sessions(tmp_path: Path, stage: Stage, people: FakePeople) -> None:
    """One that its node claims goes on with what is left; one that nobody claims ended when it was heard last."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    outcome(stage.login("bob", PASSWORD, "desk-2"))
    stage.pass_by(1800.0)
    stage.sessions.stopService()
    after = Stage(tmp_path, MONDAY + 1860.0, people)
    assert after.sessions.seats.claim("desk-1", 1, 1860.0, after.clock.seconds())
    after.pass_by(150.0)
    assert people.sessions[2] == Session(2, "bob", "desk-2", MONDAY, MONDAY + 1800.0, "vanished")
    visit = after.sessions.seats.of_user("jane")
    assert visit is not None
    assert visit.used(after.clock.seconds()) == 2010.0
    assert isinstance(outcome(after.login("bob", PASSWORD, "desk-3")), Visit)
    assert people.sessions[3].user == "bob"


OLD = "$argon2id$v=19$m=8192,t=3,p=1$R1NgeTGmc5Xfaq6KrNG2ow$Si1j1Hq/lAkd/7v8ka/CPLherVCdhaR308yW8tJVTtE"
"""Of "short", with the costs of an earlier release."""


def test_an_old_hash_is_made_anew_by_the_next_login(stage: Stage) -> None:
    """Of the password that was right; the next one finds it so; a wrong password changes nothing."""
    stage.people.accounts["bob"] = attrs.evolve(BOB, argon2=OLD)
    assert outcome(stage.login("bob", "longer", "desk-1")) == WRONG
    assert stage.people.accounts["bob"].argon2 == OLD
    assert isinstance(outcome(stage.login("bob", "short", "desk-1")), Visit)
    fresh = stage.people.accounts["bob"].argon2
    assert not outdated(fresh)
    stage.sessions.leave("desk-1")
    assert isinstance(outcome(stage.login("bob", "short", "desk-1")), Visit)
    assert stage.people.accounts["bob"].argon2 == fresh


def test_a_password_that_was_changed_meanwhile_stays(stage: Stage) -> None:
    """The new hash is that of the old password: it comes too late."""
    stage.people.accounts["bob"] = attrs.evolve(BOB, argon2=OLD)

    def changed(work: Callable[[], Any]) -> Deferred[Any]:
        value = work()
        if isinstance(value, str):
            stage.people.accounts["bob"] = BOB
        return succeed(value)

    stage.sessions.in_thread = changed
    assert isinstance(outcome(stage.login("bob", "short", "desk-1")), Visit)
    assert stage.people.accounts["bob"] == BOB


@pytest.mark.parametrize("set_by", [-86400.0, -1800.0, 1800.0])
def test_the_time_of_day_is_set(stage: Stage, set_by: float) -> None:
    """A session is charged what it lasted, the grant runs on, and hours that were used stay used."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(1800.0)
    stage.shift += set_by
    stage.pass_by(1800.0)
    visit = stage.sessions.seats.of_user("jane")
    assert visit is not None
    assert visit.left(stage.clock.seconds()) == 3600.0
    stage.sessions.leave("desk-1")
    assert stage.people.sessions[1] == Session(1, "jane", "desk-1", MONDAY, MONDAY + 3600.0, "left")
    stage.shift -= set_by
    again = outcome(stage.login("jane", PASSWORD, "desk-1"))
    assert again.granted == 3600.0
    stage.pass_by(3610.0)
    assert stage.people.sessions[2].reason == "time"
    assert outcome(stage.login("jane", PASSWORD, "desk-1")).rule == "daily"


def test_a_restored_session_has_its_limit(tmp_path: Path, stage: Stage, people: FakePeople) -> None:
    """Its seat is told nothing of the time left until the rules could be asked; and it ends when nothing is left."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.pass_by(1800.0)
    stage.sessions.stopService()
    people.held = []
    after = Stage(tmp_path, MONDAY + 1800.0, people)
    held, people.held = people.held, None
    people.away = True
    for each in held:
        each.errback(StoreError("it is away"))
    assert after.sessions.seats.claim("desk-1", 1, 1800.0, after.clock.seconds())
    after.pass_by(60.0)
    assert after.told == []
    people.away = False
    after.pass_by(60.0)
    assert [each.left for each in after.told if isinstance(each, Tell)] == [5310.0, 5280.0]
    after.pass_by(5280.0)
    assert people.sessions[1] == Session(1, "jane", "desk-1", MONDAY, MONDAY + 7200.0, "time")


def test_a_change_that_could_not_be_looked_at_is_looked_at_again(stage: Stage) -> None:
    """Who was disabled while the database failed to answer has to go all the same."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    stage.people.accounts["jane"] = attrs.evolve(JANE, enabled=False)
    stage.people.away = True
    stage.registry.changed("jane")
    assert len(stage.sessions.seats) == 1
    stage.people.away = False
    stage.pass_by(30.0)
    assert stage.people.sessions[1].reason == "disabled"


def test_a_begin_whose_answer_was_lost(tmp_path: Path, stage: Stage, people: FakePeople) -> None:
    """The login is refused; what may be in the book is ended there, as nothing, within half a minute."""
    people.loses = 0

    def lost(*args: Any) -> Any:
        people.loses = 1
        return begin(*args)

    begin = people.begin_session
    with mock.patch.object(FakePeople, "begin_session", side_effect=lost):
        assert outcome(stage.login("jane", PASSWORD, "desk-1")).rule == "database"
    assert people.sessions[1].reason == ""
    assert isinstance(outcome(stage.login("jane", PASSWORD, "desk-2")), Visit)
    stage.pass_by(30.0)
    assert people.sessions[1] == Session(1, "jane", "desk-1", MONDAY, MONDAY, "vanished")
    people.away = True  # now nothing has arrived
    with mock.patch.object(FakePeople, "find_user", return_value=succeed(BOB)):
        assert outcome(stage.login("bob", PASSWORD, "desk-1")).rule == "database"
    people.away = False
    stage.pass_by(60.0)
    assert list(people.sessions) == [1, 2]
    stage.sessions.stopService()
    after = Stage(tmp_path, MONDAY + 90.0, people)
    assert [(each.user, each.node) for each in after.sessions.seats] == [("jane", "desk-2")]


def test_two_sessions_of_one_user_in_the_book(tmp_path: Path, people: FakePeople) -> None:
    """The earlier is over when the master begins; the later goes on, alone, and half minutes pass."""
    people.sessions = {
        1: Session(1, "jane", "desk-1", MONDAY, MONDAY),
        2: Session(2, "jane", "desk-2", MONDAY, MONDAY + 60.0),
        3: Session(3, "bob", "desk-2", MONDAY, MONDAY + 90.0),
    }
    stage = Stage(tmp_path, MONDAY + 120.0, people)
    assert [visit.number for visit in stage.sessions.seats] == [3]
    assert outcome(stage.login("bob", PASSWORD, "desk-9")).rule == "session"
    assert isinstance(outcome(stage.login("jane", PASSWORD, "desk-1")), Visit)
    stage.pass_by(300.0)
    assert {each.number: each.reason for each in people.sessions.values()} == {
        1: "vanished",
        2: "vanished",
        3: "vanished",
        4: "",
    }
    stage.sessions.leave("desk-1")
    assert not len(stage.sessions.seats)


def test_half_minutes_go_on_whatever_happens(stage: Stage) -> None:
    """An error of one is told in the log, and the next one comes."""
    outcome(stage.login("jane", PASSWORD, "desk-1"))
    with mock.patch.object(stage.sessions._ticking, "tick", side_effect=KeyError("desk-1")) as failed:
        stage.pass_by(60.0)
    assert failed.call_count == 2
    stage.pass_by(7200.0)
    assert people_reason(stage) == "time"


def people_reason(stage: Stage) -> str:
    return stage.people.sessions[1].reason


def sit(stage: Stage, count: int) -> None:
    """So many sessions of people who are called so."""
    for number in range(count):
        name = f"user{number}"
        stage.people.accounts[name] = attrs.evolve(JANE, name=name)
        assert isinstance(outcome(Deferred.fromCoroutine(stage.sessions.resume(name, f"seat-{number}"))), Visit)


def test_many_sessions_are_looked_at_in_turns(stage: Stage) -> None:
    """The half minute, a change for everybody, and an opening's end: some in a turn of the reactor, then the next."""
    sit(stage, 100)
    stage.clock.advance(1.0)
    stage.told.clear()
    stage.sessions.tick()
    assert len(stage.told) == FEW
    stage.clock.advance(0)
    assert len(stage.told) == 100
    stage.told.clear()
    with mock.patch.object(Seats, "due", autospec=True, side_effect=Seats.due) as looked:
        stage.registry.changed(None)
        assert len(stage.told) == FEW
        stage.clock.advance(0)
    assert len(stage.told) == 100
    assert looked.call_count <= 100 / FEW + 1
    stage.told.clear()
    stage.clock.advance(7197.0)
    stage.told.clear()
    with mock.patch.object(Seats, "tick", autospec=True, side_effect=Seats.tick) as ticked:
        stage.clock.advance(2.0)
    assert max(len(call.args[2]) for call in ticked.call_args_list) == FEW
    assert len([each for each in stage.told if isinstance(each, End)]) == 100
    assert {each.reason for each in stage.people.sessions.values()} <= {"time", ""}
    stage.clock.advance(TICK)
    assert {each.reason for each in stage.people.sessions.values()} == {"time"}


def test_what_waits_is_asked_a_few_at_a_time(stage: Stage) -> None:
    """While the database thinks, no more than these have asked; one that is named again waits behind them."""
    sit(stage, 50)
    stage.people.held = []
    stage.registry.changed(None)
    stage.registry.changed("user0")
    stage.clock.advance(0)
    assert len(stage.people.held) == FEW
    held, stage.people.held = stage.people.held, []
    for each in held:
        each.callback(None)
    stage.clock.advance(0)
    assert len(stage.people.held) == FEW
    stage.people.let_go()
    stage.clock.advance(0)
    assert len([each for each in stage.told if isinstance(each, Tell)]) == 51


def test_nobody_has_used_more_than_has_passed(stage: Stage) -> None:
    """Whatever the clock of a node says about a session that is over; a thousand years of sums would hold everybody."""
    over = Session(1, "jane", "desk-1", MONDAY - 600, MONDAY - 500, "vanished")
    stage.people.sessions[1] = over
    stage.sessions.grow(over, 9e9)
    stage.pass_by(60)
    assert stage.people.sessions[1].ended == MONDAY
