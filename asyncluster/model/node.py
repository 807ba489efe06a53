"""What a node says of itself, and what the master knows about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import attrs

from asyncluster.model.need import MOST_FEATURES, is_feature
from asyncluster.model.word import Word


class NodeState(Word):
    """Shown everywhere: command line, REST, dashboard."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    HOLDING = "holding"
    HELD = "held"
    ERROR = "error"
    DELETING = "deleting"


WELL = frozenset({NodeState.IDLE, NodeState.BUSY})
"""Of a node that is there and may have work."""


def _word(longest: int) -> Any:
    """A printable name without blanks, as it is shown in logs and tables."""

    def check(_instance: object, attribute: attrs.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or not value.isprintable() or " " in value or len(value) > longest:
            raise ValueError(f"{attribute.name} must be a printable word of at most {longest} characters")

    return check


def _count(least: int) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
        if not isinstance(value, int) or value < least or value >= 2**62:
            raise ValueError(f"{attribute.name} must be a number, {least} or more")

    return check


def _seconds(_instance: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not isinstance(value, float | int) or not 0 <= value < 1e12:
        raise ValueError(f"{attribute.name} must be seconds, 0 or more")


def _words(value: Iterable[str]) -> tuple[str, ...]:  # mypy cannot see through `tuple` itself
    return tuple(value)


def _features(_instance: object, attribute: attrs.Attribute[Any], value: tuple[object, ...]) -> None:
    if len(value) > MOST_FEATURES or not all(isinstance(word, str) and is_feature(word) for word in value):
        raise ValueError(f"{attribute.name} must be at most {MOST_FEATURES} printable words")


@attrs.frozen
class NodeFacts:
    """Sent by the node when it registers; refuses with ValueError what cannot be so.

    slots: tasks at a time; cores: logical CPUs; memory: bytes; python: "3.11"; serves: name of the only
    owner whose tasks it runs, or "*"; birthplace: "daemon", "pilot" (of a batch system) or "instance" (of a cloud);
    session: made anew by each daemon, so that it is known again when it connects a second time; gpus: devices for
    tasks; features: words that tasks may ask for; pool: that it was launched for, "" = none; left: seconds until
    it ends itself, 0 = it stays.
    """

    name: str = attrs.field(validator=[_word(100), attrs.validators.min_len(1)])
    host: str = attrs.field(validator=_word(255))
    slots: int = attrs.field(validator=_count(1))
    cores: int = attrs.field(validator=_count(1))
    memory: int = attrs.field(validator=_count(0))
    python: str = attrs.field(validator=_word(20))
    serves: str = attrs.field(default="*", validator=_word(100))
    birthplace: str = attrs.field(default="daemon", validator=_word(40))
    pid: int = attrs.field(default=0, validator=_count(0))
    software: str = attrs.field(default="", validator=_word(100))
    session: str = attrs.field(default="", validator=_word(100))
    gpus: int = attrs.field(default=0, validator=_count(0))
    features: tuple[str, ...] = attrs.field(default=(), converter=_words, validator=_features)
    pool: str = attrs.field(default="", validator=_word(100))
    left: float = attrs.field(default=0.0, validator=_seconds)


def of_person(facts: NodeFacts, person: str) -> NodeFacts:
    """The facts of a node that has proven a person's password: whatever it says, it is that person's and of no pool.

    Raises ValueError for a name that may be another's node's.
    """
    mark = mark_of(person)
    if not facts.name.startswith(mark):
        raise ValueError(
            f"it has the account of {person}: give it a `name` that begins with {mark} in its [client] section, "
            f"such as {mark}{facts.host.partition('.')[0]}"
        )
    return attrs.evolve(facts, serves=person, pool="")


def mark_of(person: str) -> str:
    """What names of that person's nodes begin with, and no machine's, no other person's: `jane_`.

    Letters of ASCII, digits, dots and single dashes stand for themselves, for all else there is --XX a byte, so no two
    persons have the same; and since there is one _, at its end, none begins as another does.
    """
    return re.sub(r"-(?![A-Za-z0-9.]|\Z)|[^A-Za-z0-9.-]", _escaped, person) + "_"


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"--{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


@attrs.frozen
class NodeView:
    """One line of `asyncluster nodes`."""

    name: str
    state: NodeState
    host: str
    slots: int
    running: int
    done: int
    lost: int
    python: str
    serves: str
    address: str = ""
    since: float = 0.0  # when it joined, seconds since the epoch
    cores: int = 0
    memory: int = 0  # bytes
    gpus: int = 0
    features: tuple[str, ...] = ()
    user: str = ""  # who has a session there
    in_use: str = ""  # what becomes of tasks meanwhile: "pause", "return", "nice" or "go on"; "" while nobody has one
    away: bool = False  # its link is broken, and it may come back; its state is an error meanwhile
