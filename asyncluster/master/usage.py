"""Writes down what tasks took, once a minute: a row for each job, node and hour in which some ended.

The board adds up numbers a batch of results, so a million short tasks cost no more than the rows of their jobs.  What
was not written when a master is killed, a minute at most, is forgotten; a master without a database keeps none at all
unless somebody asked for accounts.
"""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
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
    _batch: list[Used] = attrs.field(factory=list)  # may have been written, and nobody has said so
    _writing: bool = False
    _ticking: LoopingCall | None = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = self.clock
        self._ticking.start(EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        """Write the last."""
        super().stopService()
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        return Deferred.fromCoroutine(self.write(last=True))

    def _tick(self) -> None:
        Deferred.fromCoroutine(self.write())

    async def write(self, last: bool = False) -> None:
        """Write what has gathered; where that fails it is kept, and tried again with the next."""
        if self._writing or not self.registry.is_ready:
            if not self.registry.is_ready:
                self.counters.spent.clear()
            return
        self._writing = True
        try:
            while self._batch or self.counters.spent:
                self._batch = self._batch or self._take()
                number = self.registry.last_batch + 1
                await self.registry.people.add_used(
                    number, self._batch, totals_of_used(self.registry.zone, self._batch)
                )
                self.registry.last_batch, self._batch = number, []
                if not last:
                    break
        except StoreError:
            if last:
                _log.error("what tasks took in the last minutes could not be written, and is forgotten")
        except Exception:
            _log.failure("what tasks took could not be written")
        finally:
            self._writing = False

    def _take(self) -> list[Used]:
        hour = hour_of(self.registry.zone, self.registry.now())
        spent, self.counters.spent = self.counters.spent, {}
        return [
            Used(hour, each.owner, node, each.pool, job, each.tasks, each.core_wall / 1e6, each.wall / 1e6, each.memory)
            for (node, job), each in spent.items()
        ]
