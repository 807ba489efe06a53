"""Choosing systems and figures, and reading /proc."""

from __future__ import annotations

import pytest

from bench.plan import FIGURES, SYSTEMS, System, chosen, quick
from bench.processes import Stat, below, parse_stat


def test_choice_keeps_our_order() -> None:
    """The order of turns is ours, whatever the order on the command line."""
    assert chosen("bulk, start", FIGURES) == ("start", "bulk")
    assert chosen(None, FIGURES) == FIGURES


@pytest.mark.parametrize("text", ["bluk", "bulk,latncy", "", ","])
def test_unknown_choice_names_what_there_is(text: str) -> None:
    """A misspelt name is an error, not a run without it."""
    with pytest.raises(ValueError, match="is not among start, latency"):
        chosen(text, FIGURES)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_chunks_come_out_even(system: System) -> None:
    """Chunks made by hand are of 1,000 calls, in quick runs too."""
    load = system.load
    assert load.chunked % 1_000 == 0
    assert quick(load).chunked % 1_000 == 0
    assert quick(load).mapped >= 10


def test_stat_of_a_command_with_brackets() -> None:
    """A process may call itself what it likes."""
    fields = "S 12 1 1 0 -1 0 0 0 0 0 200 50 30 20 20 0 1 0 99 0 0"
    found = parse_stat(f"34 (a) b (c)) {fields}")
    assert (found.pid, found.parent, found.state) == (34, 12, "S")
    assert found.seconds / found.reaped == 5


def test_descendants_without_the_root() -> None:
    """Grandchildren count, the root and strangers do not."""
    family = [Stat(pid, parent, "S", 0, 0) for pid, parent in ((1, 0), (5, 1), (6, 5), (7, 6), (8, 1))]
    assert sorted(process.pid for process in below(5, family)) == [6, 7]
