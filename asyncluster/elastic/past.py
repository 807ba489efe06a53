"""Lets go of what a scheduler said before, some of it at a time.

To free fifty thousand jobs at once takes the interpreter twenty milliseconds, in which nothing else has its turn.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from asyncluster.model.batch import Demand

SLICE = 2000
"""Jobs that are freed in one turn of the reactor: a millisecond."""


class Past:
    """Who drops the last reference to a large answer hands it over first."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._left: list[list[object]] = []
        self._timer: IDelayedCall | None = None

    def take(self, demand: Demand | None) -> None:
        """Keep what is in it for now; the caller drops it."""
        if demand is not None and len(demand.jobs) > SLICE:
            self._left.append([*demand.jobs, *demand.nodes])
            if self._timer is None:
                self._timer = self._reactor.callLater(0.0, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        del self._left[-1][-SLICE:]
        if not self._left[-1]:
            self._left.pop()
        if self._left:
            self._timer = self._reactor.callLater(0.0, self._go_on)

    def stop(self) -> None:
        """Nobody minds any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
