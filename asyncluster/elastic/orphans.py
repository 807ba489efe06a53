"""What a cloud has that nobody looks after: pure.

An instance that bears our tag and is in no record of the book, or one whose tag says that its lease is over, whichever
master's it was: these may be ended.  What is only named like ours is told of, and never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import attrs

from asyncluster.elastic.observe import runs_something
from asyncluster.elastic.reconcile import is_ours
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Instance, InstanceState, Pool
from asyncluster.units import clip

GRACE = 300.0
"""Seconds that the clocks of two masters may differ; nobody's lease counts as over before."""

YOUNG = 120.0
"""Seconds after its birth in which an instance may not have been written down by who ordered it."""


@attrs.frozen
class Orphan:
    """One instance.

    pool: whose cloud told of it; of: the pool that its tag names, "" = it has no tag; age: seconds, 0 = not known;
    price: of its pool, for an hour, 0 = not known; cost: what it has cost at that price; may: it may be ended, since it
    bears our tag; why: a sentence.
    """

    pool: str
    id: str
    name: str
    state: str
    owner: str
    of: str
    age: float
    price: float
    cost: float
    may: bool
    why: str


@attrs.frozen
class Seen:
    """What orphans are told by.

    pools: configured, by name; knows: whether an instance is in the book of the pool; realm: of this master; now: the
    time of day, seconds since the epoch; moved: whether it is there, and the pool has another place now.
    """

    pools: Mapping[str, Pool]
    knows: Callable[[str, Instance], bool]
    realm: str
    now: float
    moved: Callable[[str, Instance], bool] = lambda pool, instance: False


def orphans(seen: Seen, pool: str, instances: Iterable[Instance], told: Collection[str] = ()) -> list[Orphan]:
    """Of what the cloud of a pool has.  told: ids that another pool of the same account has told of already."""
    found = []
    for instance in instances:
        if instance.state is InstanceState.GONE or instance.id in told:
            continue
        may, why = _judge(seen, pool, instance)
        if why:
            found.append(_orphan(seen, pool, instance, may, why))
    return found


@attrs.frozen
class Leased:
    """How many living instances are another master's, whose lease is not over by so much that they were left behind.

    left: seconds until the last of these leases is over, below 0 = it has been, and GRACE is not.
    """

    owner: str
    count: int
    left: float


def leased(seen: Seen, instances: Iterable[Instance]) -> list[Leased]:
    """By owner; each instance once, whichever pools of the same account show it."""
    ends: dict[str, dict[str, float]] = {}
    for one in instances:
        lives = one.ours and one.state is not InstanceState.GONE and not is_ours(one, seen.realm)
        if lives and one.expires and seen.now - one.expires <= GRACE:
            ends.setdefault(one.owner, {})[one.id] = one.expires
    return [Leased(owner, len(of), max(of.values()) - seen.now) for owner, of in sorted(ends.items())]


def at_work(instances: Iterable[Instance], demand: Demand | None, silence: str, realm: str) -> dict[str, str]:
    """Why each of them may be at work for all that we know, by its id; the others are not.

    A batch system's node works on without a master, and is in no record of one that has lost its book.  Another
    master's may be in another scheduler, and is there still after its lease: if it ran nothing, it would have ended
    itself.  demand: what our scheduler said last; silence: why that is not to be relied on, "" = it is; realm: ours.
    """
    all_of_them = tuple(instances)
    ours = [instance for instance in all_of_them if is_ours(instance, realm)]
    busy = {
        instance.id: f"its jobs are another master's ({instance.owner}), whose scheduler cannot be seen from here"
        for instance in all_of_them
        if not is_ours(instance, realm)
    }
    if silence or demand is None:
        unknown = f"nobody knows whether it is at work: {silence or 'the scheduler has not answered yet'}"
        return busy | {instance.id: unknown for instance in ours}
    nodes = {node.name: node for node in demand.nodes}
    for instance in ours:
        node = nodes.get(instance.name)
        if node is not None and runs_something(node):
            jobs = f" {clip(', '.join(node.jobs))}" if node.jobs else ""
            busy[instance.id] = f"it is at work: the scheduler has jobs{jobs} on {instance.name}"
    return busy


def _judge(seen: Seen, pool: str, instance: Instance) -> tuple[bool, str]:
    """Whether it may be ended, and why; "" = it is looked after."""
    if not instance.ours:
        return False, "not ours, never touched: it bears no tag, only a name that begins as ours do"
    of = instance.pool or pool
    over = seen.now - instance.expires if instance.expires else 0.0
    if is_ours(instance, seen.realm):
        if of not in seen.pools:  # whose cloud the engine does not ask
            gone = f"its pool {of} is not in asyncluster.yaml any more"
            if not seen.knows(of, instance):
                return True, gone
            return False, f"{gone}, and it may be at work: put the pool back and drain it before you take it out"
        if seen.knows(of, instance):
            back = "and it may be at work: move the pool back and drain it before you move it"
            return False, f"its pool {of} has another place now, {back}" if seen.moved(of, instance) else ""
        if instance.born and seen.now - instance.born < YOUNG:
            return False, ""
        return True, f"no record of pool {of} knows it"
    whose = f"another master ({instance.owner})"
    if over > GRACE:
        unseen = "whether it runs jobs is seen in that one's scheduler, not here"
        return True, f"it is of {whose}, which has not renewed its lease for {over:.0f} s; {unseen}"
    if not instance.expires:
        return False, f"it is of {whose}, and bears no time at which its lease would be over: left alone"
    return False, ""


def _orphan(seen: Seen, pool: str, instance: Instance, may: bool, why: str) -> Orphan:
    known = seen.pools.get(instance.pool or pool) or seen.pools.get(pool)
    price = known.flavor.price if known is not None else 0.0
    age = max(0.0, seen.now - instance.born) if instance.born else 0.0
    return Orphan(
        pool, instance.id, instance.name, instance.state.value, instance.owner, instance.pool if instance.ours else "",
        age, price, price * age / 3600.0, may, why,
    )  # fmt: skip
