"""All sessions that are on: hours charged are hours used, whatever happens."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.accounts.grant import Grant, Refusal
from asyncluster.accounts.hours import by_day, by_week
from asyncluster.accounts.seats import Seats
from asyncluster.accounts.visit import KICKED, LEFT, RULES, VANISHED, Action, End, Say
from asyncluster.model.account import Session

BERLIN = ZoneInfo("Europe/Berlin")


def sit(seats: Seats, user: str, node: str, granted: float | None = None, now: float = 0.0) -> None:
    """A login that leads to a session."""
    assert seats.reserve(user, node) is None
    seats.begin(len(seats) + 1, user, node, 1000.0, Grant(granted), now)


def test_one_session_a_user_and_a_seat() -> None:
    """A second login is told where the first is."""
    seats = Seats()
    sit(seats, "jane", "desk-1")
    assert seats.reserve("jane", "desk-2") == Refusal("session", "jane has a session at desk-1 already")
    assert seats.reserve("bob", "desk-1") == Refusal("seat", "jane has a session at desk-1 already")
    assert seats.reserve("bob", "desk-2") is None


def test_two_logins_at_once_on_two_nodes() -> None:
    """While the first is looked at, the second is refused; when it comes to nothing, the next one is not."""
    seats = Seats()
    assert seats.reserve("jane", "desk-1") is None
    assert seats.reserve("jane", "desk-2") == Refusal("session", "jane logs in at desk-1 already")
    assert seats.reserve("bob", "desk-1") == Refusal("seat", "somebody logs in at desk-1 already")
    seats.release("jane", "desk-2")  # of the one that was refused: changes nothing
    assert seats.reserve("jane", "desk-2") is not None
    seats.release("jane", "desk-1")
    assert seats.reserve("jane", "desk-2") is None


def test_an_end_frees_both_places() -> None:
    """However it ended."""
    seats = Seats()
    for reason in (LEFT, KICKED, VANISHED):
        sit(seats, "jane", "desk-1")
        assert len(seats.end(1, reason, "", 5.0)) == 1
        assert seats.end(1, reason, "", 6.0) == []
    assert not len(seats)


def test_rules_that_change_meanwhile() -> None:
    """More time, less, none; who is disabled has to go; who has no session is left alone."""
    seats = Seats()
    sit(seats, "jane", "desk-1", 60.0)
    seats.review("jane", Grant(600.0), 10.0)
    visit = seats.of_user("jane")
    assert visit is not None
    assert visit.left(10.0) == 600.0
    (end,) = seats.review("jane", Refusal("disabled", "the account jane is disabled"), 20.0)
    assert isinstance(end, End)
    assert (end.session.reason, end.session.seconds) == ("disabled", 20.0)
    assert seats.review("jane", Refusal("daily", ""), 30.0) == []
    sit(seats, "bob", "desk-1")
    (end,) = seats.review("bob", Refusal("daily", "used up"), 30.0)
    assert isinstance(end, End)
    assert end.session.reason == RULES


def test_messages_go_to_the_seat() -> None:
    """Of a user who has one."""
    seats = Seats()
    sit(seats, "jane", "desk-1")
    assert seats.say("jane", "lunch", "root") == [Say(1, "desk-1", "lunch", "root")]
    assert seats.say("bob", "lunch", "root") == []


def test_after_a_restart_nodes_claim_their_sessions() -> None:
    """What nobody claims ended when it was heard last; until then nobody else gets the seat."""
    seats = Seats()
    seats.restore([Session(1, "jane", "desk-1", 1000.0, 1090.0), Session(2, "bob", "desk-2", 1000.0, 1030.0)], 0.0)
    assert seats.reserve("jane", "desk-9") is not None
    assert not seats.claim("desk-9", 1, 100.0, 1.0)
    assert seats.claim("desk-1", 1, 100.0, 1.0)
    seats.beat("desk-2", 15.0)  # it is there, and says nothing of a session
    (end,) = seats.give_up(20.0)
    assert end == End(Session(2, "bob", "desk-2", 1000.0, 1030.0, VANISHED), "")
    assert seats.of_user("jane") is not None


def test_of_two_sessions_at_one_place_the_earlier_is_over() -> None:
    """Whether they share their user or their seat; the places are the later one's, and its end frees them."""
    seats = Seats()
    some = [
        Session(2, "jane", "desk-2", 1000.0, 1060.0),
        Session(1, "jane", "desk-1", 1000.0, 1000.0),
        Session(3, "bob", "desk-3", 1000.0, 1010.0),
        Session(4, "ann", "desk-3", 1000.0, 1020.0),
    ]
    actions = seats.restore(some, 0.0)
    assert [(each.session.number, each.session.seconds) for each in actions if isinstance(each, End)] == [
        (1, 0),
        (3, 10),
    ]
    assert (seats.of_user("bob"), seats.at("desk-1")) == (None, None)
    for number in (2, 4):
        assert len(seats.end(number, LEFT, "", 1.0)) == 1
    assert seats.reserve("jane", "desk-3") is None


