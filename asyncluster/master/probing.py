"""Asks a database of accounts that was away whether it is back, so that it is used again though nobody else asks.

What let nobody in may be over soon: a file that was locked or could not be written, a server that was started anew.
"""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import StoreError
from asyncluster.master.ticking import Ticking
from asyncluster.store.people import People

_log = Logger()

EVERY = 5.0
"""Seconds."""


@attrs.define(eq=False)
class Probing(Service):
    """One question at a time, while it is away."""

    clock: IReactorTime
    people: People
    _asked: bool = False
    _ticking: Ticking = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ticking = Ticking(self.clock, EVERY, self._look, "a question to the database of accounts")

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._ticking.start()

    def stopService(self) -> Deferred[None] | None:
        """No more."""
        super().stopService()
        self._ticking.stop()
        return None

    def _look(self) -> None:
        if self.people.away and not self._asked:
            asked = self.people.touch()
            self._asked = True
            asked.addErrback(lambda failure: failure.trap(StoreError) and None).addBoth(self._answered)

    def _answered(self, outcome: object) -> None:
        self._asked = False
        if isinstance(outcome, Failure):
            _log.failure("the database of accounts could not be asked", failure=outcome)
