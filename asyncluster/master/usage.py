"""Writes down what tasks took, once a minute: a row for each job, node and hour in which some ended.

The board adds up numbers a batch of results, so a million short tasks cost no more than the rows of their jobs.  What
has gathered is set down for its hour every minute and as each hour ends, however long the database is away: what ended
on Sunday is Sunday's.  What was not written when a master is killed is forgotten: a minute's, or all since the
database went.  A master without a database keeps none at all unless somebody asked for accounts.
"""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from asyncluster.accounts.report import hour_of, totals_of_used
from asyncluster.errors import StoreError
from asyncluster.jobs.book import Counters
from asyncluster.master.registry import Registry
from asyncluster.model.account import Used

_log = Logger()

EVERY = 60.0
"""Seconds."""


@attrs.define(eq=False)
class UsageBook(Service):
    """From the board's counters into the database; a batch that could not be written is tried again as it was."""

    clock: IReactorTime
    registry: Registry
    counters: Counters
    _gathered: dict[tuple[float, str, int], Used] = attrs.field(factory=dict)  # by hour, node and job; after the batch
    _batch: list[Used] = attrs.field(factory=list)  # may have been written, and nobody has said so
    _since: float = 0.0  # what the counters have has ended since then
    _lock: DeferredLock = attrs.field(factory=DeferredLock)  # who has it writes
    _next: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._since = self.registry.now()
        self._wait()

    def stopService(self) -> Deferred[None]:
        """Write the last, after what is being written."""
        super().stopService()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._gather()
        return Deferred.fromCoroutine(self._write(last=True))

    def _wait(self) -> None:
        """Until the next minute, or until the hour ends."""
        now = self.registry.now()
        left = hour_of(self.registry.zone, now) + 3600 - now
        self._next = self.clock.callLater(min(EVERY, max(left, 1.0)), self._tick)

    def _tick(self) -> None:
        self._wait()
        self._gather()
        if not self._lock.locked:  # a slow database is not asked again before it has answered
            Deferred.fromCoroutine(self._write())

    def _gather(self) -> None:
        """Set down what the counters have for the hour in which it ended."""
        hour, self._since = hour_of(self.registry.zone, self._since), self.registry.now()
        spent, self.counters.spent = self.counters.spent, {}
        if not self.registry.is_ready:
            return
        for (node, job), s in spent.items():
            new = Used(hour, s.owner, node, s.pool, job, s.tasks, s.core_wall / 1e6, s.wall / 1e6, s.memory)
            known = self._gathered.get((hour, node, job))
            self._gathered[hour, node, job] = new if known is None else _together(known, new)

    async def _write(self, last: bool = False) -> None:
        """Write what has gathered; where that fails it is kept, and tried again with the next."""
        await self._lock.acquire()
        try:
            while self._batch or self._gathered:
                if not self._batch:
                    self._batch, self._gathered = list(self._gathered.values()), {}
                number = self.registry.last_batch + 1
                sums = totals_of_used(self.registry.zone, self._batch)
                await self.registry.people.add_used(number, self._batch, sums)
                self.registry.last_batch, self._batch = number, []
        except StoreError:
            if last:
                _log.error("what tasks took in the last minutes could not be written, and is forgotten")
        except Exception:
            _log.failure("what tasks took could not be written")
        finally:
            self._lock.release()


def _together(one: Used, other: Used) -> Used:
    return attrs.evolve(
        one,
        tasks=one.tasks + other.tasks,
        core_seconds=one.core_seconds + other.core_seconds,
        wall=one.wall + other.wall,
        memory=max(one.memory, other.memory),
    )
