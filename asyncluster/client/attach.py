"""Detached jobs, found again: their results (`attach`), and what may be asked and done about any job by number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any, Self

from asyncluster.client.calls import Sink
from asyncluster.client.core import CLOSE_SECONDS, ThreadCore
from asyncluster.client.future import TaskFuture, settle_futures
from asyncluster.client.opening import Visit
from asyncluster.client.place import RECONNECT, OwnPlace
from asyncluster.client.session import Session
from asyncluster.client.views import job_view
from asyncluster.errors import JobClosedError, LinkLostError
from asyncluster.model.job import JobView

EVERYTHING = -1
"""Instead of a task's number."""


class _VisitCore(ThreadCore):
    """A link without a job of its own."""

    def __init__(self, job: int, reconnect: float, where: dict[str, Any], trust: bool) -> None:
        super().__init__(settle_futures, None, {}, reconnect, **where)
        self.job = job
        self._trust = trust
        self.futures: dict[int, TaskFuture[Any]] = {}

    def opening(self) -> Visit:
        """See `ThreadCore`."""
        return Visit(self.job, self._expect, self._trust)

    def _expect(self, session: Session, ranges: list[tuple[int, int]]) -> None:
        for first, last in ranges:
            for seq in range(first, last + 1):
                future: TaskFuture[Any] = TaskFuture(self, EVERYTHING)
                future.seq = seq
                self.futures[seq] = session.calls.out[seq] = future

    def drop(self, sinks: list[Sink]) -> None:
        """Tasks that are no longer wanted: of a job by number that is an order of its own."""
        if self.refusal is None:
            self.asking("cancel_job", self.job, [sink.seq for sink in sinks])

    async def _close(self, cancel: bool) -> None:
        del cancel  # the session is a visitor's: nothing is waited for
        ended = self.session.close(JobClosedError("this was closed; the job goes on"))
        await ended.addTimeout(CLOSE_SECONDS, self.thread.reactor, lambda *_: None)


class Visitor:
    """A link to a master that opens no job; a context manager."""

    def __init__(self, job: int, reconnect: float, where: dict[str, Any], trust: bool = False) -> None:
        self._core = _VisitCore(job, reconnect, where, trust)
        self._core.connect()

    def ask(self, verb: str, *args: object) -> Any:
        """Ask the master; again where the link was lost over it and came back."""
        while True:
            try:
                return self._core.thread.wait(self._core.asking(verb, *args))
            except LinkLostError:
                if self._core.refusal is not None:
                    raise

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

    def cancel(self, job: int, tasks: tuple[int, ...] = ()) -> int:
        """Cancel these tasks, or all that have not ended; how many that were."""
        return int(self.ask("cancel_job", job, list(tasks)))

    def forget(self, job: int) -> None:
        """Drop a detached job: its tasks are cancelled, its results and output are gone."""
        self.ask("forget_job", job)

    def pause(self, job: int) -> None:
        """Give out no more tasks of that job; what runs goes on."""
        self.ask("pause", job)

    def resume(self, job: int) -> None:
        """Take `pause` back."""
        self.ask("unpause", job)

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
        return self._core.futures

    def results(self, timeout: float | None = None) -> Iterator[tuple[int, Any]]:
        """(number, value) of each task in the order of their numbers, as they come.

        timeout: seconds for all, then TimeoutError.  The exception of a task is raised in its place; after it the
        `futures` have the rest.
        """
        end = None if timeout is None else time.monotonic() + timeout
        for number, future in sorted(self.futures.items()):
            yield number, future.result(None if end is None else max(0.0, end - time.monotonic()))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for all tasks to end; whether they have, where that took longer than `timeout` seconds."""
        if wait(self.futures.values(), timeout).not_done:
            return False
        self._core.check()  # that it was forgotten, or its master is gone, is no end of its tasks
        return True

    def cancel(self, *tasks: int) -> int:
        """Cancel these tasks, or all that have not ended; how many that were."""
        return int(self.ask("cancel_job", self.job, list(tasks)))

    def forget(self) -> None:
        """Drop the job: its tasks are cancelled, its results and output are gone."""
        self.ask("forget_job", self.job)
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
    if isinstance(job, bool) or not isinstance(job, int) or job < 1:
        raise ValueError(f"job is the number that `detach` gave, not {job!r}")
    if address is None and socket is None:
        socket = _personal()
    where = {"user": user, "password": password, "server_password": server_password}
    return Attached(job, reconnect=reconnect, trust=trust, address=address, socket=socket, **where)


def _personal() -> str:
    from asyncluster.errors import MasterNotFoundError
    from asyncluster.personal import find

    found = find()
    if found is None:  # a new one would know no job
        raise MasterNotFoundError("no master of yours runs on this machine")
    return found
