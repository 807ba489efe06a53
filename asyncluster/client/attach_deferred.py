"""`DeferredCluster.attach`: a detached job, found again by a Twisted program, on its own reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from asyncluster.client.attach import EVERYTHING, place_of_job
from asyncluster.client.connect import connect_session
from asyncluster.client.find import find_place
from asyncluster.client.opening import Visit
from asyncluster.client.orders import Order, cancel, forget, is_end_of_link
from asyncluster.client.outcomes import ERROR, STAYS, VALUE
from asyncluster.client.place import Place, check_reconnect
from asyncluster.client.session import Session
from asyncluster.client.timers import steadily
from asyncluster.errors import JobClosedError

IN_A_TURN = 10_000
"""Results that are gathered in one turn of the reactor."""


class _End:
    """Where the end of one task goes, and who waits for it."""

    def __init__(self, session: Session, seq: int) -> None:
        self.seq, self.code = seq, EVERYTHING
        self._session = session
        self.outcome: tuple[int, Any] | None = None
        self._waiting: list[Deferred[Any]] = []

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """See `calls.Sink`."""
        if kind == STAYS:
            self._session.calls.stays.fetch(value, lambda kind, value: self.settle(kind, value, wall))
            return
        self.outcome = kind, value
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                _fire(each, kind, value)

    def deferred(self) -> Deferred[Any]:
        """A new one; who cancels it waits no longer, which means nothing to the task."""
        found: Deferred[Any] = Deferred(self._unwanted)
        if self.outcome is None:
            self._waiting.append(found)
        else:
            _fire(found, *self.outcome)
        return found

    def _unwanted(self, deferred: Deferred[Any]) -> None:
        if deferred in self._waiting:  # else another one, told just before, has it cancelled
            self._waiting.remove(deferred)


def _fire(deferred: Deferred[Any], kind: int, value: Any) -> None:
    if kind == VALUE:
        deferred.callback(value)
    else:
        deferred.errback(value if kind == ERROR else CancelledError())


class DeferredAttached:
    """As `Attached`, for Twisted.  Made by `DeferredCluster.attach`; used in the reactor's thread only.

    Its Deferreds may be cancelled, or never asked for, without any harm to the tasks.
    """

    def __init__(self, reactor: Any, session: Session, job: int, ends: dict[int, _End]) -> None:
        self.job = job
        self.session = session
        self._reactor = reactor
        self._ends = ends

    @property
    def tasks(self) -> list[int]:
        """The numbers of the tasks that the job still knows, in order."""
        return sorted(self._ends)

    def result(self, task: int) -> Deferred[Any]:
        """Fires with the value of that task, fails with its exception.  Raises KeyError where there is no such task."""
        return self._ends[task].deferred()

    def results(self, *, return_exceptions: bool = False) -> Deferred[list[tuple[int, Any]]]:
        """(number, value) of each task, in order, once all have ended; fails as the first that failed.

        return_exceptions: exceptions stand in the place of values; `twisted.internet.defer.CancelledError` is that of a
        cancelled task.
        """
        return Deferred.fromCoroutine(self._results(return_exceptions))

    async def _results(self, tolerant: bool) -> list[tuple[int, Any]]:
        found: list[tuple[int, Any]] = []
        for place, task in enumerate(self.tasks, 1):
            if place % IN_A_TURN == 0:
                await deferLater(self._reactor, 0)
            end = self._ends[task]
            try:
                value = await end.deferred()
            except Exception as error:
                # where it has not ended it is we who are cancelled
                if not tolerant or end.outcome is None or is_end_of_link(self.session, error):
                    raise
                value = error
            found.append((task, value))
        return found

    def wait(self, timeout: float | None = None) -> Deferred[bool]:
        """Fires with True when all tasks have ended, with False where that takes longer than `timeout` seconds.

        Fails where nothing more will be heard of them: the job was forgotten, or its master is gone.
        """
        ended = self.results(return_exceptions=True).addCallback(lambda _: True)
        if timeout is None:
            return ended
        return ended.addTimeout(timeout, self._reactor).addErrback(_late)

    def cancel(self, *tasks: int) -> Deferred[int | None]:
        """Cancel these tasks, or all that have not ended; fires with how many that were.  What runs of them is ended.

        None: the connection was lost over it, so it was said again: they are cancelled, how many is not known.
        Fails with RefusedError for a task that never was, and cancels nothing then.
        """
        return Deferred.fromCoroutine(cancel(self._order(), self.job, tasks))

    def forget(self) -> Deferred[None]:
        """Drop the job: its tasks are cancelled, its results and output are gone.  Closes this, too."""
        return Deferred.fromCoroutine(forget(self._order(), self.job)).addCallback(lambda _: self.close())

    def close(self) -> Deferred[None]:
        """Go; the job stays as it is.  Fires when the link is down."""
        return self.session.close(JobClosedError("this was closed; the job goes on"))

    def _order(self) -> Order:
        return Order(self._reactor, self.session)


def _late(failure: Failure) -> bool:
    failure.trap(DeferredTimeoutError)
    return False


async def attach_deferred(
    reactor: Any, job: int, reconnect: float, trust: bool, where: dict[str, Any]
) -> DeferredAttached:
    """See `DeferredCluster.attach`; where: as for `place_of_job`."""
    ends: dict[int, _End] = {}

    def expect(session: Session, ranges: list[tuple[int, int]]) -> None:
        for first, last in ranges:
            for seq in range(first, last + 1):
                ends[seq] = session.calls.out[seq] = _End(session, seq)

    def find() -> Place:  # which looks at files
        return find_place(**place_of_job(job, **where))

    check_reconnect(reconnect)
    place = await deferToThreadPool(reactor, reactor.getThreadPool(), find)
    reactor = steadily(reactor)  # once it runs: a daemon may have forked before
    session = await connect_session(reactor, place, Visit(job, expect, trust), reconnect=reconnect)
    return DeferredAttached(reactor, session, job, ends)
