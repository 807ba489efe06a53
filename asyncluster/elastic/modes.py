"""What people set: of the whole, of a pool, of a node; each turns one record into another, and the plan obeys."""

from __future__ import annotations

import attrs

from asyncluster.elastic import limits
from asyncluster.elastic.records import Life, NodeRecord, PoolMode, PoolRecord, Steer
from asyncluster.errors import RefusedError

_GOING = frozenset({Life.RETIRING, Life.HOLDING, Life.EMPTY, Life.REMOVED, Life.DESTROYING, Life.GONE})


def freeze(record: PoolRecord, by: str) -> PoolRecord:
    """The pool neither launches nor releases; what happens to its nodes otherwise goes on."""
    return attrs.evolve(record, mode=PoolMode.FROZEN, mode_cause=f"by {by}")


def drain(record: PoolRecord, by: str) -> PoolRecord:
    """All its nodes are held and go when they are empty; none is launched, requests are forgotten."""
    return attrs.evolve(record, mode=PoolMode.DRAINING, mode_cause=f"by {by}", asked=0, asked_by="")


def restore(record: PoolRecord) -> PoolRecord:
    """As if it had never failed nor been frozen, drained or stopped; nodes that are held to go come back."""
    return limits.restored(record)


def steer(record: NodeRecord, wish: Steer, by: str) -> NodeRecord:
    """What a person wants of a node: hold, vacate, delete, kill, or (NOTHING) let it work again.

    RefusedError where it is too late.
    """
    if record.steer in {Steer.DELETE, Steer.KILL} and wish not in {Steer.DELETE, Steer.KILL}:
        raise RefusedError(f"{record.name} was deleted by {record.steered}: it goes as soon as it is empty")
    if record.life in _GOING and wish not in {Steer.DELETE, Steer.KILL}:
        raise RefusedError(f"{record.name} is on its way out: {record.cause}")
    life = record.life
    if wish is Steer.NOTHING and record.steer is not Steer.NOTHING and life is Life.UP:
        life = Life.HELD  # the scheduler may have been told, so it has to be told again
    by = by if wish is not Steer.NOTHING else ""
    return attrs.evolve(record, steer=wish, steered=by, life=life, retry_at=0.0)
