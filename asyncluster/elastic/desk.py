"""The book in memory: takes what was seen, plans, outcomes and wishes, and says what has to be kept.

Everything the engine knows is here; no clock and no Deferred.  A plan is made of a snapshot, possibly in another
thread, while actions end: what the plan says of a record that has changed meanwhile is left for the next one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import attrs

from asyncluster.elastic import limits, machine, modes, places
from asyncluster.elastic.actions import Action, Do, Fault, Outcome, Plan, Reason, Reasons
from asyncluster.elastic.misspelt import near, no_pool
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import (
    Life,
    Modes,
    NodeRecord,
    PoolRecord,
    Record,
    Steer,
    Why,
    from_plain,
    to_plain,
)
from asyncluster.elastic.requesting import Promise, request
from asyncluster.elastic.situation import Situation, silence
from asyncluster.errors import RefusedError
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Flavor, Listing, Pool

_kept = attrgetter(
    "pool", "token", "life", "since", "cause", "why", "instance", "address", "started", "steer", "steered",
    "verifier", "place",
)  # fmt: skip
_kept_of_pool = attrgetter(*({field.name for field in attrs.fields(PoolRecord)} - {"tokens", "tokens_at"}))
"""What of a node, and of a pool, is worth a write when it changes; the rest is found out anew."""

_UNRENEWED = frozenset({Life.EMPTY, Life.REMOVED, Life.DESTROYING, Life.GONE, Life.STRAY})


class Desk:
    """One engine's book.  binds_queues: see IScheduler; salt: a word that no earlier start has used."""

    def __init__(self, options: Options, pools: Iterable[Pool], binds_queues: bool = False, salt: str = "") -> None:
        self.options = options
        self.configured = tuple(pools)
        self._by_name = {pool.name: pool for pool in self.configured}
        self.nodes: dict[str, NodeRecord] = {}
        self.pools: dict[str, PoolRecord] = {pool.name: PoolRecord(pool.name) for pool in self.configured}
        self.modes = Modes(auto=options.auto_mode, passive=options.passive_mode)
        self.demand: Demand | None = None
        self.unheard = False  # the scheduler did not answer when last asked
        self.listings: dict[str, Listing] = {}
        self.unlearned: dict[str, str] = {}  # by pools whose cloud did not say what a node has: why not
        self.reasons = Reasons({}, {}, {}, Reason("new", "nothing has been decided yet"))
        self.reports: tuple[str, ...] = ()
        self._answering_since = 0.0
        self._binds_queues = binds_queues
        self._salt = salt
        self._dirty: set[str] = set()

    def copied(self) -> Desk:
        """As it is now, to be looked at in another thread."""
        other = copy.copy(self)
        other.nodes, other.pools, other.listings = dict(self.nodes), dict(self.pools), dict(self.listings)
        other.unlearned = dict(self.unlearned)
        return other

    def configured_as(self, name: str) -> Pool:
        """A pool as the file, and perhaps its cloud, has it.  KeyError: there is none."""
        for pool in self.configured:
            if pool.name == name:
                return pool
        raise KeyError(name)

    def is_here(self, record: NodeRecord) -> bool:
        """Whether the cloud of its pool can be asked for it."""
        return places.is_here(record, self._by_name)

    def nodes_of(self, pool: str) -> list[NodeRecord]:
        """The records of a pool whose nodes are where it is."""
        return [record for record in self.nodes.values() if record.pool == pool and self.is_here(record)]

    def learn(self, name: str, flavor: Flavor) -> None:
        """A cloud has said what its nodes will have; a price that the file gives stays."""
        self.unlearned.pop(name, None)
        pool = self.configured_as(name)
        told = attrs.evolve(flavor, price=pool.flavor.price or flavor.price)
        self.configured = tuple(
            attrs.evolve(each, flavor=told) if each.name == name else each for each in self.configured
        )

    # The book on disk

    def load(self, plain: Mapping[str, Mapping[str, Any]], shift: float, now: float) -> list[str]:
        """Take over what an earlier engine left; gives the keys that made no sense.  shift: see `records`."""
        strange = []
        for key, value in plain.items():
            kind, _, name = key.partition("/")
            try:
                if kind == "node":
                    self.nodes[name] = from_plain(NodeRecord, value, shift, now)
                elif kind == "pool":
                    self.pools[name] = from_plain(PoolRecord, value, shift, now)
                elif kind == "modes":
                    self.modes = from_plain(Modes, value, shift, now)
            except (TypeError, ValueError):
                strange.append(key)
        return strange

    def unsaved(self, shift: float) -> dict[str, dict[str, Any] | None]:
        """What has changed since the last call and must be kept, in basic types; None = forgotten."""
        changed: dict[str, dict[str, Any] | None] = {}
        for key in self._dirty:
            record = self._find(key)
            changed[key] = None if record is None else to_plain(record, shift)
        self._dirty.clear()
        return changed

    def not_saved(self, keys: Iterable[str]) -> None:
        """These could not be written: they come again."""
        self._dirty.update(keys)

    def _find(self, key: str) -> Record | None:
        kind, _, name = key.partition("/")
        if kind == "node":
            return self.nodes.get(name)
        return self.pools.get(name) if kind == "pool" else self.modes

    def _set_node(self, name: str, record: NodeRecord | None) -> None:
        old = self.nodes.get(name)
        if record is None:
            self.nodes.pop(name, None)
        else:
            self.nodes[name] = record
        if old is None or record is None or _kept(old) != _kept(record):
            self._dirty.add(f"node/{name}")

    def _set_pool(self, name: str, record: PoolRecord) -> None:
        old = self.pools.get(name)
        self.pools[name] = record
        if old is None or _kept_of_pool(old) != _kept_of_pool(record):
            self._dirty.add(f"pool/{name}")

    # What was seen

    def heard(self, demand: Demand) -> None:
        """The scheduler has answered."""
        last = self.demand
        if last is None or demand.seen - last.seen > self.options.max_snapshot_age:
            self._answering_since = demand.seen
        self.demand = demand
        self.unheard = False

    def listed(self, listing: Listing) -> bool:
        """A cloud has answered; True = for the first time."""
        first = listing.pool not in self.listings
        self.listings[listing.pool] = listing
        return first

    # Plans

    def situation(self, now: float, provision: bool = True) -> Situation:
        """All that a plan looks at, as it is now; later changes do not reach it."""
        return Situation(
            now, self.options, self.configured, self.demand, dict(self.listings), dict(self.nodes), dict(self.pools),
            self.modes, self._answering_since, self._binds_queues, provision, self._salt,
            self.unheard, dict(self.unlearned),
        )  # fmt: skip

    def silence(self, now: float) -> str:
        """See `Situation`."""
        return silence(now, self.demand, self.unheard, self.options)

    def merge(self, situation: Situation, plan: Plan) -> list[Action]:
        """Take a plan over, but for what has changed since its situation; gives the actions to be done.

        What `unsaved` gives must be kept before any launch among them is done.
        """
        if situation.modes is not self.modes:
            return []
        moved = {n for n, r in self.pools.items() if situation.pool_records.get(n) is not r}
        left: set[str] = set()
        for name, record in plan.nodes.items():
            old = situation.nodes.get(name)
            owner = record or old
            if self.nodes.get(name) is not old or owner is None or owner.pool in moved:
                left.add(name)
            else:
                self._set_node(name, record)
        for name, pool in plan.pools.items():
            if name not in moved:
                self._set_pool(name, pool)
        jobs = plan.reasons.jobs if situation.provision else self.reasons.jobs
        self.reasons = attrs.evolve(plan.reasons, jobs=jobs)
        self.reports = plan.reports
        return [action for action in plan.actions if action.node not in left]

    def bars(self, action: Action, now: float) -> str:
        """Why an action that has been decided is not to be begun any more, for what has come since; '' = it is."""
        if action.do is not Do.LAUNCH:
            return ""
        if silent := self.silence(now):
            return silent
        record = self.nodes.get(action.node)
        if record is None or record.life is not Life.INTENDED:
            return "the node is not wanted any more"
        closed = limits.closed(self.pools[action.pool], self.modes, self.options, now)
        return f"pool {action.pool} {closed.text}" if closed is not None else ""

    def finished(self, action: Action, outcome: Outcome, now: float) -> list[Action]:
        """An action is over; gives the node's next step, if it can be done at once."""
        record = self.nodes.get(action.node)
        if record is None or record.doing != action.do.name:
            return []
        pool = self.pools[action.pool]
        known = outcome.fault is Fault.NEVER and self._may_be_known(record.name, now)
        after = machine.finish(record, pool, action, outcome, self.options, now, known)
        if after.pool is not pool:
            self._set_pool(action.pool, after.pool)
        if after.node is None:
            self._set_node(record.name, None)
            return []
        return self._go_on(after.node, now)

    def _go_on(self, record: NodeRecord, now: float) -> list[Action]:
        """A node has changed: its next step, if that can be done at once."""
        node, action = machine.next_step(record, self.options, now, bool(self.silence(now)))
        self._set_node(record.name, node)
        return [] if action is None else [action]

    def _may_be_known(self, name: str, now: float) -> bool:
        """Whether the scheduler lists a node, or cannot say."""
        return bool(self.silence(now)) or (
            self.demand is not None and any(node.name == name for node in self.demand.nodes)
        )

    def arrived(self, name: str, now: float) -> list[Action]:
        """A node has made itself known: gives its next step, where it was waited for.

        That proves that it runs, whatever its cloud's listings say or do not say.
        """
        record = self.nodes.get(name)
        if record is None or record.doing:
            return []
        if record.life is Life.LAUNCHING and record.instance:
            return self._runs(record, now)
        if record.life is not Life.ADDED:
            return []
        record, action = machine.order(attrs.evolve(record, retry_at=0.0), Do.CHECK)
        self._set_node(name, record)
        return [action]

    def _runs(self, record: NodeRecord, now: float) -> list[Action]:
        if not record.address and machine.command(Do.POST_PROVISION, self.options.commands):
            return []  # the site's command is told the address, which only a listing gives
        started = record.started or now
        return self._go_on(record.become(Life.ACTIVE, now, record.cause, started=started), now)

    # What people want

    def set_modes(self, **changes: bool) -> None:
        """auto, sleep, passive."""
        self.modes = attrs.evolve(self.modes, **changes)
        self._dirty.add("modes")

    def _pool(self, name: str) -> PoolRecord:
        if name not in {pool.name for pool in self.configured}:
            raise no_pool(name, (pool.name for pool in self.configured))
        return self.pools[name]

    def freeze(self, name: str, by: str) -> None:
        """See `modes`; so the others.  RefusedError: there is no such pool or node, or it cannot be."""
        self._set_pool(name, modes.freeze(self._pool(name), by))

    def drain(self, name: str, by: str) -> None:
        """All nodes of a pool go."""
        self._set_pool(name, modes.drain(self._pool(name), by))

    def restore(self, name: str) -> None:
        """The pool is as new."""
        self._set_pool(name, modes.restore(self._pool(name)))

    def request(self, name: str, count: int, by: str, now: float) -> Promise:
        """Nodes from outside; see `requesting`."""
        self._pool(name)
        pool = next(pool for pool in self.configured if pool.name == name)
        record, promise = request(self.situation(now), pool, count, by)
        self._set_pool(name, record)
        return promise

    def steer(self, name: str, wish: Steer, by: str) -> None:
        """Of one node."""
        record = self.nodes.get(name)
        if record is None:
            meant = near(name, self.nodes) or ": only those are held or deleted"
            raise RefusedError(f"{name} is no node of a pool that is there now{meant}")
        if not self.is_here(record):
            raise RefusedError(places.refusal(record, self._by_name))
        self._set_node(name, modes.steer(record, wish, by))

    def keep_verifier(self, name: str, verifier: str, enlisted: bool) -> None:
        """With what a node may register.  RefusedError: there is no such node."""
        record = self.nodes.get(name)
        if record is None:
            raise RefusedError(f"{name} is no node that was launched here")
        self._set_node(name, attrs.evolve(record, verifier=verifier, enlisted=enlisted))

    def end_all(self, cause: str, now: float) -> None:
        """All nodes are being ended; what is left of them is looked for at the next start."""
        for name, record in list(self.nodes.items()):
            if record.life is not Life.GONE and self.is_here(record):
                self._set_node(name, record.become(Life.DESTROYING, now, cause, why=Why.SURPLUS, doing=""))

    def renews(self, name: str) -> bool:
        """Whether the lease of a node of that name is to be renewed: it stays, and its pool is here."""
        record = self.nodes.get(name)
        return record is not None and record.life not in _UNRENEWED and self.is_here(record)
