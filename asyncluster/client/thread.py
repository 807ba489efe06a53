"""One private reactor in one daemon thread, for all blocking and asyncio faces of this process.

It is never the global reactor, so it runs beside a global Twisted reactor, a Jupyter kernel or any
asyncio loop.  A forked child starts without it: its objects from before the fork are told so.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.python.threadpool import ThreadPool

from asyncluster.errors import AsynClusterError
from asyncluster.steady import count_steadily

T = TypeVar("T")

_EXIT_SECONDS = 3.0


class Resident(Protocol):
    """Something that lives on the private reactor.  waited_for: at exit the interpreter waits until it is idle."""

    waited_for: bool

    def forked(self) -> None:
        """This is a child now: the connection belongs to the parent."""

    async def when_idle(self) -> None:
        """Until there is nothing to wait for."""

    async def exiting(self) -> None:
        """The interpreter exits: say good-bye quickly."""


class ReactorThread:
    """A running private reactor."""

    def __init__(self) -> None:
        self.reactor: Any = EPollReactor()  # provides IReactor, which zope cannot tell mypy
        # the global reactor may be running in the main thread, and stays the one that claims "the" I/O thread
        self.reactor._registerAsIOThread = False
        count_steadily(self.reactor)
        pool = ThreadPool(0, 4, "asyncluster-names")
        pool.threadFactory = _daemon_thread  # type: ignore[assignment]  # declared as the class, used as a function
        self.reactor.threadpool = pool  # host names are resolved there; daemons never delay the exit
        self.residents: weakref.WeakSet[Resident] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._run, name="asyncluster", daemon=True)
        started = threading.Event()
        self.reactor.callWhenRunning(pool.start)
        self.reactor.callWhenRunning(started.set)
        self._thread.start()
        started.wait()

    def _run(self) -> None:
        self.reactor.run(installSignalHandlers=False)

    def start(self, function: Callable[[], Awaitable[T]]) -> Future[T]:
        """Run a coroutine function there."""
        outcome: Future[T] = Future()

        async def run() -> T:
            return await function()

        def begin() -> None:
            done = Deferred.fromCoroutine(run())
            done.addCallbacks(outcome.set_result, lambda failure: outcome.set_exception(failure.value))

        self.reactor.callFromThread(begin)
        return outcome

    def run(self, function: Callable[[], Awaitable[T]], timeout: float | None = None) -> T:
        """Run a coroutine function there and wait; timeout in seconds, raises TimeoutError."""
        return self.wait(self.start(function), timeout)

    def wait(self, outcome: Future[T], timeout: float | None = None) -> T:
        """Wait for what `start` gave."""
        if threading.current_thread() is self._thread:
            raise AsynClusterError("this would wait for itself: blocking calls are not allowed inside a done-callback")
        try:
            return outcome.result(timeout)
        except AsynClusterError as error:
            # What went on inside the reactor helps nobody who reads this; the sentence does.
            raise error.with_traceback(None) from error.__cause__

    def wait_for_residents(self) -> None:
        """Until those that want it are idle, or somebody presses Ctrl-C.  Not where that is what ended the program."""
        waiting = [self.start(resident.when_idle) for resident in list(self.residents) if resident.waited_for]
        try:
            if getattr(sys, "last_type", None) is not KeyboardInterrupt:
                concurrent.futures.wait(waiting)
        except KeyboardInterrupt:
            print("asyncluster: interrupted; calls that have not ended are cancelled", file=sys.stderr)

    def stop(self) -> None:
        """Let residents say good-bye, then end; at exit only."""
        with contextlib.suppress(Exception):  # the process is ending; nobody can do anything about it
            self.run(self._farewell, _EXIT_SECONDS)
        self.reactor.callFromThread(self.reactor.stop)
        self._thread.join(_EXIT_SECONDS)

    async def _farewell(self) -> None:
        for resident in list(self.residents):
            await resident.exiting()


def _daemon_thread(*args: Any, **kwargs: Any) -> threading.Thread:
    return threading.Thread(*args, **kwargs, daemon=True)


_current: ReactorThread | None = None
_parents: list[ReactorThread] = []
_lock = threading.Lock()


def reactor_thread() -> ReactorThread:
    """The process's private reactor, started on first use."""
    global _current
    with _lock:
        if _current is None:
            _current = ReactorThread()
            if not _parents:
                atexit.register(_at_exit)
                # before all others at exit, as executors do: an embedded master is ended among them
                getattr(threading, "_register_atexit", atexit.register)(_wait_at_exit)
        return _current


def _wait_at_exit() -> None:
    if _current is not None:
        _current.wait_for_residents()


def _at_exit() -> None:
    if _current is not None:
        _current.stop()


def _after_fork() -> None:
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        _parents.append(_current)  # kept for ever: closing its sockets here would disturb the parent
        for resident in list(_current.residents):
            resident.forked()
        _current = None


os.register_at_fork(after_in_child=_after_fork)
