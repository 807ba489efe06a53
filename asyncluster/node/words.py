"""The words that a worker and its daemon share in memory, each eight bytes; `crew` says why that is safe."""

from __future__ import annotations

STARTED = 0  # worker: index of the task it began last
SKIP = 1  # daemon: start no task with an index up to this
STEPPING = 2  # worker: the step it is applying, as (job << 32) + step + 1; 0: none
FINISHED = 3  # worker: index of the task that ended last
HEARD = 4  # daemon: how many frames of the worker it has dealt with, and all output before them
SIZE = 4096  # bytes of the memory


def mark_step(job: int, step: int) -> int:
    """Put a step into one word."""
    return (job << 32 & 0xFFFFFFFF00000000) + step + 1


def step_of(word: int) -> tuple[int, int] | None:
    """Take a step out of a word."""
    return (word >> 32, (word & 0xFFFFFFFF) - 1) if word else None
