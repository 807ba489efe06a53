"""The book's records: what is known of each node that we ordered and of each pool, and what people have set.

Times are seconds of the steady clock, as everywhere in the engine.  That clock means nothing after a restart, so
records are stored with the time of day instead: `to_plain` and `from_plain` take what to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from asyncluster.model.word import Word


def _words(value: Iterable[str]) -> tuple[str, ...]:  # mypy cannot see through `tuple` itself
    return tuple(value)


class Life(Word):
    """Of a node that we ordered; drawn in docs/elastic.md.  Each state says what is done already."""

    INTENDED = "intended"  # written down; the cloud may have been asked, or not
    LAUNCHING = "launching"  # the cloud took the order
    ACTIVE = "active"  # the cloud says that it runs
    PROVISIONED = "provisioned"  # post_vm_provision is over
    ADDED = "added"  # known to the scheduler, held
    READY = "ready"  # passed its configuration check
    RESERVED = "reserved"
    ENABLED = "enabled"  # the scheduler may use it
    UP = "up"  # post_add_node is over: idle or busy, the scheduler knows
    HELD = "held"  # by a person
    RETIRING = "retiring"  # to be held
    HOLDING = "holding"  # held, until it is empty
    EMPTY = "empty"  # or dead: nothing runs there
    REMOVED = "removed"  # unknown to the scheduler
    DESTROYING = "destroying"  # post_remove_node is over; the cloud is asked until it says gone
    GONE = "gone"
    STRAY = "stray"  # bears our tag and no record knew it


STARTING = frozenset(
    {Life.INTENDED, Life.LAUNCHING, Life.ACTIVE, Life.PROVISIONED, Life.ADDED, Life.READY, Life.RESERVED, Life.ENABLED}
)
WITHHELD = (STARTING - {Life.ENABLED}) | {Life.HELD, Life.RETIRING, Life.HOLDING}
"""What its scheduler is to give no work, should it hear of it anew: each is let go by a step of its own, or leaves."""

STAYING = STARTING | {Life.UP, Life.HELD}
"""What counts for a pool's least; all records count for its most."""


class Why(Word):
    """What a node is being retired for."""

    NOTHING = ""
    SURPLUS = "surplus"
    DRAIN = "drain"
    PERSON = "person"
    FAULT = "fault"


class Steer(Word):
    """What a person wants of a node."""

    NOTHING = ""
    HOLD = "hold"
    VACATE = "vacate"
    DELETE = "delete"  # when it is empty
    KILL = "kill"  # vacated first


class PoolMode(Word):
    """What a person wants of a pool."""

    OPEN = "open"
    FROZEN = "frozen"  # nothing is launched, nothing is released
    DRAINING = "draining"  # nothing is launched, everything is released


@attrs.frozen
class NodeRecord:
    """One node that we ordered.

    life, since: its state and since when; ordered: when it was; cause: of its last change, a sentence; why: it is being
    retired; instance: the cloud's id, "" = not known as yet; started: when the cloud began it, None = it has not;
    idle_since: nothing has run there, or while it starts nobody has needed it, since then; down_since: the scheduler
    has not heard it since then; missed…: listings in a row without it, the first and the last of them; attempts: of the
    present step; retry_at: not before; fault: of the last step that failed, stays until one succeeds;
    steer, steered: what a person wants, in whose words; doing: the step that runs now (never stored); verifier: of the
    secret with which the node may register, enlisted: it is the node's own, which it has kept, not what it was given;
    place: where its pool was when it was ordered, "" = not known.
    """

    name: str
    pool: str
    token: str
    life: Life
    since: float
    ordered: float
    cause: str = ""
    why: Why = Why.NOTHING
    instance: str = ""
    address: str = ""
    started: float | None = None
    idle_since: float | None = None
    down_since: float | None = None
    missed: int = 0
    missed_since: float = 0.0
    missed_seen: float = 0.0
    attempts: int = 0
    retry_at: float = 0.0
    fault: str = ""
    steer: Steer = Steer.NOTHING
    steered: str = ""
    doing: str = ""
    verifier: str = attrs.field(default="", repr=False)
    enlisted: bool = False
    place: str = ""

    def become(self, life: Life, now: float, cause: str, **others: Any) -> NodeRecord:
        """The next state, with nothing tried in it as yet."""
        fresh = {"attempts": 0, "retry_at": 0.0, "idle_since": None, "missed": 0, **others}
        return attrs.evolve(self, life=life, since=now, cause=cause, **fresh)


