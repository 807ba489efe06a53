"""Calls that block, kept away from the reactor: a few threads of one pool's own, and a limit to how long one waits.

A call that has taken too long fails for who waits, and its thread goes on: it is in a library that nobody can stop, so
it is not free before it returns, and what it says then is dropped and logged.  A call whose turn has not come by then
is not made at all.  The threads are no reason for the process to stay when it wants to end.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, Protocol, TypeVar

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import NoAnswerError

_log = Logger()

LIMIT = 60.0
"""Seconds that a call may take where nobody says otherwise."""

P = ParamSpec("P")
T = TypeVar("T")


class ThreadsAndTime(Protocol):
    """What is needed of a reactor."""

    def seconds(self) -> float:
        """Of the steady clock."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any) -> IDelayedCall:
        """See IReactorTime."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """See IReactorFromThreads."""


@attrs.define(eq=False)
class _Errand:
    """One call.  waits: None = nobody does any more; begun: a thread has taken it up."""

    work: Callable[[], Any] = attrs.field(repr=False)
    name: str
    since: float
    waits: Deferred[Any] | None
    limit: IDelayedCall | None = None
    begun: bool = False


class Blocking(Service):
    """Threads for the calls of one pool."""

    def __init__(self, reactor: Any, name: str, threads: int = 8, limit: float = LIMIT) -> None:
        """What it works with.

        reactor: see ThreadsAndTime; name: of whose calls these are, for people ("pool burst"); threads: at the most;
        limit: seconds from the call to its answer, the wait for a thread included.
        """
        self._reactor: ThreadsAndTime = reactor
        self._name = name
        self._most = threads
        self.limit = limit
        self._queue: SimpleQueue[_Errand | None] = SimpleQueue()
        self._under_way: set[_Errand] = set()  # whom somebody waits for, or a thread is at
        self._threads = 0

    @property
    def busy(self) -> int:
        """Threads that are in a call, also in one that nobody waits for any more."""
        return sum(errand.begun for errand in self._under_way)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """What the function returns, or fails with, in a thread.

        Fails with NoAnswerError where the answer has not come in time, or the pool has stopped.  Who cancels it, or
        gives up waiting, leaves a call that has begun as it is.
        """
        if not self.running:
            return fail(NoAnswerError(f"{self._name}: nothing is asked any more, since the master stops"))
        name = getattr(function, "__qualname__", type(function).__name__)
        result: Deferred[T] = Deferred(lambda _: self._cancelled(errand))
        errand = _Errand(lambda: function(*args, **kwargs), name, self._reactor.seconds(), result)
        errand.limit = self._reactor.callLater(self.limit, self._late, errand)
        self._under_way.add(errand)
        if self._threads < min(self._most, len(self._under_way)):
            self._threads += 1
            # Thread.start() would wait until it runs, behind all others that want the interpreter
            _thread.start_new_thread(self._work, (f"{self._name} {self._threads}", self._queue))
        self._queue.put(errand)
        return result

    def stopService(self) -> None:
        """Nothing is begun any more; who waits is told at once; threads end when their calls do."""
        super().stopService()
        for errand in list(self._under_way):
            waits = self._give_up(errand)
            if waits is not None:
                waits.errback(NoAnswerError(f"{self._name}: {errand.name} was given up, since the master stops"))
        for _ in range(self._threads):
            self._queue.put(None)
        self._threads, self._queue = 0, SimpleQueue()  # another start has threads of its own

    # In a thread

    def _work(self, name: str, queue: SimpleQueue[_Errand | None]) -> None:
        threading.current_thread().name = name
        while (errand := queue.get()) is not None:
            if errand.waits is None:
                continue
            errand.begun = True
            try:
                answer = errand.work()
            except BaseException as error:
                self._reactor.callFromThread(self._ended, errand, None, error)
            else:
                self._reactor.callFromThread(self._ended, errand, answer, None)

    # In the reactor's

    def _ended(self, errand: _Errand, answer: Any, error: BaseException | None) -> None:
        self._under_way.discard(errand)
        waits = self._give_up(errand)
        if waits is None:
            took = self._reactor.seconds() - errand.since
            how = "failed" if error is not None else "answered"
            _log.warn(
                "{name}: {call} {how} after {took:.0f} s, when nobody waited any more: dropped",
                name=self._name,
                call=errand.name,
                how=how,
                took=took,
            )
        elif error is None:
            waits.callback(answer)
        else:
            waits.errback(Failure(error))

    def _cancelled(self, errand: _Errand) -> None:
        self._give_up(errand)

    def _late(self, errand: _Errand) -> None:
        at = "no answer" if errand.begun else f"it had no turn, all of {self._most} threads are in other calls"
        waits = self._give_up(errand)
        if waits is not None:
            waits.errback(NoAnswerError(f"{self._name}: {errand.name}: {at} within {self.limit:.0f} s"))

    def _give_up(self, errand: _Errand) -> Deferred[Any] | None:
        """Nobody waits any more; who did."""
        waits, errand.waits = errand.waits, None
        if errand.limit is not None and errand.limit.active():
            errand.limit.cancel()
        if not errand.begun:
            self._under_way.discard(errand)
        return waits
