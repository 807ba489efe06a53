"""The targets of the issue as data, and how a run is held against them. Pure.

A ratio is taken within one round (ours and the rival's turn follow each other), then the rounds' ratios are
summed up by their median; figures of different runs are never compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.stats import Spread, spread

Round = Mapping[str, Mapping[str, Mapping[str, float]]]  # system -> figure -> name -> value

RAY = ("ray", "ray-actors")
SLOW = ("dask", "ipyparallel", "parsl")
SLOW_TUNED = (*SLOW, "parsl-tuned")


@dataclass(frozen=True)
class Target:
    """One line of the issue's table; `least` says whether the bound is a lower or an upper one."""

    figure: str
    value: str
    bound: float
    least: bool
    rivals: tuple[str, ...] = ()  # none: the bound is absolute
    unit: str = ""


TARGETS = (
    Target("bulk", "tasks_s", 4.0, least=True, rivals=("ppe",)),
    Target("bulk", "tasks_s", 10.0, least=True, rivals=RAY),
    Target("bulk", "tasks_s", 20.0, least=True, rivals=SLOW_TUNED),
    Target("map", "calls_s", 0.7, least=True, rivals=("ppe",)),
    *(
        target
        for value in ("p50_ms", "p99_ms")
        for target in (
            Target("latency", value, 0.25, least=False, rivals=SLOW),
            Target("latency", value, 1.0, least=False, rivals=RAY),
            Target("latency", value, 3.0, least=False, rivals=("ppe",)),
        )
    ),
    Target("bulk", "master_cpu_us", 10.0, least=False, unit="µs"),
    Target("start", "worker_start_ms", 10.0, least=False, unit="ms"),
    Target("start", "seconds", 3.0, least=False, unit="s"),
    Target("balance", "share", 0.98, least=True, rivals=("ppe",)),
    Target("payloads", "mb_s", 1.0, least=True, rivals=("dask",)),
    Target("memory", "growth_mib", 50.0, least=False, unit="MiB"),
)


@dataclass(frozen=True)
class Verdict:
    """One target against one run; `spread` is None when something needed was not measured."""

    target: Target
    subject: str
    spread: Spread | None
    absent: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """pass, miss, or why neither can be said."""
        if self.spread is None:
            return "not measured"
        met = self.spread.median >= self.target.bound if self.target.least else self.spread.median <= self.target.bound
        return "pass" if met else "MISS"


def one(measured: Round, system: str, target: Target) -> float | None:
    """A system's value in one round."""
    return measured.get(system, {}).get(target.figure, {}).get(target.value)


def against(measured: Round, subject: str, target: Target) -> float | None:
    """The number that the bound is for in one round: a value, or a ratio to the best of the rivals measured."""
    own = one(measured, subject, target)
    if own is None or not target.rivals:
        return own
    theirs = [value for rival in target.rivals if (value := one(measured, rival, target)) is not None]
    if not theirs:
        return None
    best = max(theirs) if target.least else min(theirs)
    return own / best if best > 0 else None


def judge(rounds: Sequence[Round], subject: str, target: Target) -> Verdict:
    """Hold one target against all rounds of a run."""
    numbers = [number for measured in rounds if (number := against(measured, subject, target)) is not None]
    absent = tuple(rival for rival in target.rivals if all(one(measured, rival, target) is None for measured in rounds))
    return Verdict(target, subject, spread(numbers) if numbers else None, absent)


def values(rounds: Sequence[Round], system: str, figure: str, value: str) -> list[float]:
    """What the rounds gave for one value of one system."""
    found = (measured.get(system, {}).get(figure, {}).get(value) for measured in rounds)
    return [number for number in found if number is not None]
