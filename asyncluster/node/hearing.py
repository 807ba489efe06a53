"""Asks the master of one link which output it has, while there is some of which it has not said so.

Gathered: the first question comes a moment after something was written, the next not before a while has passed.  So
of a master that is killed little may come twice to the next one, and where nobody writes nothing is asked.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import LinkLostError, RefusedError, WireError
from asyncluster.node.keeping import Keeping
from asyncluster.wire.link import Link

_log = Logger()

SOON = 0.01
"""Seconds until the first question: by then the ends of short tasks have gone."""

PAUSE = 0.1
"""Seconds between two questions at least."""

MOST = 10_000
"""Jobs of one question."""


class Hearing:
    """Until `stop`."""

    def __init__(self, reactor: IReactorTime, link: Link, keeping: Keeping) -> None:
        self._reactor, self._link, self._keeping = reactor, link, keeping
        self._next: IDelayedCall | None = None
        self._busy = False
        self._asked = reactor.seconds() - PAUSE

    def ask_soon(self) -> None:
        """There is output of which the master has not said that it is there."""
        if not self._busy:
            self._busy = True
            delay = max(SOON, self._asked + PAUSE - self._reactor.seconds())
            self._next = self._reactor.callLater(delay, self._ask)

    def stop(self) -> None:
        """The link has ended."""
        self._busy = True
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _ask(self) -> None:
        self._asked = self._reactor.seconds()
        jobs = list(islice(self._keeping.said, MOST))
        self._link.call("heard", *jobs).addCallbacks(self._answered, self._failed, callbackArgs=(jobs,))

    def _answered(self, counts: Any, jobs: list[int]) -> None:
        if not self._link.connected:
            return
        self._busy = False
        try:
            for job, count in zip(jobs, counts, strict=True):
                self._keeping.heard(job, count)
        except (WireError, TypeError, ValueError) as error:  # what it has not got is told again on the next link
            _log.error("the master answers nonsense of output: {error}", error=str(error))
            self._link.abort()
            return
        if self._keeping.said:
            self.ask_soon()

    def _failed(self, failure: Failure) -> None:
        failure.trap(RefusedError, LinkLostError)
        if failure.check(RefusedError):  # by a master of an older release
            self._keeping.deaf()  # and we stay busy: it is not asked again
