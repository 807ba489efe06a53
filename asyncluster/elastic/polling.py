"""Asks one source again and again: one question at a time, at an interval with jitter, sooner when told to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.elastic.telling import fault_of
from asyncluster.errors import CloudError, ConfigError
from asyncluster.units import CANNOT, WAITED_FOR, unanswered

T = TypeVar("T")
_log = Logger()

JITTER = 0.1
"""Part of an interval by which it is longer or shorter."""

SLOW, BRIEF = 3.0, 15.0
"""Intervals, and seconds at least, after which a question that is out is told of."""


class Poll(Generic[T]):
    """One source.

    ask: the question; told: gets each answer; silent: called where there is none, and `fault` says why.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        name: str,
        interval: float,
        limit: float,
        ask: Callable[[], Deferred[T]],
        told: Callable[[T], None],
        silent: Callable[[], None],
    ) -> None:
        self.fault = ""
        self._reactor = reactor
        self._name = name
        self._interval = interval
        self._limit = limit
        self._ask = ask
        self._told = told
        self._silent = silent
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._asked = 0.0
        self._again: float | None = None
        self._stopped = True

    @property
    def shown(self) -> str:
        """What people are to know: `fault`, or that there has been no answer for long; "" = all is well.

        Nothing is decided by the latter: an answer that comes before the limit is as good as any.
        """
        waited = self._reactor.seconds() - self._asked
        if self.fault or self._asking is None or waited < max(BRIEF, SLOW * self._interval):
            return self.fault
        return f"{WAITED_FOR}{waited:.0f} s"

    def start(self) -> None:
        """Ask now, and from then on."""
        self._stopped = False
        self.soon(0.0)

    def soon(self, seconds: float = 0.0) -> None:
        """Ask within so many seconds; where a question is out, once more after its answer."""
        if self._stopped:
            return
        if self._asking is not None:
            self._again = seconds if self._again is None else min(self._again, seconds)
            return
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= self._reactor.seconds() + seconds:
                return
            self._timer.cancel()
        self._timer = self._reactor.callLater(seconds, self._begin)

    def stop(self) -> None:
        """No more questions; one that is out is given up."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()

    def _begin(self) -> None:
        self._timer = None
        self._asked = self._reactor.seconds()
        asking = self._asking = Deferred.fromCoroutine(self._once())
        asking.addErrback(self._not_taken)
        asking.addBoth(self._next)

    def _not_taken(self, failure: Failure) -> None:
        if not failure.check(CancelledError):  # it was given up
            _log.failure("what {source} said could not be taken; it is asked again", failure, source=self._name)

    async def _once(self) -> None:
        try:
            answer = await self._ask().addTimeout(self._limit, self._reactor)
        except CancelledError:
            raise
        except Exception as error:  # a loop's rim: whatever a source does, it is asked again
            fault = fault_of(error, self._limit)
            if isinstance(error, CloudError | ConfigError):  # it did answer, or there is nobody whom one could ask
                fault = CANNOT + fault
            if fault != self.fault:
                _log.warn("{source} {fault}", source=self._name, fault=unanswered(fault, fault))
            self.fault = fault
            self._silent()
            return
        if self.fault:
            _log.info("{source} answers again", source=self._name)
        self.fault = ""
        if not self._stopped:
            self._told(answer)

    def _next(self, _: object) -> None:
        self._asking = None
        again, self._again = self._again, None
        spread = 1.0 + JITTER * (2.0 * random.random() - 1.0)  # noqa: S311 - no secret
        self.soon(self._interval * spread if again is None else again)
