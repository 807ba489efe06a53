"""Asks a database of accounts that was away whether it is back, so that it is used again though nobody else asks.

What let nobody in may be over soon: a file that was locked or could not be written, a server that was started anew.
"""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from asyncluster.errors import StoreError
from asyncluster.store.people import People

EVERY = 5.0
"""Seconds."""


@attrs.define(eq=False)
class Probing(Service):
    """One question at a time, while it is away."""

    clock: IReactorTime
    people: People
    _asked: bool = False
    _ticking: LoopingCall | None = None

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._ticking = LoopingCall(self._look)
        self._ticking.clock = self.clock
        self._ticking.start(EVERY, now=False)

    def stopService(self) -> Deferred[None] | None:
        """No more."""
        super().stopService()
        if self._ticking is not None:
            self._ticking.stop()
            self._ticking = None
        return None

    def _look(self) -> None:
        if self.people.away and not self._asked:
            self._asked = True
            self.people.touch().addErrback(lambda failure: failure.trap(StoreError) and None).addBoth(self._answered)

    def _answered(self, _: object) -> None:
        self._asked = False
