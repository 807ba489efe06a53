"""SWAMP's rule: retry every so often, then give up."""

from __future__ import annotations

from asyncluster.wire.retry import FIRST_DELAY, Retry


def delays(retry: Retry, seconds: float) -> list[float]:
    """All delays until it gives up or `seconds` have passed, without jitter."""
    now, seen = 0.0, []
    while now < seconds:
        delay = retry.failed(now, 0.5)
        if delay is None:
            break
        seen.append(delay)
        now += delay
    return seen


def test_delays_grow_to_the_limit() -> None:
    """Half a second for three, in which most masters are back; then they double and stay at `every`."""
    assert delays(Retry(every=10, give_up_after=0), 60)[:11] == [0.5] * 6 + [1, 2, 4, 8, 10]
    assert delays(Retry(every=5, give_up_after=0, first=2), 20)[:4] == [2, 2, 4, 5]


def test_it_gives_up_at_its_time() -> None:
    """The attempts fill the time allowed, and not more."""
    assert abs(sum(delays(Retry(every=10, give_up_after=25), 1000)) - 25) < 0.2


def test_zero_never_gives_up() -> None:
    """0 means for ever."""
    assert sum(delays(Retry(every=10, give_up_after=0), 10_000)) >= 10_000


def test_a_registration_begins_anew() -> None:
    """After a master took the node, the time to give up counts from the next failure."""
    retry = Retry(every=10, give_up_after=5)
    assert retry.failed(0, 0.5) == FIRST_DELAY
    retry.registered()
    assert retry.failed(100, 0.5) == FIRST_DELAY


def test_jitter_is_a_quarter() -> None:
    """Delays spread by a quarter both ways."""
    assert Retry(10, 0).failed(0, 0.0) == 0.375
    assert abs((Retry(10, 0).failed(0, 0.999) or 0) - 0.625) < 0.001


def test_a_lease_holds_once_a_master_has_taken_the_node() -> None:
    """Before that the other limit does; no lease: that one always does."""
    retry = Retry(every=10, give_up_after=5, lease=20)
    assert abs(sum(delays(retry, 1000)) - 5) < 0.2
    retry.registered()
    assert retry.limit == 20
    assert abs(sum(delays(retry, 1000)) - 20) < 0.2
    retry = Retry(every=10, give_up_after=5)
    retry.registered()
    assert retry.limit == 5
