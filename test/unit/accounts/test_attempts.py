"""How often somebody may try a password."""

from __future__ import annotations

from asyncluster.accounts import attempts
from asyncluster.accounts.attempts import Attempts


def test_five_wrong_ones_then_a_pause() -> None:
    """For that user from everywhere; others go on; the pause is told, and ends."""
    tries = Attempts()
    assert [tries.begin("jane", f"desk-{i}", float(i)) for i in range(5)] == [0.0] * 5
    assert tries.begin("jane", "desk-9", 10.0) == 290.0
    assert tries.begin("bob", "desk-9", 10.0) == 0.0
    assert tries.begin("jane", "desk-9", 300.0) == 0.0


def test_a_node_is_limited_too() -> None:
    """Whatever names are tried there, existing or not."""
    tries = Attempts()
    assert not any(tries.begin(f"user{i}", "desk-1", 0.0) for i in range(20))
    assert tries.begin("jane", "desk-1", 1.0) == 299.0
    assert tries.begin("jane", "desk-2", 1.0) == 0.0


def test_a_right_one_counts_for_nothing() -> None:
    """A seat at which two hundred people log in one after another stays open."""
    tries = Attempts()
    for i in range(200):
        assert tries.begin(f"user{i % 3}", "desk-1", float(i)) == 0.0
        tries.right(f"user{i % 3}", "desk-1")


def test_names_without_end_fill_no_memory(monkeypatch: object) -> None:
    """Those that were heard of longest ago are forgotten."""
    tries = Attempts()
    for i in range(attempts.MOST_KEPT + 100):
        tries.begin(f"user{i}", f"node{i}", float(i))
    assert len(tries._tried) == attempts.MOST_KEPT


def test_an_attempt_that_nobody_could_look_at_counts_for_nothing() -> None:
    """Neither for the user nor for the place; what was wrong before stays."""
    tries = Attempts(per_user=2, per_place=3)
    assert tries.begin("jane", "desk-1", 0.0) == 0.0
    for _ in range(5):
        assert tries.begin("jane", "desk-1", 1.0) == 0.0
        tries.take_back("jane", "desk-1")
    assert tries.begin("jane", "desk-1", 2.0) == 0.0
    assert tries.begin("jane", "desk-2", 3.0) == 297.0
    assert tries.begin("bob", "desk-1", 3.0) == 0.0
    assert tries.begin("ann", "desk-1", 3.0) == 297.0


def test_strangers_elsewhere_shut_nobody_out() -> None:
    """Where each place counts for itself; a place where all were right is not remembered."""
    tries = Attempts(everywhere=False)
    for i in range(20):
        tries.begin("nodes", "10.0.0.9", float(i))
    assert tries.begin("nodes", "10.0.0.9", 20.0) > 0
    for i in range(1000):
        assert tries.begin("nodes", f"10.0.1.{i}", 20.0) == 0.0
        tries.right("nodes", f"10.0.1.{i}")
    assert len(tries._tried) == 2
