"""Detached jobs, found again: their results (`attach`), and what may be asked and done about any job by number."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from typing import Any, Self, TypeVar

from asyncluster.client.calls import Settled, Sink
from asyncluster.client.core import CLOSE_SECONDS, ThreadCore
from asyncluster.client.future import TaskFuture, settle_futures
from asyncluster.client.opening import Visit
from asyncluster.client.orders import Order, cancel, forget, is_end_of_link
from asyncluster.client.place import RECONNECT, OwnPlace
from asyncluster.client.session import Session
from asyncluster.client.views import job_view
from asyncluster.errors import AsynClusterError, JobClosedError
from asyncluster.model.job import JobView

T = TypeVar("T")

EVERYTHING = -1
"""Instead of a task's number."""


class VisitCore(ThreadCore):
    """A link without a job of its own.

    settle: as for `Session`; make: gives where the end of a task goes, in the reactor's thread.
    """

    def __init__(
        self,
        job: int,
        reconnect: float,
        where: dict[str, Any],
        trust: bool,
        settle: Callable[[list[Settled]], None] = settle_futures,
        make: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(settle, None, {}, reconnect, **where)
        self.job = job
        self._trust = trust
        self._make = make or self._future
        self.sinks: dict[int, Any] = {}
        """By number of the task."""

    def opening(self) -> Visit:
        """See `ThreadCore`."""
        return Visit(self.job, self._expect, self._trust)

    def _expect(self, session: Session, ranges: list[tuple[int, int]]) -> None:
        for first, last in ranges:
            for seq in range(first, last + 1):
                sink = self._make()
                sink.seq = seq
                self.sinks[seq] = session.calls.out[seq] = sink

    def _future(self) -> TaskFuture[Any]:
        return TaskFuture(self, EVERYTHING)

    def ask(self, verb: str, *args: object) -> Future[Any]:
        """Ask the master; again where the link was lost over it and came back."""
        return self._give(lambda order: order.ask(verb, *args))

    def cancel(self, job: int, tasks: tuple[int, ...]) -> Future[int | None]:
        """See `Attached.cancel`."""
        return self._give(lambda order: cancel(order, job, tasks))

    def forget(self, job: int) -> Future[None]:
        """See `Attached.forget`."""
        return self._give(lambda order: forget(order, job))

    def _give(self, what: Callable[[Order], Awaitable[T]]) -> Future[T]:
        self.check()
        return self.thread.start(lambda: what(Order(self.thread.reactor, self.session)))

    def drop(self, sinks: list[Sink]) -> None:
        """Tasks that are no longer wanted: of a job by number that is an order of its own."""
        if self.refusal is None:
            self.ask("drop_tasks", self.job, [sink.seq for sink in sinks])

    async def _close(self, cancel: bool) -> None:
        del cancel  # the session is a visitor's: nothing is waited for
        ended = self.session.close(JobClosedError("this was closed; the job goes on"))
        await ended.addTimeout(CLOSE_SECONDS, self.thread.reactor, lambda *_: None)


class Visitor:
    """A link to a master that opens no job; a context manager."""

    def __init__(self, job: int, reconnect: float, where: dict[str, Any], trust: bool = False) -> None:
        self._core = VisitCore(job, reconnect, where, trust)
        self._core.connect()

    def ask(self, verb: str, *args: object) -> Any:
        """Ask the master; again where the link was lost over it and came back."""
        return self._wait(self._core.ask(verb, *args))

    def _wait(self, outcome: Future[T]) -> T:
        return self._core.thread.wait(outcome)

    def close(self) -> None:
        """Go; jobs stay as they are."""
        self._core.shutdown(wait=True, cancel=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Jobs(Visitor):
    """Jobs at a master, by their numbers: yours, and everybody's when you administer it.  A context manager.

    where: address, socket, user, password, server_password as for `Cluster`.  Raises as `Cluster` does, and
    each method RefusedError for a job that is not there or not yours.
    """

    def __init__(self, *, reconnect: float = RECONNECT, **where: Any) -> None:
        super().__init__(0, reconnect, where)

    def all(self) -> list[JobView]:
        """The open jobs."""
        return [job_view(fields) for fields in self.ask("jobs")]

    def info(self, job: int) -> dict[str, Any]:
        """What the master knows of a job: a JobView's fields, its options, and bytes of output kept and dropped."""
        return dict(self.ask("job_info", job))

    def failed(self, job: int, start: int = 0) -> tuple[list[tuple[int, int, bytes]], int]:
        """Some tasks that gave no value, from the so-manyth on, as (number, outcome, payload); how many there are."""
        answer = self.ask("job_failed", job, start)
        return [(int(seq), int(outcome), bytes(payload)) for seq, outcome, payload in answer["ends"]], answer["count"]

    def cancel(self, job: int, tasks: tuple[int, ...] = ()) -> int | None:
        """Cancel these tasks, or all that have not ended; how many that were.  What runs of them is ended.

        None: the connection was lost over it, so it was said again: they are cancelled, how many is not known.
        Raises RefusedError for a task that never was, and cancels nothing then.
        """
        return self._wait(self._core.cancel(job, tasks))

    def forget(self, job: int) -> None:
        """Drop a detached job: its tasks are cancelled, its results and output are gone."""
        self._wait(self._core.forget(job))

    def pause(self, job: int) -> None:
        """Give out no more tasks of that job; what runs goes on."""
        self.ask("pause_job", job)

    def resume(self, job: int) -> None:
        """Take `pause` back."""
        self.ask("resume_job", job)

    def explain(self, job: int, task: int) -> dict[str, Any]:
        """How a task is, and the one reason for it: {"state": …, "reason": …}."""
        return dict(self.ask("explain", job, task))

    def output(
        self, job: int, task: int = EVERYTHING, stream: int = 0, position: tuple[int, int] = (0, 0)
    ) -> tuple[list[tuple[int, int, bytes]], tuple[int, int], bool]:
        """What tasks of a detached job wrote after `position`: pieces (task, stream, bytes), where to go on, more now?

        task: one only; stream: 1 or 2 only.  A piece of task -1 is from the master itself.
        """
        answer = self.ask("job_output", job, task, stream, *position)
        file, offset = answer["position"]
        return [(int(seq), int(to), bytes(data)) for seq, to, data in answer["pieces"]], (file, offset), answer["more"]


class Attached(Visitor):
    """A detached job, found again.  Made by `attach`.

    futures: of each task that the job still knows, by number; as those of `Cluster.submit`.  Leaving the `with` block
    leaves the job where it is, unless it was told to `forget`.
    """

    def __init__(self, job: int, *, reconnect: float = RECONNECT, trust: bool = False, **where: Any) -> None:
        super().__init__(job, reconnect, where, trust)
        self.job = job

    @property
    def futures(self) -> dict[int, TaskFuture[Any]]:
        """By number of the task."""
        return self._core.sinks

    def results(self, timeout: float | None = None, *, return_exceptions: bool = False) -> Iterator[tuple[int, Any]]:
        """(number, value) of each task in the order of their numbers, as they come.

        timeout: seconds for all, then TimeoutError.  The exception of a task is raised in its place; after it the
        `futures` have the rest.  return_exceptions: it is given instead of the value (as `asyncio.gather` does), that
        of a cancelled task is a `concurrent.futures.CancelledError`.
        """
        end = None if timeout is None else time.monotonic() + timeout
        for number, future in sorted(self.futures.items()):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not return_exceptions:
                yield number, future.result(left)
                continue
            try:
                error = future.exception(left)
            except CancelledError as cancelled:
                error = cancelled
            if error is not None and self.is_end_of_link(error):
                raise error
            yield number, future.result() if error is None else error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for all tasks to end; whether they have, where that took longer than `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        for future in self.futures.values():  # each by itself: to wait for all at once locks all, and the reactor out
            left = None if end is None else max(0.0, end - time.monotonic())
            if not future.done() and wait([future], left).not_done:
                return False
        self._core.check()  # that it was forgotten, or its master is gone, is no end of its tasks
        return True

    def is_end_of_link(self, error: BaseException) -> bool:
        """Whether a future failed with this since nothing more comes of its task: the job was forgotten, say.

        That is no end of the task.
        """
        return is_end_of_link(self._core.session, error)

    def cancel(self, *tasks: int) -> int | None:
        """Cancel these tasks, or all that have not ended; how many that were.  What runs of them is ended.

        None: the connection was lost over it, so it was said again: they are cancelled, how many is not known.
        Raises RefusedError for a task that never was, and cancels nothing then.
        """
        return self._wait(self._core.cancel(self.job, tasks))

    def forget(self) -> None:
        """Drop the job: its tasks are cancelled, its results and output are gone."""
        self._wait(self._core.forget(self.job))
        self.close()

    def __repr__(self) -> str:
        return f"<Attached to {self._core.describe()}>"


def attach(
    job: int,
    address: str | OwnPlace | None = None,
    *,
    socket: Any = None,
    user: str | None = None,
    password: Any = None,
    server_password: Any = None,
    reconnect: float = RECONNECT,
    trust: bool = False,
) -> Attached:
    """Find a detached job again, from any process of its owner; where the master is is said as to `Cluster`.

    `with asyncluster.attach(job) as found: for number, value in found.results(): …`
    trust: an administrator reads somebody else's results, too; they are pickles, which run what code their owner likes.
    Raises RefusedError when there is no such job of yours, or it is not detached; MasterNotFoundError, ProofError.
    """
    where = {"user": user, "password": password, "server_password": server_password}
    where = place_of_job(job, address=address, socket=socket, **where)
    try:
        return Attached(job, reconnect=reconnect, trust=trust, **where)
    except AsynClusterError as error:  # our insides help nobody who reads it
        raise error.with_traceback(None) from error.__cause__


def place_of_job(job: object, **where: Any) -> dict[str, Any]:
    """Where that job is: as was said, else at the personal master.  Raises ValueError, MasterNotFoundError."""
    if isinstance(job, bool) or not isinstance(job, int) or job < 1:
        raise ValueError(f"job is the number that `detach` gave, not {job!r}")
    if where.get("address") is None and where.get("socket") is None:
        return {**where, "socket": _personal()}
    return where


def _personal() -> str:
    from asyncluster.errors import MasterNotFoundError
    from asyncluster.personal import find, nobody

    found = find()
    if found is None:  # a new one would know no job
        raise MasterNotFoundError(nobody())
    return found
