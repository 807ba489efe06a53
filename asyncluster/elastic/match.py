"""Which pool's nodes could ever run a job, by reservation, flavor and lifetime; and if not, why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from asyncluster.elastic.records import PoolRecord
from asyncluster.model.batch import BatchNode, Chunk, queues_of
from asyncluster.model.supply import Flavor, Pool
from asyncluster.units import count as many
from asyncluster.units import format_size

MIB = 1024 * 1024

_LEARNED = "as its nodes turned out to have"


def flavor(pool: Pool, record: PoolRecord) -> Flavor:
    """What the next node of a pool will have: what is promised, or what its nodes turned out to have if less."""
    given = pool.flavor
    return attrs.evolve(
        given,
        cores=max(1, min(given.cores, record.cores or given.cores)),
        memory=min(given.memory or record.memory, record.memory or given.memory),
        gpus=given.gpus if record.gpus < 0 else min(given.gpus, record.gpus),
    )


def learned(pool: Pool, record: PoolRecord, nodes: Sequence[BatchNode]) -> PoolRecord:
    """What a pool's nodes turned out to have, where it is less than was promised, or nothing was said of it.

    Memory of which nothing is said would be enough for any job: without this, nodes would be begun and given up for
    ever for a job that none of them can run.
    """
    has = pool.flavor
    cores, memory, gpus = (max(each) for each in zip(*((n.cores, n.memory, n.gpus) for n in nodes), strict=True))
    less = (
        cores if cores < has.cores else 0,
        memory if not has.memory or memory < has.memory else 0,
        gpus if gpus < has.gpus else -1,
    )
    if less == (record.cores, record.memory, record.gpus):
        return record
    return attrs.evolve(record, cores=less[0], memory=less[1], gpus=less[2])


def bared(pool: Pool, record: PoolRecord, nodes: Iterable[BatchNode], asked: frozenset[str]) -> PoolRecord:
    """The same of words that its nodes are to bear.

    asked: by jobs that wait; of other words some schedulers do not say which nodes bear them.
    """
    if not nodes or not (asked or record.lacks):
        return record
    borne = {word for node in nodes for word in node.properties}
    doubtful = [word for word in promised(pool) if word in asked or word in record.lacks]
    lacks = tuple(sorted(set(doubtful) - borne))
    return record if lacks == record.lacks else attrs.evolve(record, lacks=lacks)


def promised(pool: Pool) -> tuple[str, ...]:
    """The words that its nodes are to bear."""
    return tuple(filter(None, (pool.reservation.property, *pool.bears)))


def kept_from(pool: Pool, queue: str, account: str) -> str:
    """'' if this pool's nodes are there for such jobs, else why not, as a clause about the pool."""
    kept = pool.reservation
    if kept.queue and kept.queue not in queues_of(queue):
        return f"is kept for queue {kept.queue}"
    if kept.account and account != kept.account:
        return f"is kept for account {kept.account}"
    return ""


def why_not(pool: Pool, has: Flavor, lacks: Iterable[str], chunk: Chunk, walltime: float) -> str:
    """'' if nodes of this pool, which is not kept from such jobs, could run it, else why not, as a clause.

    has, lacks: what they are known to have, and which words they do not bear.
    """
    kept = pool.reservation
    asked = chunk.properties
    if kept.property and kept.property not in asked:
        return f"is kept for jobs that ask for {kept.property}"
    lacking = {*asked}.difference(promised(pool))
    if lacking:
        return f"has no nodes with {', '.join(sorted(lacking))}"
    bare = {*asked}.intersection(lacks)
    if bare:
        return f"promises {', '.join(sorted(bare))}, which its nodes turned out not to bear"
    lack = _too_small(has, chunk)
    if lack:
        return f"{lack} ({_LEARNED})" if _learned(pool, has) else lack
    if pool.lifetime > 0.0 and walltime > pool.lifetime:
        return f"has nodes that live for {pool.lifetime:.0f} s, and {walltime:.0f} s are asked for"
    return ""


def _learned(pool: Pool, has: Flavor) -> bool:
    promised = pool.flavor
    return (has.cores, has.memory, has.gpus) != (promised.cores, promised.memory, promised.gpus)


def _too_small(has: Flavor, chunk: Chunk) -> str:
    if chunk.nodes > 0 and chunk.cores > has.cores:
        return f"has {many(has.cores, 'core')} on a node, and {chunk.cores} {_are(chunk.cores)} asked for"
    if has.memory and chunk.memory > has.memory:
        return f"has {size(has.memory)} on a node, and {size(chunk.memory)} are asked for"
    if chunk.gpus > has.gpus:
        return f"has {many(has.gpus, 'gpu')} on a node, and {chunk.gpus} {_are(chunk.gpus)} asked for"
    return ""


def who_may(queues: tuple[str, ...], accounts: tuple[str, ...], binds_queues: bool, queue: str, account: str) -> bool:
    """Whether a node that stands in these queues, kept for these accounts, is there for such a job."""
    if accounts and account not in accounts:
        return False
    if queues:
        return not queue or not set(queues_of(queue)).isdisjoint(queues)
    return not binds_queues or not queue


def size(memory: int) -> str:
    """Bytes, rounded down to a MiB, in the largest unit that tells them."""
    return format_size(memory // MIB * MIB)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
