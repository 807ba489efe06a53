"""What to do now: a pure function of what was seen, the book, what is set, and the time.

First what was seen changes the records, then people's wishes, then work is placed: what is missing is launched and
what is left over is released, and at last every node takes its next step.  While the scheduler is silent nothing is
launched, nothing released and nothing judged.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncluster.elastic import explain, launching, limits, machine, places, reconcile, surplus, twins
from asyncluster.elastic.actions import Action, Do, Plan, Reason, Reasons
from asyncluster.elastic.bins import Room
from asyncluster.elastic.demand import Waiting
from asyncluster.elastic.match import bared, learned
from asyncluster.elastic.observe import Eyes
from asyncluster.elastic.packing import Packer
from asyncluster.elastic.records import STAYING, Life, NodeRecord, PoolMode, PoolRecord, Steer, Why, called_back
from asyncluster.elastic.serving import Supply
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchNode
from asyncluster.model.node import WELL
from asyncluster.model.supply import ANY, Instance, Pool

_UNWANTED = frozenset({Steer.DELETE, Steer.KILL})


def plan(situation: Situation) -> Plan:
    """The plan; the same for the same situation, however often it is asked for."""
    return _Planning(situation).plan()


class _Planning:
    """One plan as it grows."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._now = situation.now
        self._silent = situation.silence
        self._nodes: dict[str, NodeRecord] = dict(situation.nodes)
        self._pools = {pool.name: _current(pool, situation) for pool in situation.pools}
        self._configured = {pool.name: pool for pool in situation.pools}
        self._actions: list[Action] = []
        self._jobs: Mapping[str, Reason] = {}
        self._reports: list[str] = []
        self._supplies: dict[str, Supply] = {}
        self._going: dict[str, int] = dict.fromkeys(self._pools, 0)
        self._room: Room | None = None
        self._shown: dict[str, list[BatchNode]] = {}  # of each pool those that say what its nodes are like
        self._known = frozenset(node.name for node in situation.demand.nodes) if situation.demand else frozenset()

    def plan(self) -> Plan:
        self._see()
        if not self._silent:
            self._obey()
            if self._situation.provision:
                self._provide()
        elif self._situation.provision:
            self._jobs = explain.unserved(self._situation, self._silent)
        for record in list(self._nodes.values()):
            if self._is_here(record):
                self._step(record)
        return self._result()

    # What was seen

    def _see(self) -> None:
        situation, eyes = self._situation, Eyes(self._situation, self._pools)
        self._nodes.update(places.found(self._nodes.values(), self._configured, situation.listing))
        by_pool = self._by_pool()
        names = frozenset(self._nodes)
        for name, records in by_pool.items():
            listing = situation.listing(name) if name in self._configured else None
            instances: Mapping[str, Instance] = {}
            if listing is not None:
                place = self._configured[name].place
                matched = reconcile.match(listing, records, names, situation.options.realm, self._now, place)
                instances = matched.of
                self._reports += matched.reports
                for stray in matched.strays:
                    self._nodes[stray.name] = stray
            for record in records:
                after = eyes.look(record, listing, instances.get(record.name))
                if after is None:
                    del self._nodes[record.name]
                elif after is not record:
                    self._nodes[record.name] = after
        self._learn()
        if situation.demand is not None and not self._silent:
            self._replace(twins.settled(self._nodes, situation.listing, situation.demand, self._now))

    def _replace(self, changed: Mapping[str, NodeRecord | None]) -> None:
        for name, record in changed.items():
            if record is None:
                del self._nodes[name]
            else:
                self._nodes[name] = record

    def _is_here(self, record: NodeRecord) -> bool:
        return places.is_here(record, self._configured)

    def _by_pool(self) -> dict[str, list[NodeRecord]]:
        """The records of each pool; under "" those that no pool of the file can be asked for."""
        found: dict[str, list[NodeRecord]] = {name: [] for name in self._pools}
        for record in self._nodes.values():
            found.setdefault(record.pool if self._is_here(record) else "", []).append(record)
        return found

    def _learn(self) -> None:
        """What the pools' nodes turned out to have.  Who is being set up has fewer cores than it is to have."""
        demand = self._situation.demand
        if self._silent or demand is None:
            return
        for node in demand.nodes:
            record = self._nodes.get(node.name)
            if record is None or record.life is not Life.UP or node.state not in WELL or demand.seen <= record.since:
                continue
            if self._is_here(record) and record.ordered >= self._pools[record.pool].changed:
                self._shown.setdefault(record.pool, []).append(node)
        for pool in self._situation.pools:
            if pool.name in self._shown:
                self._pools[pool.name] = learned(pool, self._pools[pool.name], self._shown[pool.name])

    def _learn_words(self, waiting: Waiting) -> None:
        asked = frozenset(waiting.words())
        for pool in self._situation.pools:
            nodes = self._shown.get(pool.name, ())
            self._pools[pool.name] = bared(pool, self._pools[pool.name], nodes, asked)

    # What people want

    def _obey(self) -> None:
        for record in list(self._nodes.values()):
            pool = self._pools[record.pool] if self._is_here(record) else None
            if record.steer in _UNWANTED:
                if record.life in STAYING or record.why is not Why.PERSON:
                    self._retire(record, Why.PERSON, f"deleted by {record.steered or 'a person'}")
            elif pool is not None and pool.mode is PoolMode.DRAINING:
                if record.life in STAYING or called_back(record):
                    self._retire(record, Why.DRAIN, f"pool {pool.name} is drained ({pool.mode_cause})")
            elif record.life is Life.HOLDING and record.why is Why.DRAIN and not record.doing:
                self._back(record, f"pool {record.pool} was restored")
            elif called_back(record) and not record.doing:
                self._back(record, record.cause)

    def _retire(self, record: NodeRecord, why: Why, cause: str) -> None:
        after = machine.retire(record, why, cause, self._now, known=record.name in self._known)
        if after is not record:
            self._nodes[record.name] = after
            if record.life in STAYING:
                self._going[record.pool] = self._going.get(record.pool, 0) + 1

    def _back(self, record: NodeRecord, cause: str) -> None:
        if self._now >= record.retry_at and self._is_here(record):
            self._nodes[record.name], action = machine.back(record, cause, self._now)
            self._actions.append(action)

    # What work needs

    def _provide(self) -> None:
        situation = self._situation
        seen = situation.demand
        assert seen is not None  # silence otherwise
        timed = any(pool.lifetime > 0.0 for pool in situation.pools) or any(node.walltime > 0.0 for node in seen.nodes)
        self._jobs = waiting = Waiting(seen.jobs, timed)
        self._learn_words(waiting)
        room = self._room = Room(situation, self._nodes, self._pools)
        by_pool = self._by_pool()
        tallies = {name: launching.tally(by_pool[name]) for name in self._pools}
        supplies = launching.supplies(situation, self._pools, tallies, room)
        self._supplies = {supply.pool.name: supply for supply in supplies}
        static = [node for node in seen.nodes if node.name not in self._nodes]
        taken = launching.taken(situation, self._nodes)
        names = {pool.name: launching.Names(pool, self._pools[pool.name], taken) for pool in situation.pools}
        packer = Packer(
            room, supplies, static, situation.binds_queues, lambda pool, nth: names[pool.name].nth(nth)
        )  # fmt: skip
        launching.in_advance(situation, packer, supplies, self._pools, tallies)
        asked = {supply.pool.name for supply in supplies if supply.begun and supply.begun[0][1].rule == "request"}
        if not situation.modes.sleep:
            asked |= {name for name, record in self._pools.items() if record.asked}
        for kind in waiting.urgent(situation.options.queues):
            packer.place(kind)
        for record in by_pool_of(by_pool, Life.HOLDING):
            bin = room.of.get(record.name)
            if bin is not None and bin.wanted and not called_back(record):
                self._back(record, "it was to go, and work has come that it has room for")
        if situation.modes.auto:
            self._release(by_pool, room, tallies, asked)
        self._actions += launching.intents(situation, supplies, self._nodes, self._pools, names)

    def _release(
        self,
        by_pool: Mapping[str, list[NodeRecord]],
        room: Room,
        tallies: Mapping[str, limits.Tally],
        asked: set[str],
    ) -> None:
        for pool in self._situation.pools:
            if self._pools[pool.name].mode is not PoolMode.OPEN or pool.name in asked:
                continue
            records = [r for r in by_pool[pool.name] if r.steer is Steer.NOTHING]
            spare = tallies[pool.name].staying - pool.least
            options, known = self._situation.options, self._known
            for record in surplus.release(pool, records, room.of, spare, options, self._now, known):
                self._nodes[record.name] = record
                self._going[pool.name] += record.life not in STAYING

    # The next step of each node

    def _step(self, record: NodeRecord) -> None:
        if record.pool not in self._pools or record.doing:
            return
        after, action = machine.next_step(record, self._situation.options, self._now, bool(self._silent))
        if after is None:
            del self._nodes[record.name]
        elif after is not record:
            self._nodes[record.name] = after
        if action is not None:
            self._actions.append(action)

    # The result

    def _result(self) -> Plan:
        situation = self._situation
        before = situation.nodes
        nodes: dict[str, NodeRecord | None] = {
            name: record for name, record in self._nodes.items() if before.get(name) is not record
        }
        nodes.update({name: None for name in before if name not in self._nodes})
        pools = {name: r for name, r in self._pools.items() if situation.pool_records.get(name) != r}
        launches = sum(action.do is Do.LAUNCH for action in self._actions)
        reasons = Reasons(
            self._jobs, self._node_reasons(), self._pool_reasons(),
            explain.engine(situation, launches, sum(self._going.values())),
        )  # fmt: skip
        left = places.reports(self._nodes.values(), self._configured)
        return Plan(tuple(self._actions), nodes, pools, reasons, (*self._reports, *left))

    def _node_reasons(self) -> dict[str, Reason]:
        seen = {node.name: node for node in self._situation.demand.nodes} if self._situation.demand else {}
        bins = self._room.of if self._room is not None else {}
        reasons = {}
        for name, record in self._nodes.items():
            if not self._is_here(record):
                reasons[name] = Reason("orphan", places.reason(record, self._configured))
            else:
                reasons[name] = explain.node(record, seen.get(name), bins.get(name), self._situation)
        return reasons

    def _pool_reasons(self) -> dict[str, Reason]:
        by_pool = self._by_pool()
        return {
            pool.name: explain.pool(
                pool, self._pools[pool.name], launching.tally(by_pool[pool.name]),
                self._supplies.get(pool.name), self._going[pool.name], self._situation,
            )
            for pool in self._situation.pools
        }  # fmt: skip


def by_pool_of(by_pool: Mapping[str, list[NodeRecord]], life: Life) -> list[NodeRecord]:
    """The records in one state."""
    return [record for records in by_pool.values() for record in records if record.life is life]


def _current(pool: Pool, situation: Situation) -> PoolRecord:
    """A pool's record as of now; a pool whose configuration has changed is tried anew."""
    record = situation.pool_records.get(pool.name) or PoolRecord(pool.name)
    print = repr(attrs.evolve(pool, flavor=ANY) if pool.asks else pool)  # what a cloud tells is not configured
    if record.print != print:
        mode, cause = record.mode, record.mode_cause
        record = limits.restored(record) if record.print else record
        changed = situation.now if record.print else record.changed
        record = attrs.evolve(record, print=print, mode=mode, mode_cause=cause, changed=changed)
    return limits.refill(record, pool, situation.now)
