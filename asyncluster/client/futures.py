"""`Cluster`: a `concurrent.futures.Executor` whose workers are anywhere.

Runs on the process's private reactor thread.  `submit` pickles, appends to a deque and wakes the reactor only when
it sleeps; results of a batch are set in one go.
"""

from __future__ import annotations

import queue
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack

from asyncluster.client.calls import Reorder
from asyncluster.client.core import NeedCore, ThreadCore, node_view
from asyncluster.client.find import BATCH, Password, batch_of
from asyncluster.client.future import TaskFuture, settle_futures
from asyncluster.client.mapping import MapRun, Piece, open_piece
from asyncluster.client.needs import NeedOptions, make_need
from asyncluster.client.output import Printer
from asyncluster.client.pickling import FutureInsideError, dump_call
from asyncluster.client.place import RECONNECT, OwnPlace
from asyncluster.client.views import job_view
from asyncluster.model.job import JobView
from asyncluster.model.node import NodeView
from asyncluster.personal.batch import MOST, Batch

if TYPE_CHECKING:
    import os

    from asyncluster.client.attach import Attached

P = ParamSpec("P")
T = TypeVar("T")


_OPTIONS = (
    *("socket", "user", "password", "server_password", "slots", "name", "niceness", "priority", "crash_limit"),
    *("output", "reconnect", "durable", "detached"),
)
"""Of `Cluster`, beside what calls need."""


