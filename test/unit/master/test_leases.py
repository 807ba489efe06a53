"""Nodes that were launched and that the engine does not renew."""

from __future__ import annotations

from twisted.internet.task import Clock

from asyncluster.master.leases import Leases


def test_who_is_not_renewed_for_a_lease_is_dismissed() -> None:
    """Not before; not who is renewed meanwhile, nor who has left; and again where it did not help."""
    clock = Clock()
    here = [("night-1", "night"), ("night-2", "night"), ("old-1", "old")]
    renewed = {"night-1"}
    gone: list[tuple[str, str]] = []
    leases = Leases(clock, lambda: here, renewed.__contains__, lambda name, why: gone.append((name, why)), 600.0)
    leases.startService()
    clock.pump([60.0] * 9)
    renewed.add("night-2")
    clock.pump([60.0])
    renewed.remove("night-2")
    assert gone == []
    clock.pump([60.0])
    assert [name for name, _ in gone] == ["old-1"]
    assert "pool old does not look after it" in gone[0][1]
    here.remove(("old-1", "old"))
    clock.pump([60.0] * 8)
    assert len(gone) == 1
    clock.pump([60.0] * 2)
    assert [name for name, _ in gone] == ["old-1", "night-2"]
    leases.stopService()
    clock.pump([60.0] * 20)
    assert len(gone) == 2


def test_a_dismissal_that_fails_ends_nothing() -> None:
    """The others are looked at all the same."""
    clock = Clock()
    tried: list[str] = []

    def dismiss(name: str, why: str) -> None:
        tried.append(name)
        raise RuntimeError(why)

    leases = Leases(clock, lambda: [("a-1", "a"), ("a-2", "a")], lambda name: False, dismiss, 10.0)
    leases.startService()
    clock.pump([1.0] * 12)
    assert tried[:2] == ["a-1", "a-2"]
    assert len(tried) > 2
