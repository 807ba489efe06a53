"""What the engine answers out of its book at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from asyncluster.elastic.actions import Reason
from asyncluster.elastic.orphans import at_work
from asyncluster.elastic.records import WITHHELD, Life, NodeRecord
from asyncluster.elastic.steering import Steering
from asyncluster.model.supply import Instance, Pool


class Answering(Steering):
    """The half of the engine that says why."""

    def explain_job(self, job: str) -> Reason | None:
        """Why a batch job waits; None = it did not wait when last looked at.  Of tens of thousands: in a thread."""
        return self._desk.reasons.jobs.get(job)

    def waiting_jobs(self) -> Collection[str]:
        """The ids of all batch jobs that waited when last looked at; likewise."""
        return self._desk.reasons.jobs.keys()

    def explain_groups(self, job: str) -> dict[str, Reason]:
        """The same of "8/0", "8/1" …, in which the tasks of job "8" of the own queue wait that need other nodes."""
        reasons = self._desk.reasons.jobs
        return {name: reasons[name] for name in reasons if name.startswith(f"{job}/")}

    def explain_node(self, name: str) -> Reason | None:
        """Why a node that we launched is as it is; None = there is none."""
        return self._desk.reasons.nodes.get(name)

    def explain_pool(self, name: str) -> Reason | None:
        """Why a pool launches or releases what it does; None = there is none, or nothing has been decided."""
        return self._desk.reasons.pools.get(name)

    @property
    def nodes(self) -> Mapping[str, NodeRecord]:
        """The book, by name, as it is now: to be looked at at once."""
        return self._desk.nodes

    def renews(self, name: str) -> bool:
        """Whether the node of that name may have its lease renewed: a pool has it here, and it stays."""
        return self._desk.renews(name)

    def withholds(self, name: str, pool: str) -> bool:
        """Whether a node that says it was launched for that pool is to get no work before it is enabled, or let go."""
        record = self._desk.nodes.get(name)
        return record is not None and record.life in WITHHELD and record.pool == pool and self._desk.is_here(record)

    def known(self) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        """What is in the book, each with its pool: instances by id, and by token those that have no id there as yet.

        What was merely found with our tag is not.
        """
        return _keys(record for record in self._desk.nodes.values() if record.life is not Life.STRAY)

    def moved(self) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
        """The same of those that are not where their pool is now."""
        return _keys(self.elsewhere())

    def elsewhere(self) -> tuple[NodeRecord, ...]:
        """Their records: no cloud of the file can be asked for them."""
        return tuple(record for record in self._desk.nodes.values() if not self._desk.is_here(record))

    def at_work(self, instances: Iterable[Instance], now: float) -> Callable[[], dict[str, str]]:
        """Why instances that nobody looks after may be at work, by id; found out when called, in any thread.

        now: of the steady clock.
        """
        desk = self._desk
        return partial(at_work, tuple(instances), desk.demand, desk.silence(now), desk.options.realm)

    def configured(self, pool: str) -> Pool:
        """A pool as the file, and perhaps its cloud, has it.  KeyError: there is none."""
        return self._desk.configured_as(pool)

    def pool_names(self) -> list[str]:
        """In the order of the file."""
        return [pool.name for pool in self._desk.configured]


def _keys(records: Iterable[NodeRecord]) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    some = tuple(records)
    ids = frozenset((record.pool, record.instance) for record in some if record.instance)
    return ids, frozenset((record.pool, record.token) for record in some if not record.instance)
