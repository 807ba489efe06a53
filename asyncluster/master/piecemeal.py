"""A line of things to be done, a few in each turn of the reactor: links are served and hearts beat in between."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()

T = TypeVar("T", bound=Hashable)

FEW = 20
"""Things of one turn: sessions to look at, each of which may take a few tenths of a millisecond."""


@attrs.define(eq=False)
class Piecemeal(Generic[T]):
    """work: does some of them, now or when its Deferred fires; the next ones come after that.

    What waits already is not put in line again.  The first few are done at once.  few: how many in one turn.
    """

    clock: IReactorTime
    work: Callable[[list[T]], Deferred[None] | None]
    few: int = FEW
    _waiting: dict[T, None] = attrs.field(factory=dict)
    _busy: bool = False
    _next: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, things: Iterable[T], first: bool = False) -> None:
        """Do these, too; first: before all that wait already, at once unless some are being done."""
        fresh = dict.fromkeys(things)
        if first:
            self._waiting = fresh | self._waiting
            self._forget_turn()
        else:
            self._waiting |= fresh
        if self._waiting and not self._busy and self._next is None:
            self._turn()

    def stop(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._forget_turn()

    def _forget_turn(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _turn(self) -> None:
        self._next = None
        some = list(islice(self._waiting, self.few))
        for each in some:
            del self._waiting[each]
        self._busy = True
        maybeDeferred(self.work, some).addErrback(_log_failure).addCallback(self._done)

    def _done(self, _: object) -> None:
        self._busy = False
        if self._waiting:
            self._next = self.clock.callLater(0, self._turn)


def _log_failure(failure: Failure) -> None:
    _log.failure("something that was to be done in turns has failed", failure=failure)
