"""Writes what has changed in the desk's book, one writing at a time, and never waits longer than `LIMIT` for it.

A database that is away does not refuse: what was handed to it is written when it is back.  Until then nothing more is
handed over, so that what is queued there does not grow, and each attempt fails at once.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.elastic.desk import Desk
from asyncluster.errors import StoreError
from asyncluster.interfaces import INodeBook

_log = Logger()

LIMIT = 10.0
"""Seconds after which a book that has not said that it is written counts as away."""


class Keeping:
    """Of one engine.  fault: why the book could not be written last; back: told when one that was away is written."""

    def __init__(
        self,
        reactor: IReactorTime,
        book: INodeBook,
        desk: Desk,
        wall: Callable[[], float],
        back: Callable[[], object],
    ) -> None:
        self.fault = ""
        self._reactor = reactor
        self._book = book
        self._desk = desk
        self._wall = wall
        self._back = back
        self._turn = DeferredLock()
        self._away = False

    async def save(self, last: bool = False) -> None:
        """Have what has changed written.  StoreError: it is not as yet, and will be tried again.

        last: hand it over even to a book that is away, which may write it before it is closed.
        """
        await self._turn.acquire()
        try:
            if self._away and not last:
                raise StoreError(_text("is not answered by its database"))
            changed = self._desk.unsaved(self._wall() - self._reactor.seconds())
            if changed:
                try:
                    await self._within_limit(self._book.save(changed))
                except BaseException:
                    self._desk.not_saved(changed)
                    raise
        finally:
            self._turn.release()
        self.fault = ""

    async def try_save(self) -> bool:
        """The same; False: it is not written, `fault` says why, and the log has it once."""
        try:
            await self.save()
        except CancelledError:  # the master stops
            raise
        except Exception as error:  # a loop's rim: whatever a book does, nodes are looked after
            fault = f"the book of nodes cannot be written, so nothing is launched: {error}"
            if not self.fault:
                _log.failure("the book of nodes cannot be written; nothing is launched")
            self.fault = fault
            return False
        return True

    def _within_limit(self, saved: Deferred[None]) -> Deferred[None]:
        """What fires when `saved` does, and fails when that takes too long; `saved` itself goes on."""

        def cancel(_: object) -> None:
            if timer.active():
                timer.cancel()

        told: Deferred[None] = Deferred(cancel)

        def late() -> None:
            self._away = True
            told.errback(StoreError(_text(f"was not written within {LIMIT:g} s")))

        def over(result: Failure | None) -> None:
            cancel(None)
            if not told.called:
                told.callback(result)
            elif self._away:
                self._away = False
                self._back()

        timer = self._reactor.callLater(LIMIT, late)
        saved.addBoth(over)
        return told


def _text(what: str) -> str:
    return f"the book of nodes {what}; what was asked for is obeyed, and kept once its database is back"
