"""A genuine `concurrent.futures.Future` that costs little until somebody waits for it.

The standard one makes a lock, a condition and two lists at birth.  Most of a large number of
futures are asked only after they are done, so here these are made when first needed.  One lock of
the module guards the moment between "nobody waits" and "the result is set"; it is held for a whole
batch of results at a time, and while holding it nothing but assignments happens.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures._base import CANCELLED as STATE_CANCELLED
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import Any, ClassVar, Protocol, TypeVar

from asyncluster.client.calls import WAITING, Settled
from asyncluster.client.linked import Handle
from asyncluster.client.outcomes import CANCELLED, ERROR, STAYS, VALUE
from asyncluster.client.stays import Answer, Stay

T = TypeVar("T")

_lock = threading.Lock()


class Dropper(Protocol):
    """Whom to tell that a call is no longer wanted."""

    def drop(self, sinks: list[Any]) -> None:
        """From any thread."""

    @property
    def calls(self) -> object:
        """Those of its job."""

    def fetch(self, stay: Stay, timeout: float | None) -> tuple[int, Any]:
        """Wait for a value that is at the master: kind and value.  Raises AsynClusterError in the reactor's thread."""

    def fetch_soon(self, stay: Stay, answer: Answer) -> None:
        """The same in the reactor's thread, without waiting."""


class TaskFuture(Handle, Future[T]):
    """The future of one submitted call.

    A task is known to run once it has written something, or has been at work for about a twentieth of a second.
    From then on the future is running until it is done, as `concurrent.futures` has no way back: also while a
    lost or returned task is queued once more.
    """

    # instances begin without attributes of their own: these stand for "as new"
    _state = PENDING
    _result = None
    _exception = None
    _cond: threading.Condition | None = None
    _waiters: list[Any]
    _done_callbacks: list[Callable[[Future[T]], object]]
    seq = WAITING
    _over: ClassVar = frozenset({STATE_CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED})

    def __init__(self, core: Dropper, code: int) -> None:
        self._core = core
        self.code = code

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]  # an attribute there, made late here
        condition = self._cond
        if condition is None:
            with _lock:
                condition = self._cond
                if condition is None:
                    self._waiters = []
                    self._done_callbacks = []
                    condition = self._cond = threading.Condition()
        return condition

    def done(self) -> bool:
        """Whether it has ended, by value, exception or cancellation."""
        return self._state in self._over

    def running(self) -> bool:
        """Whether the task is known to run, or to have run before it was lost and queued again."""
        return self._state == RUNNING

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state in (STATE_CANCELLED, CANCELLED_AND_NOTIFIED)

    def result(self, timeout: float | None = None) -> T:
        """As in `concurrent.futures`."""
        if self._state == FINISHED and self._exception is None:
            value: Any = self._result
        else:
            begun = time.monotonic()
            value = super().result(timeout)
            if timeout is not None:
                timeout -= time.monotonic() - begun
        return self._fetched(value, timeout) if type(value) is Stay else value

    def _fetched(self, stay: Stay, timeout: float | None) -> T:
        """The value that other tasks needed and that was not sent here with its result."""
        kind, value = self._core.fetch(stay, None if timeout is None else max(0.0, timeout))
        if kind == ERROR:
            self._exception = value
            raise value
        self._result = value
        return value  # type: ignore[no-any-return]  # T by now

    def cancel(self) -> bool:
        """Ask that the call be not made; False when it is known to run or has ended: nothing changes then.

        A worker may have begun it a moment ago, which is not known yet: then this is True, and what it began runs
        to its end, unseen.
        """
        if not super().cancel():
            return False
        if self._notify_cancelled():
            self._core.drop([self])
        return True

    def give_up(self) -> None:
        """As `cancel`, for one that runs too: it is cancelled, and its task runs to its end, unseen."""
        self._core.drop([self])
        self.settle(CANCELLED, None, 0)

    def _notify_cancelled(self) -> bool:
        """Tell `wait` and `as_completed`; False when they were told before."""
        with self._condition:
            if self._state != STATE_CANCELLED:
                return False
            self.set_running_or_notify_cancel()
            return True

    def _cancelled_elsewhere(self) -> None:
        """It is cancelled even if it runs; `Future.cancel` would not."""
        with self._condition:
            if self.done():
                return
            self._state = STATE_CANCELLED
            self._condition.notify_all()
        self._invoke_callbacks()  # type: ignore[attr-defined]  # typeshed does not know it
        self._notify_cancelled()

    def started(self) -> None:
        """A sign of life came from the running task; means nothing to a future that is running, cancelled or done."""
        with self._condition:
            if self._state == PENDING:
                self.set_running_or_notify_cancel()

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """See `calls.Sink`; the slow way, for one that somebody watches."""
        del wall
        try:
            if kind == VALUE:
                self.set_result(value)
            elif kind == STAYS:
                if not self._stayed(value):  # callbacks will ask for it, and could not wait in the reactor's thread
                    self._core.fetch_soon(value, lambda kind, value: self.settle(kind, value, 0))
            elif kind == ERROR:
                self.set_exception(value)
            else:
                self._cancelled_elsewhere()
        except InvalidStateError:  # cancelled by its owner while the result was on its way
            pass

    def _stayed(self, stay: Stay) -> bool:
        """It is done, and its value is at the master; False, and nothing is changed, where callbacks wait for it."""
        with self._condition:  # no callback comes in between
            if self._done_callbacks:
                return False
            self.set_result(stay)  # type: ignore[arg-type]  # stands for a T
            return True

    # linked.Handle

    @property
    def sink(self) -> Any:
        """See `linked.Handle`."""
        return self

    @property
    def home(self) -> object:
        """See `linked.Handle`."""
        return self._core.calls

    def outcome(self) -> tuple[int, Any] | None:
        """See `linked.Handle`."""
        if not self.done():
            return None
        if self.cancelled():
            return CANCELLED, None
        if self._exception is not None:
            return ERROR, self._exception
        return (STAYS if type(self._result) is Stay else VALUE), self._result


def settle_futures(settled: list[Settled]) -> None:
    """Set the results of a batch."""
    watched: list[Settled] = []
    finished = FINISHED
    with _lock:
        for entry in settled:
            future, kind, value, _ = entry
            if future._cond is not None:  # type: ignore[attr-defined]  # TaskFuture or ChunkSink
                watched.append(entry)
                continue
            if kind == CANCELLED:
                future._state = CANCELLED_AND_NOTIFIED  # type: ignore[attr-defined]  # there is nobody to notify
                continue
            if kind != ERROR:  # a value, or what stands for one
                future._result = value  # type: ignore[attr-defined]  # as above
            else:
                future._exception = value  # type: ignore[attr-defined]  # as above
            future._state = finished  # type: ignore[attr-defined]  # last: `done` looks without a lock
    for sink, kind, value, wall in watched:
        sink.settle(kind, value, wall)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # the parent's reactor thread may have held it


os.register_at_fork(after_in_child=_after_fork)
