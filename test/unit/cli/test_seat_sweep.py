"""What a session leaves is asked to end, and then made to, within the grace that was given."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest

from asyncluster.cli import seat_sweep


class Machine:
    """With one process below us, and a clock that sleeping sets.  mercy: seconds until the kernel has killed it."""

    def __init__(self, mercy: float) -> None:
        self.now, self.mercy = 0.0, mercy
        self.sent: list[tuple[float, signal.Signals]] = []
        self.dies = float("inf")

    def living(self, _: int) -> list[int]:
        return [7] if self.now < self.dies else []

    def signal_one(self, _: int, number: signal.Signals) -> None:
        self.sent.append((self.now, number))
        if number == signal.SIGKILL:
            self.dies = min(self.dies, self.now + self.mercy)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def end_all(monkeypatch: pytest.MonkeyPatch, mercy: float, grace: float) -> Machine:
    machine = Machine(mercy)
    monkeypatch.setattr(seat_sweep, "living", machine.living)
    monkeypatch.setattr(seat_sweep, "signal_one", machine.signal_one)
    monkeypatch.setattr(seat_sweep, "time", SimpleNamespace(sleep=machine.sleep, monotonic=lambda: machine.now))
    seat_sweep.end_all(lambda: None, grace)
    return machine


@pytest.mark.parametrize("grace", [0.0, 1.0, 30.0])
def test_what_the_kernel_does_not_let_go_of_has_one_more_grace(monkeypatch: pytest.MonkeyPatch, grace: float) -> None:
    """It is asked, then killed when the grace is over, and given up after another; without any it is killed at once."""
    machine = end_all(monkeypatch, float("inf"), grace)
    assert [number for _, number in machine.sent[:3]] == [signal.SIGHUP, signal.SIGTERM, signal.SIGCONT]
    killed = [at for at, number in machine.sent if number == signal.SIGKILL]
    assert killed[0] == pytest.approx(grace, abs=0.1)
    assert machine.now == pytest.approx(2 * grace, abs=0.1)


def test_it_is_over_when_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for that is not there."""
    assert end_all(monkeypatch, 2.0, 10.0).now == pytest.approx(12.0, abs=0.1)