def called_back(record: NodeRecord) -> bool:
    """Whether a node that is held was to go, and is not to any more."""
    return record.life is Life.HOLDING and record.why is Why.NOTHING


@attrs.frozen
class PoolRecord:
    """What is remembered of one pool.

    failures: launches that failed in a row; short: answers in a row that there is no capacity; retry_at: nothing
    is launched before; fault: the last failure; stopped: the limit that the cloud named, until the pool is restored or
    its configuration changes; tokens, tokens_at: what is left of its spawn rate; serial: of the last name given;
    asked, asked_by: nodes requested from outside and not yet launched; print: of its configuration; changed: when that
    last did: nodes ordered before teach nothing; cores, memory, gpus: what its nodes turned out to have, where it is
    less than promised or nothing is; 0 = that has not been seen; lacks: words that they are promised to bear, that jobs
    ask for, and that none of them bears.
    """

    name: str
    mode: PoolMode = PoolMode.OPEN
    mode_cause: str = ""
    failures: int = 0
    short: int = 0
    retry_at: float = 0.0
    fault: str = ""
    stopped: str = ""
    tokens: float = -1.0  # below 0 = all of them
    tokens_at: float = 0.0
    serial: int = 0
    asked: int = 0
    asked_by: str = ""
    print: str = ""
    cores: int = 0
    memory: int = 0
    gpus: int = -1  # below 0 = none has been seen
    lacks: tuple[str, ...] = attrs.field(default=(), converter=_words)
    changed: float = 0.0


@attrs.frozen
class Modes:
    """Of the engine as a whole.  sleep: no launches, still retires; passive: nodes only on request."""

    auto: bool = True
    sleep: bool = False
    passive: bool = False


Record = NodeRecord | PoolRecord | Modes
_R = TypeVar("_R", NodeRecord, PoolRecord, Modes)

_OF_NODES = {"since", "ordered", "started", "idle_since", "down_since", "missed_since", "missed_seen", "retry_at"}
_TIMES = frozenset({*_OF_NODES, "tokens_at", "changed"})
_NEVER_STORED = frozenset({"doing"})
_WORDS: dict[str, type[Word]] = {"life": Life, "why": Why, "steer": Steer, "mode": PoolMode}


def to_plain(record: Record, shift: float) -> dict[str, Any]:
    """Basic types only, without what has its default.  shift: time of day minus steady clock, in seconds."""
    plain: dict[str, Any] = {}
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        if field.name in _NEVER_STORED or value == field.default:
            continue
        if isinstance(value, Word):
            value = value.value
        elif field.name in _TIMES and value:
            value += shift
        plain[field.name] = value
    return plain


def from_plain(kind: type[_R], plain: Mapping[str, Any], shift: float, now: float) -> _R:
    """The record again; words of a newer release are left out.  ValueError, TypeError: it was never one.

    What seems to be in the future, because somebody set the clock, was just now; what waits, waits no longer for it.
    """
    known = {field.name for field in attrs.fields(kind)} - _NEVER_STORED
    values: dict[str, Any] = {}
    for name, value in plain.items():
        if name in _WORDS:
            values[name] = _WORDS[name](value)
        elif name in _TIMES and value:
            values[name] = min(value - shift, now if name != "retry_at" else now + 86400.0)
        elif name in known:
            values[name] = value
    return kind(**values)