class History:
    """A play of one seat and its user, with an oracle that adds up what was used."""

    def __init__(self, begin: float) -> None:
        self.seats, self.book = Seats(), {}
        self.steady, self.clock, self.number = 100.0, begin, 0
        self.used = 0.0
        self.heard = self.begun = 0.0
        self.granted: float | None = None
        self.on = False

    def obey(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, End):
                self.book[action.session.number] = action.session
                self.on = False

    def pass_by(self, seconds: float) -> None:
        self.steady += seconds
        self.clock += seconds
        before = self.on
        self.obey(self.seats.tick(self.steady))
        if before and not self.on:
            self.used += self.steady - self.begun

    def begin(self, granted: float | None) -> None:
        if self.on:
            return
        assert self.seats.reserve("jane", "desk-1") is None
        self.number += 1
        self.seats.begin(self.number, "jane", "desk-1", self.clock, Grant(granted), self.steady)
        self.begun = self.heard = self.steady
        self.on = True

    def beat(self) -> None:
        self.seats.beat("desk-1", self.steady)
        self.heard = self.steady

    def end(self, reason: str) -> None:
        if self.on:
            self.used += (self.heard if reason == VANISHED else self.steady) - self.begun
        visit = self.seats.of_user("jane")
        if visit is not None:
            self.obey(self.seats.end(visit.number, reason, "", self.steady))

    def restart(self, away: float, claims: bool) -> None:
        """The master dies, its steady clock begins anew; the node goes on, or not."""
        rows = [visit.session() for visit in self.seats]
        self.clock += away
        elapsed = self.steady + away - self.begun
        shift = 5.0 - (self.steady + away)
        self.steady, self.begun, self.heard = 5.0, self.begun + shift, self.heard + shift
        self.seats = Seats()
        self.seats.restore(rows, self.steady)
        if self.on and claims:
            assert self.seats.claim("desk-1", self.number, elapsed, self.steady)
            self.heard = self.steady
        if self.on and not claims:
            self.used += self.heard - self.begun
        self.obey(self.seats.give_up(self.steady))


steps = st.one_of(
    st.tuples(st.just("pass"), st.floats(0.1, 9 * 3600)),
    st.tuples(st.just("begin"), st.none() | st.floats(1, 20 * 3600)),
    st.tuples(st.just("beat")),
    st.tuples(st.just("end"), st.sampled_from([LEFT, KICKED, VANISHED])),
    st.tuples(st.just("clock"), st.floats(-2 * 86400, 2 * 86400)),
    st.tuples(st.just("restart"), st.floats(0, 3600), st.booleans()),
)


@given(st.integers(0, 2 * 366 * 86400), st.lists(steps, max_size=40))
def test_hours_charged_are_hours_used(since: int, history: list[tuple]) -> None:  # type: ignore[type-arg]
    """Ends of all kinds, restarts, clocks that are set: by session, by day and by week it is what was used."""
    play = History(datetime(2026, 1, 1, tzinfo=BERLIN).timestamp() + since)
    for step, *values in history:
        if step == "pass":
            play.pass_by(*values)
        elif step == "begin":
            play.begin(*values)
        elif step == "beat":
            play.beat()
        elif step == "end":
            play.end(*values)
        elif step == "restart":
            play.restart(*values)
        else:
            play.clock += values[0]  # somebody sets it
    play.end(LEFT)
    assert not len(play.seats)
    booked = play.book.values()
    assert sum(each.seconds for each in booked) == pytest.approx(play.used, abs=1e-3)
    days = by_day(BERLIN, [(each.begun, each.ended) for each in booked])
    assert sum(days.values()) == pytest.approx(play.used, abs=1e-3)
    assert sum(by_week(days).values()) == pytest.approx(play.used, abs=1e-3)
    assert all(each.seconds >= 0 and each.reason for each in booked)
