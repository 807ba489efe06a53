"""What a node knows of how it came to be: its name, its pool, and until when its batch system lets it live.

A job script or a starter of instances says so in the environment (`asyncluster.inherited`); a batch system that tells
its own end time is believed where that is earlier.  Pure: the environment and the time come in.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import attrs

from asyncluster.inherited import NODE_BEGAN, NODE_BIRTHPLACE, NODE_LIFETIME, NODE_NAME, NODE_POOL, NODE_STAGGER

SLURM_END = "SLURM_JOB_END_TIME"
"""Seconds since the epoch; newer Slurms say so."""

LAST_WORDS = 15.0
"""Seconds kept for what comes after the drain: the last results, and ending the workers."""

MOST_KEPT = 0.25
"""Of the lifetime: what is kept for the end of a very short one."""

LEAST = 1.0
"""Seconds that are left at least, so that a node that came too late says so and goes."""


@attrs.frozen
class Birth:
    """place: "daemon" for one that somebody started; lifetime: seconds from now until it goes, 0 = it stays."""

    name: str = ""
    pool: str = ""
    place: str = "daemon"
    lifetime: float = 0.0


def take_birth(environ: MutableMapping[str, str], now: float, drain_limit: float, chance: float) -> Birth:
    """The birth, and the environment without it: tasks and their nodes are not born so.

    now: seconds since the epoch; drain_limit: seconds that running tasks have when the node goes; chance: in [0, 1),
    which staggers those that were born together.
    """
    name, pool, place, lifetime, began, stagger = (
        environ.pop(variable, "")
        for variable in (NODE_NAME, NODE_POOL, NODE_BIRTHPLACE, NODE_LIFETIME, NODE_BEGAN, NODE_STAGGER)
    )
    total = _number(lifetime)
    ends = []
    if total:
        ends.append((_number(began) or now) + total)
    if place == "pilot" and _number(environ.get(SLURM_END, "")):
        ends.append(_number(environ[SLURM_END]))
    if not ends:
        return Birth(name, pool, place or "daemon")
    left = min(ends) - now
    kept = min(drain_limit + LAST_WORDS, left * MOST_KEPT)
    early = min(_number(stagger), 0.5) * chance * (total or left)
    return Birth(name, pool, place or "daemon", max(LEAST, left - kept - early))


def _number(text: str) -> float:
    """A positive number; 0 for anything else."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value < 1e11 else 0.0
