"""The functions that are sent to workers: the same three for every system, importable wherever the workers run."""

from __future__ import annotations

import time


def same(number: int) -> int:
    """Do nothing, and give the argument back so that every result can be checked."""
    return number


def same_all(numbers: range) -> list[int]:
    """The same for a chunk: what a user does by hand where `map` does not."""
    return list(map(same, numbers))


def nap(seconds: float) -> float:
    """Stand for work that takes `seconds` without taking a core from the others."""
    time.sleep(seconds)
    return seconds
