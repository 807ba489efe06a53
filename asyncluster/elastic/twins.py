"""Two instances that a cloud made for one order: which of them the node runs on, and which has to go.

Both boot with one name and one secret, and the node may run on the one that the book does not hold.  It runs where it
registered from, as the scheduler tells it.  Where that is not told, neither is ended before the node was held and is
empty, and then both go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from asyncluster.elastic.machine import retire
from asyncluster.elastic.records import STAYING, Life, NodeRecord, Why
from asyncluster.model.batch import Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Instance, InstanceState, Listing

_DEAD = frozenset({InstanceState.ERROR, InstanceState.DELETING, InstanceState.GONE})
_LEFT = frozenset({Life.REMOVED, Life.DESTROYING, Life.GONE})
"""What the scheduler knows nothing of any more."""


def other(record: NodeRecord, nodes: Mapping[str, NodeRecord]) -> NodeRecord | None:
    """The record that holds the order for which a stray was made; None: there is none, and it is a stray like any."""
    known = nodes.get(record.name.partition("~")[0]) if "~" in record.name else None
    if known is None or not record.token or known.life is Life.STRAY:
        return None
    return known if (known.token, known.pool) == (record.token, record.pool) else None


def settled(
    nodes: Mapping[str, NodeRecord], listing: Callable[[str], Listing | None], demand: Demand, now: float
) -> dict[str, NodeRecord | None]:
    """The records that change, as they become; None = dropped.  demand: what the scheduler says now."""
    changed: dict[str, NodeRecord | None] = {}
    for stray in [record for record in nodes.values() if record.life is Life.STRAY and "~" in record.name]:
        known, found = other(stray, nodes), listing(stray.pool)
        if known is not None and found is not None:
            changed |= _settle(known, stray, {each.id: each for each in found.instances}, demand, now)
    return changed


def _settle(
    known: NodeRecord, stray: NodeRecord, listed: Mapping[str, Instance], demand: Demand, now: float
) -> dict[str, NodeRecord | None]:
    if known.instance == stray.instance:
        return {stray.name: None}  # it was taken already
    second = listed.get(stray.instance)
    if second is None or second.state is InstanceState.GONE:
        return {}  # as with any stray
    cause = f"the cloud made it beside {known.instance} for the one order of {known.name}"
    end: dict[str, NodeRecord | None] = {stray.name: retire(stray, Why.FAULT, cause, now)}
    if known.life in _LEFT or second.state is InstanceState.DELETING:  # one in an error may run all the same
        return end
    first, at = listed.get(known.instance), demand.addresses.get(known.name, "")
    beside = first.address if first is not None else known.address
    if at and at == second.address != beside:
        return _take(known, stray, second)
    if at and at == beside != second.address:
        return end
    if (first is None or first.state in _DEAD) and known.life in STAYING:
        return _take(known, stray, second)
    return _give_up(known, stray, demand, now)


def _take(known: NodeRecord, stray: NodeRecord, second: Instance) -> dict[str, NodeRecord | None]:
    """The book holds the second one from now on; the first is found as the next stray."""
    if known.doing or known.life is Life.EMPTY:
        return {}
    after = attrs.evolve(known, instance=second.id, address=second.address or known.address, missed=0, missed_seen=0.0)
    return {known.name: after, stray.name: None}


def _give_up(known: NodeRecord, stray: NodeRecord, demand: Demand, now: float) -> dict[str, NodeRecord | None]:
    """Nobody can tell where it runs: it is held; until it has come nowhere, it may still say from where it comes."""
    node = next((each for each in demand.nodes if each.name == known.name), None)
    if node is None or node.state is NodeState.ERROR or known.doing or known.life not in STAYING:
        return {}
    cause = (
        f"the cloud made {known.instance} and {stray.instance} for its order, and nobody can tell on which it runs: "
        "both go when it is empty"
    )
    return {known.name: retire(known, Why.FAULT, cause, now, known=True)}
