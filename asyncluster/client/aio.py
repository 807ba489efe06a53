"""`AsyncCluster`: the asyncio face.  Works in any running loop, a Jupyter kernel's included.

The session lives on the private reactor thread; a batch of results enters the loop by one
`call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from asyncluster.client.aio_calls import TaskAwaitable, TaskCall, enter, settle_in_loop
from asyncluster.client.calls import Reorder, Settled
from asyncluster.client.core import NeedCore, ThreadCore, node_view
from asyncluster.client.find import batch_of
from asyncluster.client.mapping import MapRun, Piece, open_piece
from asyncluster.client.needs import NAMES, NeedOptions, make_need
from asyncluster.client.outcomes import ERROR
from asyncluster.client.pickling import FutureInsideError, dump_call
from asyncluster.client.place import RECONNECT, OwnPlace
from asyncluster.client.views import job_view
from asyncluster.model.job import JobView
from asyncluster.model.node import NodeView
from asyncluster.personal.batch import Batch

if TYPE_CHECKING:
    from asyncluster.client.attach_async import AsyncAttached

T = TypeVar("T")


class AsyncCluster:
    """As `Cluster`, for asyncio; takes the same arguments.

    `async with AsyncCluster() as cluster: value = await cluster.submit(f, x)`.
    Without `async with`, await `connect()` first and `shutdown()` in the end.
    """

    def __init__(
        self,
        address: str | OwnPlace | Batch | None = None,
        *,
        name: str = "",
        niceness: int = 0,
        priority: int = 0,
        crash_limit: int | None = None,
        output: Any = "print",
        reconnect: float = RECONNECT,
        durable: bool = True,
        detached: bool = False,
        **where: Any,
    ) -> None:
        need = make_need({word: where.pop(word) for word in NAMES if word in where})
        options = {
            "name": name,
            "niceness": niceness,
            "priority": priority,
            "crash_limit": crash_limit,
            "durable": durable,
            "detached": detached,
        }
        self._core: Any = ThreadCore(self._settle, output, options, reconnect, need, address=address, **where)
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_batch(cls, system: str, **more: Any) -> Self:
        """As `Cluster.from_batch`."""
        return cls(batch_of(system, more), **more)

    async def connect(self) -> AsyncCluster:
        """Find the master and open the job.  Raises as `Cluster` does."""
        self._loop = asyncio.get_running_loop()
        await asyncio.wrap_future(self._core.connect_in_background())
        return self

    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        depends_on: Iterable[Awaitable[Any]] | Awaitable[Any] = (),
        **kwargs: Any,
    ) -> asyncio.Future[T]:
        """Call `fn(*args, **kwargs)` on a worker; await the future, cancelling it cancels the call.

        Futures among the arguments and `depends_on`: as for `Cluster.submit`.
        Raises NotPicklableError, JobClosedError, LinkLostError.
        """
        core = self._core
        core.check()
        assert self._loop is not None
        if depends_on:
            return self._linked(fn, args, kwargs, depends_on)
        code = core.code_of(fn)
        try:
            if code < 0:
                code, payload = core.codes.inline(), dump_call(fn, (fn, *args), kwargs)
            else:
                payload = dump_call(fn, args, kwargs)
        except FutureInsideError:
            return self._linked(fn, args, kwargs, ())
        call = self._call(code)
        core.put([(call, code, payload)])
        return call.future

    def _call(self, code: int) -> TaskCall:
        return TaskCall(self._core, TaskAwaitable(loop=self._loop), code)

    def _linked(
        self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], depends_on: object
    ) -> asyncio.Future[T]:
        if not callable(fn):
            raise TypeError(f"{fn!r} is not callable")
        call, error = self._core.link((fn, args, kwargs), depends_on, self._call)
        if error is not None:
            call.outcome = ERROR, error
            call.settle(ERROR, error, 0)
        return call.future  # type: ignore[no-any-return]  # a sink of ours

    async def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        chunksize: int | str | None = "auto",
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> AsyncIterator[T]:
        """`async for value in cluster.map(f, items)`; arguments as for `Cluster.map`."""
        self._core.check()
        loop = self._loop
        assert loop is not None
        pieces: asyncio.Queue[Piece] = asyncio.Queue()

        def deliver(piece: Piece) -> None:
            enter(loop, pieces.put_nowait, piece)

        run = MapRun(self._core, fn, iterables, chunksize, buffersize, deliver)
        reorder = Reorder(ordered)
        try:
            while not run.finished(reorder.delivered):
                if not run.feeds_itself:
                    run.feed()
                    if run.finished(reorder.delivered):
                        return
                piece = await pieces.get()
                for ready in reorder.add(piece.number, piece):
                    values, error = open_piece(ready, run.name)
                    for value in values:
                        yield value
                    if error is not None:
                        raise error
        finally:
            run.cancel()

    def map_unordered(self, fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> AsyncIterator[T]:
        """As `map`, values as they come."""
        return self.map(fn, *iterables, ordered=False, **options)

    async def as_completed(self, awaitables: Iterable[Awaitable[T]]) -> AsyncIterator[T]:
        """`async for value in cluster.as_completed(futures)`: the values of submitted calls as they come."""
        for first in asyncio.as_completed(list(awaitables)):
            yield await first

    def options(self, **need: Unpack[NeedOptions]) -> Self:
        """As `Cluster.options`; once connected."""
        self._core.check()
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._core = NeedCore(self._core, make_need(need, self._core.need))
        return view

    async def detach(self) -> int:
        """As `Cluster.detach`."""
        job: int = await asyncio.wrap_future(self._core.detaching())
        return job

    @staticmethod
    def attach(
        job: int,
        address: str | OwnPlace | None = None,
        *,
        reconnect: float = RECONNECT,
        trust: bool = False,
        **where: Any,
    ) -> AsyncAttached:
        """Find a detached job again; arguments and errors as of `asyncluster.attach`.

        `async with AsyncCluster.attach(7) as found: async for number, value in found.results(): …`
        """
        from asyncluster.client.attach import place_of_job
        from asyncluster.client.attach_async import AsyncAttached

        return AsyncAttached(job, reconnect, trust, place_of_job(job, address=address, **where))

    async def nodes(self) -> list[NodeView]:
        """The nodes that the master knows."""
        return [node_view(fields) for fields in await asyncio.wrap_future(self._core.asking("nodes"))]

    async def jobs(self) -> list[JobView]:
        """As `Cluster.jobs`."""
        return [job_view(fields) for fields in await asyncio.wrap_future(self._core.asking("jobs"))]

    async def status(self) -> dict[str, Any]:
        """What the master says of itself."""
        return dict(await asyncio.wrap_future(self._core.asking("status")))

    async def shutdown(self, *, cancel: bool = False) -> None:
        """Take no more; let what was submitted finish, or cancel it; close the job."""
        closing = self._core.closing(cancel)
        if closing is not None:
            await asyncio.wrap_future(closing)

    async def __aenter__(self) -> AsyncCluster:
        return await self.connect()

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        await self.shutdown(cancel=kind is not None and not issubclass(kind, Exception))

    def _settle(self, settled: list[Settled]) -> None:
        settle_in_loop(self._loop, settled)

    def __reduce__(self) -> Any:
        raise TypeError("an AsyncCluster cannot be pickled: it is a connection of this process")