class Cluster(Executor):
    """Runs calls on the workers of a master.

    `Cluster()` finds the personal master, or starts one for the life of the program (always, when
    `slots` is given); `Cluster(socket="/path")` and `Cluster("host:port", user=…, password=…)` name one.

    user: account, default: who you are; password: text, a function that returns it, or None to take
    ASYNCLUSTER_PASSWORD from the environment; server_password: what the master must prove in turn;
    slots: tasks at a time of a master started here; name: shown in lists of jobs;
    niceness: 0..19 for the workers; priority: the higher goes first; crash_limit: attempts that may be lost
    before a task fails, None for the master's own limit; output: "print" shows what tasks print,
    a function gets (place, stream, line), None drops it; reconnect: seconds for which a master that was
    lost or restarted is looked for before everything fails with LinkLostError, 0 for not at all (a master
    started here never comes back); durable: False for a job that need not survive a killed master, which then
    has less to write; detached: what tasks write is kept at the master from the beginning, for a job that will be
    left by `detach`.  What calls need (see `options`) may be given here, too, for all of them.

    As with any executor, a program that has come to its end waits for its calls; Ctrl-C cancels them.

    Raises MasterNotFoundError, ProofError, VersionMismatchError, RefusedError, ValueError.
    """

    def __init__(
        self,
        address: str | OwnPlace | Batch | None = None,
        *,
        socket: str | os.PathLike[str] | None = None,
        user: str | None = None,
        password: Password = None,
        server_password: Password = None,
        slots: int | None = None,
        name: str = "",
        niceness: int = 0,
        priority: int = 0,
        crash_limit: int | None = None,
        output: str | Printer | None = "print",
        reconnect: float = RECONNECT,
        durable: bool = True,
        detached: bool = False,
        **need: Unpack[NeedOptions],
    ) -> None:
        self._core: Any = ThreadCore(
            settle_futures,
            output,
            {
                "name": name,
                "niceness": niceness,
                "priority": priority,
                "crash_limit": crash_limit,
                "durable": durable,
                "detached": detached,
            },
            reconnect,
            make_need(need, others=_OPTIONS),
            address=address,
            socket=socket,
            user=user,
            password=password,
            server_password=server_password,
            slots=slots,
        )
        self._core.waited_for = True
        self._core.connect()
        self._fast()
        # a cluster that nobody holds any more lets its calls finish, then closes
        weakref.finalize(self, self._core.close_later).atexit = False
        self._whole: object = None

    @classmethod
    def from_batch(
        cls,
        system: str,
        *,
        queue: str = "",
        account: str = "",
        cores: int = 1,
        memory: str | int = "",
        walltime: str | float = "",
        max_nodes: int = MOST,
        **more: Any,
    ) -> Self:
        """A master of this program's own, whose nodes are jobs of "slurm", "sge" or "torque", as calls wait.

        Nothing is asked for before there is a call.  queue: Slurm's partition; account: SGE's project; cores, memory
        ("16 GiB" or bytes): of one node; walltime: "02:00:00", "2h" or seconds; max_nodes: at a time, queued ones
        counted.  more: gpus, max_idle (how long a node without work is kept, "2m"), environment (SGE's parallel
        environment, needed for more than one core), directives and setup (lines), interpreter, master (addresses of
        this machine that nodes are to try); and what `Cluster` takes.  What single calls need goes to `options`.

        Batch jobs that are left are cancelled when the program ends, however it does; until then Clusters made with
        the same options share them.  Raises ConfigError for options that make no sense, and as `Cluster` does.
        """
        words = {"queue": queue, "account": account, "cores": cores, "memory": memory, "walltime": walltime}
        return cls(batch_of(system, more | words | {"max_nodes": max_nodes}), **_rest(more))

    def _fast(self) -> None:
        core = self._core
        self._known = core.codes.known
        self._append = core.calls.inbox.append
        self._wake = core.session.wake

    def submit(  # type: ignore[override]  # futures stand for their values, which no ParamSpec can say
        self, fn: Callable[..., T], /, *args: Any, depends_on: Iterable[Future[Any]] | Future[Any] = (), **kwargs: Any
    ) -> TaskFuture[T]:
        """Call `fn(*args, **kwargs)` on a worker; the future has its value or exception.

        Futures of this Cluster among the arguments, in lists and dictionaries as well, stand for their values: the call
        waits for them.  depends_on: futures, or one, that it waits for besides.  If one of them fails or is cancelled
        the call is not made, and its future fails with DependencyError, which names the chain.

        Raises NotPicklableError naming the argument, JobClosedError after `shutdown`, LinkLostError, ValueError for a
        future of another Cluster that is not done.
        """
        core = self._core
        if core.refusal is not None:
            core.refuse()
        if depends_on:
            return self._linked(fn, args, kwargs, depends_on)
        code = self._known.get(id(fn))
        if code is None:
            code = core.code_of(fn)
            if code < 0:  # one of a multitude of functions: it travels with its arguments
                return self._inline(fn, args, kwargs)
        try:
            payload = dump_call(fn, args, kwargs)
        except FutureInsideError:
            return self._linked(fn, args, kwargs, ())
        future: TaskFuture[T] = TaskFuture(core, code)
        self._append((future, code, payload))
        self._wake()
        return future

    def _inline(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskFuture[T]:
        code = self._core.codes.inline()
        try:
            payload = dump_call(fn, (fn, *args), kwargs)
        except FutureInsideError:
            return self._linked(fn, args, kwargs, ())
        future: TaskFuture[T] = TaskFuture(self._core, code)
        self._append((future, code, payload))
        self._wake()
        return future

    def _linked(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], depends_on: object
    ) -> TaskFuture[T]:
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")
        core = self._core
        future: TaskFuture[T]
        future, error = core.link((fn, args, kwargs), depends_on, lambda code: TaskFuture(core, code))
        if error is not None:
            future.set_exception(error)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | str | None = "auto",
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> Iterator[T]:
        """Call `fn` on each item; an iterator over the values, in the order of the items.

        timeout: seconds from now for everything, raises TimeoutError; chunksize: items that travel together, "auto"
        adapts to how long they take; buffersize: most items under way; ordered: False gives values as they
        come.  Inputs without a length are read a little ahead of the results.  An item's exception is
        raised in its place and ends the iteration; what has not begun is then cancelled, as it is when
        the iterator is closed.
        """
        self._core.check()
        end = None if timeout is None else timeout + time.monotonic()
        pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        run = MapRun(self._core, fn, iterables, chunksize, buffersize, pieces.put)
        return _results(run, pieces, ordered, end)

    def map_unordered(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | str | None = "auto",
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `map`, values as they come."""
        return self.map(fn, *iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize, ordered=False)

    def options(self, **need: Unpack[NeedOptions]) -> Self:
        """The same cluster and job, for calls that need something else than the others.

        cores: of one node, for each call; memory: bytes, or "4 GiB": what a node must have free, and what the call
        may use; gpus: whole devices; features: words that the node must have; time_limit: seconds, or "90 min", of each
        attempt; retries: how often a call that raised is tried again; wait: rather wait than fail where no
        present node could ever run it.  What is left out is as here.

        `cluster.options(cores=4, time_limit="2h").submit(f, x)`.  Raises ValueError that names a wrong option.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._core = NeedCore(self._core, make_need(need, self._core.need))
        view._whole = self  # which would otherwise close when nobody holds it any more
        view._fast()
        return view

    def detach(self) -> int:
        """Leave the job to the master, with all that was submitted; its number, for `asyncluster.attach`.

        Returns when everything is safe there.  This object is shut down then: futures that have not ended fail with
        JobClosedError, and what came before stays theirs.  The job's results are kept until it is forgotten
        (`asyncluster job forget`), or for as long as the master's `keep results` says.

        Raises AsynClusterError while a `map` is handing in items, or where the master ends with this program;
        LinkLostError, JobClosedError.
        """
        job: int = self._core.thread.wait(self._core.detaching())
        return job

    def attach(self, job: int, *, trust: bool = False) -> Attached:
        """Find a detached job again at this cluster's master, also after `detach` or `shutdown`; a context manager.

        It is a connection of its own, and outlives this object.  trust and errors as for `asyncluster.attach`, which
        finds jobs at any master.
        """
        from asyncluster.client.attach import attach

        core = self._core
        return attach(job, core.place, reconnect=core.reconnect, trust=trust)

    def nodes(self) -> list[NodeView]:
        """The nodes that the master knows."""
        return [node_view(fields) for fields in self._core.thread.wait(self._core.asking("nodes"))]

    def jobs(self) -> list[JobView]:
        """Your open jobs at the master; everybody's when you administer it."""
        return [job_view(fields) for fields in self._core.thread.wait(self._core.asking("jobs"))]

    def status(self) -> dict[str, Any]:
        """What the master says of itself."""
        return dict(self._core.thread.wait(self._core.asking("status")))

    def dismiss(self, node: str, reason: str = "") -> None:
        """Send a node away: it finishes what it runs, gives back the rest, and ends.

        Raises RefusedError when there is no such node, or it is not yours to dismiss.
        """
        self._core.thread.wait(self._core.asking("dismiss", node, reason))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; let those that were submitted finish, or cancel them; then close the job.

        wait: return only when that is done.  Without it only the end of the program waits.
        """
        self._core.shutdown(wait, cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        # After Ctrl-C nobody wants to wait for the queue; after other exceptions do as any executor does.
        interrupted = kind is not None and not issubclass(kind, Exception)
        notice = None if error is None or interrupted else self._core.mention(error)
        try:
            self.shutdown(wait=not interrupted, cancel_futures=interrupted)
        finally:
            if notice is not None:
                notice.cancel()

    @property
    def _max_workers(self) -> int:
        """Tasks at a time; Dask and others read it from an executor."""
        slots: int = self._core.slots
        return slots

    @property
    def job(self) -> int:
        """The job's number at the master."""
        job: int = self._core.session.job
        return job

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Cluster cannot be pickled: it is a connection of this process. "
            "A task that needs one makes its own; check what the function captures"
        )

    def __repr__(self) -> str:
        return f"<Cluster {self._core.describe()}>"


def _rest(words: dict[str, Any]) -> dict[str, Any]:
    """What of the arguments of `from_batch` is for the cluster itself."""
    return {name: value for name, value in words.items() if name not in BATCH}


def _results(run: MapRun, pieces: queue.SimpleQueue[Piece], ordered: bool, end: float | None) -> Iterator[Any]:
    reorder = Reorder(ordered)
    try:
        while not run.finished(reorder.delivered):
            if not run.feeds_itself:
                run.feed()
                if run.finished(reorder.delivered):  # the input has just ended
                    return
            piece = _next_piece(pieces, end)
            for ready in reorder.add(piece.number, piece):
                values, error = open_piece(ready, run.name)
                yield from values
                if error is not None:
                    raise error
    finally:
        run.cancel()


def _next_piece(pieces: queue.SimpleQueue[Piece], end: float | None) -> Piece:
    try:
        return pieces.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("the results of map did not come in time") from None
