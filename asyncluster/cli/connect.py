"""From the global options to a cluster; the only module of the command line that names the client."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from asyncluster.cli.given import MOST_PASSWORD, content
from asyncluster.cli.waiting import full, somebody_looks
from asyncluster.errors import AsynClusterError, JobClosedError, MasterNotFoundError
from asyncluster.personal.paths import find, nobody

if TYPE_CHECKING:
    from asyncluster.cli.desk import Desk
    from asyncluster.client.accounts import Accounts
    from asyncluster.client.attach import Attached, Jobs
    from asyncluster.client.futures import Cluster
    from asyncluster.client.jobclient import JobClient
    from asyncluster.client.pools import Pools
    from asyncluster.client.thread import ReactorThread
    from asyncluster.model.job import JobView
    from asyncluster.model.node import NodeView

T = TypeVar("T")
Told = Callable[[int, Any, BaseException | None], None]
"""Called in the reactor's thread with a call's number and its value or error."""


@attrs.frozen
class Place:
    """Where the master is, as far as the user said; all None: the personal one."""

    socket: str | None = None
    master: str | None = None
    user: str | None = None
    password_file: str | None = None

    @property
    def is_personal(self) -> bool:
        """Nothing was said."""
        return self.socket is None and self.master is None


def open_cluster(place: Place, **options: Any) -> Cluster:
    """The cluster there; a context manager.  Unlike `Cluster()` this never starts a master.

    options: further ones of `Cluster`.  Raises MasterNotFoundError, ProofError, RefusedError.
    """
    from asyncluster.client.futures import Cluster

    if place.master is not None:
        return Cluster(place.master, user=place.user, password=password_for(place), **options)
    return Cluster(socket=socket_of(place), **options)


def open_jobs(place: Place) -> Jobs:
    """What may be asked and done there about jobs by number; a context manager.  Raises as `open_cluster` does."""
    from asyncluster.client.attach import Jobs

    return Jobs(**_where(place))


def open_pools(place: Place) -> Pools:
    """What may be asked and done there about pools; a context manager.  Raises as `open_cluster` does."""
    from asyncluster.client.pools import Pools

    return Pools(**_where(place))


def open_accounts(place: Place) -> Accounts:
    """What administrators ask and do there about accounts; a context manager.  Raises as `open_cluster` does."""
    from asyncluster.client.accounts import Accounts

    return Accounts(**_where(place))


def attach_to(place: Place, job: int) -> Attached:
    """A detached job there; a context manager.  Raises as `open_cluster` does, RefusedError."""
    from asyncluster.client.attach import Attached

    return Attached(job, **_where(place))


def _where(place: Place) -> dict[str, Any]:
    if place.master is None:
        return {"socket": socket_of(place)}
    return {"address": place.master, "user": place.user, "password": password_for(place)}


@attrs.frozen
class SourceJob:
    """A job whose namespace is a Python source."""

    _client: JobClient
    _thread: ReactorThread

    def start(self, name: str, calls: Sequence[tuple[object, ...]], named: dict[str, object], told: Told) -> None:
        """Call that function once for each tuple of arguments; returns at once."""

        def begin() -> None:
            for number, args in enumerate(calls):
                ended = self._client.run(name, *args, **named)
                ended.addCallbacks(
                    lambda value, number=number: told(number, value, None),
                    lambda failure, number=number: told(number, None, failure.value),
                )

        self._thread.reactor.callFromThread(begin)

    def why_not_begun(self) -> str:
        """Why the source is not run yet; "" when that is not known."""
        try:
            return full(self.nodes()) if somebody_looks() else ""
        except JobClosedError:  # still connecting
            return ""

    @property
    def number(self) -> int:
        """The master's, of the job."""
        return self._client.job

    def nodes(self) -> list[NodeView]:
        """The nodes that the master knows."""
        return self._thread.run(_awaiting(self._client.nodes))

    def jobs(self) -> list[JobView]:
        """The jobs that the master shows us."""
        return self._thread.run(_awaiting(self._client.jobs))


@contextlib.contextmanager
def open_source(place: Place, file: str, niceness: int, desk: Desk) -> Iterator[SourceJob]:
    """Open a job with that source, whose output goes to the desk; on the way out what has not ended is cancelled.

    Raises as `open_cluster` does, and StepFailedError when the source fails on a node.
    """
    from asyncluster.client.jobclient import JobClient
    from asyncluster.client.thread import reactor_thread

    where: dict[str, Any] = {"socket": socket_of(place)} if place.master is None else {"socket": place.master}
    if place.master is not None:
        where |= {"user": place.user, "password": password_for(place)}
    thread = reactor_thread()
    client = JobClient(codePath=file, niceness=niceness, output=desk, reactor=thread.reactor, **where)
    try:
        started = thread.start(_awaiting(client.startup))
        started.add_done_callback(desk.put)
        job = SourceJob(client, thread)
        for _ in desk.ends(1, job.why_not_begun):  # meanwhile it shows what the source writes
            thread.wait(started)
        yield job
    finally:
        thread.run(_awaiting(client.shutdown), timeout=5.0)


def _awaiting(function: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    async def run() -> T:
        return await function()

    return run


def socket_of(place: Place) -> str:
    """The socket that was named, or the personal master's; raises MasterNotFoundError."""
    path = place.socket or find()
    if path is None:
        raise MasterNotFoundError(nobody())
    return path


def password_for(place: Place) -> str | None:
    """From the file, the environment (None: the client looks there) or the keyboard."""
    if place.password_file is not None:
        return read_password(place.password_file)
    if "ASYNCLUSTER_PASSWORD" in os.environ:
        return None
    return _prompt(f"password of {place.user or 'your account'}")


@functools.cache  # a command that connects twice asks once
def _prompt(text: str) -> str:
    answer: str = click.prompt(text, hide_input=True, err=True)
    return answer


def read_password(path: str) -> str:
    """The first line of a file that only its owner can read; raises AsynClusterError."""

    def private(status: os.stat_result) -> None:
        if status.st_mode & 0o077:
            raise AsynClusterError(f"others can read {path}; chmod 600 {path}")

    try:
        first, _, _ = content(path, MOST_PASSWORD, private).partition(b"\n")
        return first.decode("utf-8").rstrip("\r")
    except (click.ClickException, UnicodeDecodeError) as error:
        raise AsynClusterError(f"cannot read a password from {path}: {error}") from error
