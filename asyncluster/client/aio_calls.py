"""Single calls of the asyncio face: their futures, and how results come into their loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from asyncluster.client.calls import WAITING, Settled
from asyncluster.client.core import ThreadCore
from asyncluster.client.linked import Handle
from asyncluster.client.outcomes import CANCELLED, ERROR, STAYS, VALUE
from asyncluster.client.stays import Stay

T = TypeVar("T")


class TaskAwaitable(Handle, asyncio.Future[T]):
    """What `submit` gives.  A value that other tasks needed comes once this is awaited, or asked in any other way."""

    call: TaskCall

    @property
    def sink(self) -> Any:
        """See `linked.Handle`."""
        return self.call

    @property
    def home(self) -> object:
        """See `linked.Handle`."""
        return self.call.core.calls

    def outcome(self) -> tuple[int, Any] | None:
        """See `linked.Handle`."""
        return (CANCELLED, None) if self.cancelled() else self.call.outcome

    def done(self) -> bool:
        """As any future; asks for a value that stayed at the master."""
        self.call.ask()
        return super().done()

    def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
        """As any future; asks for a value that stayed at the master, now or when it has stayed."""
        self.call.watched = True
        self.call.ask()
        super().add_done_callback(*args, **kwargs)


class TaskCall:
    """Where the end of one submitted call goes: an asyncio future, cancelled from either side.

    outcome: how it ended, known in the reactor's thread before the loop is told.
    """

    def __init__(self, core: ThreadCore, future: TaskAwaitable[Any], code: int) -> None:
        self.seq = WAITING
        self.code = code
        self.future = future
        self.core = core
        self.outcome: tuple[int, Any] | None = None
        self.watched = False  # somebody wants the value
        self._stay: Stay | None = None
        future.call = self
        super(TaskAwaitable, future).add_done_callback(self._done)

    def ask(self) -> None:
        """Fetch the value if it stayed at the master."""
        if self._stay is not None:
            stay, self._stay = self._stay, None
            self.core.thread.reactor.callFromThread(self.core.fetch_soon, stay, self._fetched)

    def _fetched(self, kind: int, value: Any) -> None:
        self.outcome = kind, value
        enter(self.future.get_loop(), _settle_calls, [(self, kind, value, 0)])

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """See `calls.Sink`; in the loop's thread."""
        del wall
        if super(TaskAwaitable, self.future).done():
            return
        if kind == STAYS:
            self._stay = value
            if self.watched:
                self.ask()
        elif kind == VALUE:
            self.future.set_result(value)
        elif kind == ERROR:
            if isinstance(value, StopIteration):  # asyncio refuses to carry one
                raised = RuntimeError("the task raised StopIteration")
                raised.__cause__ = value
                value = raised
            self.future.set_exception(value)
        else:
            self.future.cancel()

    def _done(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled() and self.outcome is None:  # by its owner
            self.core.drop([self])


def settle_in_loop(loop: asyncio.AbstractEventLoop | None, settled: list[Settled]) -> None:
    """In the reactor's thread: chunks of maps are told here, calls in their loop."""
    calls = []
    for entry in settled:
        sink, kind, value, wall = entry
        if isinstance(sink, TaskCall):
            sink.outcome = kind, value
            calls.append(entry)
        else:
            sink.settle(kind, value, wall)
    if calls and loop is not None:
        enter(loop, _settle_calls, calls)


def _settle_calls(calls: list[Settled]) -> None:
    for sink, kind, value, wall in calls:
        sink.settle(kind, value, wall)


def enter(loop: asyncio.AbstractEventLoop, function: Callable[..., object], argument: object) -> None:
    """Call in the loop's thread; a loop that was closed wants nothing any more."""
    try:
        loop.call_soon_threadsafe(function, argument)
    except RuntimeError:
        if not loop.is_closed():
            raise
