"""What was seen of a node changes its record: it runs, it is down, it is empty, it has vanished, it took too long.

One observation never ends a node: an instance is gone when its cloud says so, or has left it out of several listings
and, where it can be asked for one, does not find it then; a node is dead when its scheduler has not heard it for long;
and while a scheduler reports a running job on it, it lives.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncluster.elastic import limits, twins
from asyncluster.elastic.machine import NOT_READY, retire, taken
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord, PoolRecord, Steer, Why, called_back
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchNode, Demand
from asyncluster.model.node import WELL, NodeState
from asyncluster.model.supply import Instance, InstanceState, Listing

_BEFORE_UP = frozenset(
    {Life.LAUNCHING, Life.ACTIVE, Life.PROVISIONED, Life.ADDED, Life.READY, Life.RESERVED, Life.ENABLED}
)
_FARTHEST = {
    Life.LAUNCHING: "its cloud has not said that it runs",
    Life.ACTIVE: "its cloud says that it runs, and the scheduler does not have it yet",
    Life.ADDED: "the scheduler has it, and it was not found ready",
}
"""How far a node came of which nothing else is known."""

_SERVING = frozenset({Life.UP, Life.HELD, Life.RETIRING, Life.HOLDING})
_RUNS = frozenset({InstanceState.ACTIVE, InstanceState.READY})
_WRONG = frozenset({InstanceState.ERROR, InstanceState.DELETING})


def runs_something(node: BatchNode | None) -> bool:
    """Whether the scheduler hears the node and has a job on it."""
    return node is not None and node.state is not NodeState.ERROR and bool(node.jobs or node.used)


def is_idle(node: BatchNode | None) -> bool:
    """Whether it could run something and runs nothing."""
    return node is not None and node.state is NodeState.IDLE and not node.jobs and not node.used


class Eyes:
    """Looks at records in one situation; `pools` collects what the pools are to learn of it."""

    def __init__(self, situation: Situation, pools: dict[str, PoolRecord]) -> None:
        self._now = situation.now
        self._options: Options = situation.options
        self._demand: Demand | None = None if situation.silence else situation.demand
        self._nodes: Mapping[str, BatchNode] = {n.name: n for n in self._demand.nodes} if self._demand else {}
        self._since = situation.answering_since
        self._records = situation.nodes
        self._pools = pools

    def node(self, record: NodeRecord) -> BatchNode | None:
        """What the scheduler says of a node now; None also where it does not answer."""
        return self._nodes.get(record.name)

    def look(self, record: NodeRecord, listing: Listing | None, instance: Instance | None) -> NodeRecord | None:
        """The record after what was seen; None = it can be dropped.  listing: None = not known well enough."""
        if record.life is Life.STRAY:
            return self._stray(record, listing, instance)
        if listing is not None and not (record.doing and record.life is Life.INTENDED and instance is None):
            record = self._supply(record, listing, instance)
            if record.life is Life.INTENDED and not record.doing and self._absent(record, listing):
                return None  # the cloud never showed it
        if self._demand is not None and not record.doing:
            record = self._serve(record, self._demand)
            if listing is not None:
                record = self._judge(record, instance)
        return record

    # What the cloud shows

    def _supply(self, record: NodeRecord, listing: Listing, instance: Instance | None) -> NodeRecord:
        if instance is None:
            if listing.seen <= max(record.missed_seen, record.since if not record.instance else record.ordered):
                return record  # it was asked before it could show it, or this listing has been counted
            first = listing.seen if record.missed == 0 else record.missed_since
            record = attrs.evolve(record, missed=record.missed + 1, missed_since=first, missed_seen=listing.seen)
            if not self._absent(record, listing):
                return record
            return self._lost(record, "its cloud does not list it any more")
        if record.missed:
            record = attrs.evolve(record, missed=0, missed_seen=listing.seen)
        if record.life is Life.INTENDED:
            record = taken(record, instance, self._now)
        if instance.state is InstanceState.GONE:
            return self._lost(record, f"its cloud says that it is gone{_said(instance)}")
        if instance.address and instance.address != record.address:
            record = attrs.evolve(record, address=instance.address)
        if not record.instance:
            record = attrs.evolve(record, instance=instance.id)
        if instance.state in _WRONG and record.life in _BEFORE_UP and not record.doing and self._demand is not None:
            return self._spoil(record, f"its cloud says {instance.state.value}{_said(instance)}", retiring=True)
        if record.life is not Life.LAUNCHING:
            return record
        if instance.state in _RUNS:
            return record.become(Life.ACTIVE, self._now, record.cause, started=record.started or self._now)
        if instance.state is not InstanceState.PENDING and record.started is None:
            return attrs.evolve(record, started=self._now)
        return record

    def _absent(self, record: NodeRecord, listing: Listing) -> bool:
        return (
            record.missed >= self._options.misses
            and self._now - record.missed_since >= self._options.missing_time
            and (listing.gone is None or record.name in listing.gone)
        )

    def _lost(self, record: NodeRecord, cause: str) -> NodeRecord:
        """There is no such instance any more, by all that the cloud says."""
        if record.life is Life.INTENDED or record.doing:
            return record
        if record.life in {Life.DESTROYING, Life.LAUNCHING, Life.ACTIVE}:
            if record.life is not Life.DESTROYING:
                record = self._spoil(record, cause, retiring=False)
            return record.become(Life.GONE, self._now, record.cause, why=record.why or Why.FAULT)
        if runs_something(self.node(record)) or self._demand is None:
            return record  # the scheduler knows better, or cannot be asked
        if record.life in _BEFORE_UP:
            record = self._spoil(record, cause, retiring=False)
        if record.life in {Life.EMPTY, Life.REMOVED, Life.GONE}:
            return record
        return retire(record, Why.FAULT, cause, self._now, dead=True)

    # What the scheduler shows

    def _serve(self, record: NodeRecord, demand: Demand) -> NodeRecord:
        if record.life not in _SERVING and record.life is not Life.EMPTY:
            return record
        if demand.seen <= record.since:
            return record  # seen before it was what it is
        node = self._nodes.get(record.name)
        if record.life is Life.EMPTY:
            if runs_something(node) and record.why is not Why.FAULT:
                return record.become(Life.RETIRING, self._now, record.cause)  # somebody let it loose
            return record
        if node is None or node.state is NodeState.ERROR:
            return record if record.down_since is not None else attrs.evolve(record, down_since=demand.seen)
        if record.down_since is not None:
            record = attrs.evolve(record, down_since=None)
        if record.life is Life.HOLDING:
            return self._holding(record, node)
        if is_idle(node):
            return record if record.idle_since is not None else attrs.evolve(record, idle_since=demand.seen)
        return record if record.idle_since is None else attrs.evolve(record, idle_since=None)

    def _holding(self, record: NodeRecord, node: BatchNode) -> NodeRecord:
        if called_back(record):
            return record.become(Life.UP, self._now, record.cause, fault="") if node.state in WELL else record
        # One whose daemon never came stays `starting` for its scheduler, however long it is held.
        if node.state in {NodeState.HELD, NodeState.STARTING} and not node.jobs and not node.used:
            return record.become(Life.EMPTY, self._now, record.cause)
        if node.state in WELL:
            return record.become(Life.RETIRING, self._now, record.cause)  # somebody let it loose
        return record

    # What takes too long

    def _judge(self, record: NodeRecord, instance: Instance | None) -> NodeRecord:
        now, options = self._now, self._options
        if record.life in _SERVING and record.down_since is not None:
            down = now - max(record.down_since, self._since)
            if down > options.max_down_time:
                seen = "does not know it" if self._nodes.get(record.name) is None else "has not heard it"
                cause = f"the scheduler {seen} for {down:.0f} s (max_down_time is {options.max_down_time:.0f})"
                return retire(record, Why.FAULT, cause, now, dead=True)
        loose = record.life is Life.UP and record.steer is Steer.NOTHING
        if loose and instance is not None and instance.state in _WRONG:
            return retire(record, Why.FAULT, f"its cloud says {instance.state.value}{_said(instance)}", now)
        if record.life in _BEFORE_UP and record.started is not None:
            took = now - max(record.started, self._since)
            if took > options.max_launch_time:
                at = record.fault.removeprefix(NOT_READY) or _FARTHEST.get(record.life, f"it is {record.life.value}")
                cause = (
                    f"not of use {took:.0f} s after its launch (max_launch_time is {options.max_launch_time:.0f}): {at}"
                )
                return self._spoil(record, cause, retiring=True)
        return record

    def _spoil(self, record: NodeRecord, cause: str, retiring: bool) -> NodeRecord:
        """A launch that gave no node: its pool learns of it."""
        pool = self._pools.get(record.pool)
        if pool is not None:
            self._pools[record.pool] = limits.spoiled(pool, f"{record.name}: {cause}", self._options, self._now)
        record = attrs.evolve(record, cause=cause)
        if not retiring:
            return record
        return retire(record, Why.FAULT, cause, self._now, known=self.node(record) is not None)

    # What nobody ordered

    def _stray(self, record: NodeRecord, listing: Listing | None, instance: Instance | None) -> NodeRecord | None:
        if listing is None:
            return record
        if instance is None or instance.state is InstanceState.GONE:
            record = self._supply(record, listing, None)
            gone = instance is not None or self._absent(record, listing)
            return None if gone else record
        if record.missed:
            record = attrs.evolve(record, missed=0)
        node = None if "~" in record.name else self._nodes.get(record.name)
        if node is not None and node.state is not NodeState.ERROR:
            cause = "found with our tag and unknown to the book; the scheduler uses it, so it stays"
            waits = node.state is NodeState.HELD and not node.jobs  # as one does that is being set up
            return record.become(Life.ADDED if waits else Life.UP, self._now, cause, started=self._now)
        age = self._now - record.since
        if twins.other(record, self._records) is not None:
            return record
        if self._demand is not None and age > self._options.stray_grace:
            cause = f"bears our tag, and for {age:.0f} s neither the book nor the scheduler has known of it"
            return retire(record, Why.FAULT, cause, self._now)
        return record


def _said(instance: Instance) -> str:
    return f" ({instance.said})" if instance.said else ""
