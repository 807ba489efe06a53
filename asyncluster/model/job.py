"""What all tasks of a job have in common."""

from __future__ import annotations

from typing import Any

import attrs


def _between(least: int, most: int) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{attribute.name} must be a number from {least} to {most}")

    return check


def _text(longest: int) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise ValueError(f"{attribute.name} must be a printable text of at most {longest} characters")

    return check


def _together(longest: int) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: tuple[str, ...]) -> None:
        if sum(map(len, value)) > longest:
            raise ValueError(f"{attribute.name} must be at most {longest} characters in all")

    return check


def _seconds(_instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1e6:
        raise ValueError(f"{attribute.name} must be a number of seconds from 0 to 1000000")


@attrs.frozen
class JobSpec:
    """Options of a job as the master keeps them; refuses with ValueError what cannot be so.

    niceness: 0..19; crash_limit: a task is failed when this many attempts of it were lost; priority: the
    higher goes first; path: folders put on the workers' sys.path; folder: where tasks are run, if it
    exists there; python: "3.11", the only version whose nodes can run it, or ""; durable: it survives a
    killed master; reconnect: seconds for which it waits for its client when that one's link breaks; detached: it
    needs no client, and its results stay until the job is forgotten.
    """

    job: int
    owner: str
    name: str = attrs.field(default="", validator=_text(200))
    niceness: int = attrs.field(default=0, validator=_between(0, 19))
    priority: int = attrs.field(default=0, validator=_between(-1_000_000, 1_000_000))
    crash_limit: int = attrs.field(default=3, validator=_between(1, 1000))
    path: tuple[str, ...] = attrs.field(
        default=(),
        validator=[attrs.validators.max_len(100), attrs.validators.deep_iterable(_text(4096)), _together(32_768)],
    )
    python: str = attrs.field(default="", validator=_text(20))
    folder: str = attrs.field(default="", validator=_text(4096))
    durable: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    reconnect: float = attrs.field(default=0.0, converter=float, validator=_seconds)
    detached: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool))


@attrs.frozen
class JobView:
    """One line of a list of jobs.

    running: tasks that nodes work at; those that a node has been sent ahead count as queued.
    """

    job: int
    owner: str
    name: str
    queued: int
    running: int
    done: int
    failed: int
    waiting: int = 0  # for other tasks
    paused: bool = False
    detached: bool = False
    opened: float = 0.0  # seconds since the epoch; 0: not known
    cancelled: int = 0
