"""One session while it lasts."""

from __future__ import annotations

from asyncluster.accounts.visit import KICKED, LEFT, TIME, VANISHED, End, Tell, Visit, Warn
from asyncluster.model.account import Session


def visit(granted: float | None) -> Visit:
    return Visit(7, "jane", "desk-1", 1000.0, granted, 50.0)


def test_each_half_minute_the_seat_is_told() -> None:
    """What is left; no limit is told as none."""
    assert visit(7200.0).tick(80.0) == [Tell(7, "desk-1", 7170.0)]
    assert visit(None).tick(80.0) == [Tell(7, "desk-1", None)]


def test_warnings_at_ten_five_and_one_minute() -> None:
    """Each once, however often it ticks, and exactly then where it is asked when `due` says."""
    one = visit(1200.0)
    now, warned = 50.0, []
    while not one.over:
        now += min(one.due(now) or 30.0, 30.0)
        for action in one.tick(now):
            if isinstance(action, Warn):
                warned.append((now - 50.0, action.minutes))
    assert warned == [(600.0, 10), (900.0, 5), (1140.0, 1)]
    assert now == 1250.0


def test_a_short_session_is_warned_of_what_is_to_come_only() -> None:
    """Seven minutes: at once of seven, then at five and one."""
    one = visit(420.0)
    assert Warn(7, "desk-1", 7) in one.tick(50.0)
    assert one.due(50.0) == 120.0
    assert Warn(7, "desk-1", 5) in one.tick(170.0)
    assert [type(action) for action in one.tick(180.0)] == [Tell]


def test_a_tick_that_comes_late_warns_once() -> None:
    """Of what is left, though two warnings were due."""
    assert [action for action in visit(1200.0).tick(50.0 + 1000.0) if isinstance(action, Warn)] == [
        Warn(7, "desk-1", 4)
    ]


def test_it_ends_at_zero_once() -> None:
    """What was used is charged; after that nothing happens any more."""
    one = visit(600.0)
    assert one.tick(650.0) == [End(Session(7, "jane", "desk-1", 1000.0, 1600.0, TIME), "your time is up")]
    assert one.tick(680.0) == one.end(LEFT, "", 690.0) == []


def test_a_node_that_vanishes_ends_it_at_its_last_heartbeat() -> None:
    """Not when that was noticed."""
    one = visit(None)
    one.beat(150.0)
    (end,) = one.end(VANISHED, "", 400.0)
    assert isinstance(end, End)
    assert end.session.seconds == 100.0


def test_who_is_kicked_is_charged_until_then() -> None:
    """Heartbeat or not."""
    (end,) = visit(None).end(KICKED, "go home", 110.0)
    assert end == End(Session(7, "jane", "desk-1", 1000.0, 1060.0, KICKED), "go home")


def test_more_time_is_granted_meanwhile() -> None:
    """Then it is warned anew."""
    one = visit(60.0)
    assert Warn(7, "desk-1", 1) in one.tick(50.0)
    one.grant(1200.0, 60.0)
    assert one.left(60.0) == 1200.0
    assert Warn(7, "desk-1", 10) in one.tick(660.0)
    one.grant(None, 700.0)
    assert one.due(700.0) is None


def test_after_a_restart_it_goes_on() -> None:
    """With what the book has, or with what its node says where that is more."""
    one = Visit.again(Session(7, "jane", "desk-1", 1000.0, 1090.0), 5.0)
    one.claimed(80.0, 10.0)
    assert one.used(10.0) == 90.0
    one.claimed(200.0, 20.0)
    assert one.used(25.0) == 205.0
