"""`AsyncCluster.attach`: a detached job, found again by a program with an asyncio loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

from asyncluster.client.aio_calls import TaskAwaitable, TaskCall, settle_in_loop
from asyncluster.client.attach import EVERYTHING, VisitCore
from asyncluster.client.orders import is_end_of_link


class AsyncAttached:
    """As `Attached`, for asyncio.  Made by `AsyncCluster.attach`, and connected by `async with`, or by `connect()`.

    `async with AsyncCluster.attach(7) as found: async for number, value in found.results(): …`
    Leaving the block leaves the job where it is.
    """

    def __init__(self, job: int, reconnect: float, trust: bool, where: dict[str, Any]) -> None:
        self.job = job
        self._core = VisitCore(job, reconnect, where, trust, self._settle, self._sink)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._futures: dict[int, TaskAwaitable[Any]] = {}

    async def connect(self) -> Self:
        """Find the master and the job.  Raises as `asyncluster.attach` does."""
        self._loop = asyncio.get_running_loop()
        await asyncio.wrap_future(self._core.connect_in_background())
        self._futures = {seq: sink.future for seq, sink in self._core.sinks.items()}
        return self

    def _sink(self) -> TaskCall:
        call = TaskCall(self._core, TaskAwaitable(loop=self._loop), EVERYTHING)
        asyncio.Future.add_done_callback(call.future, _look)
        return call

    def _settle(self, settled: list[Any]) -> None:
        settle_in_loop(self._loop, settled)

    @property
    def futures(self) -> dict[int, TaskAwaitable[Any]]:
        """By number of the task, as those of `AsyncCluster.submit`: who cancels one cancels its task."""
        return self._futures

    async def results(self, *, return_exceptions: bool = False) -> AsyncIterator[tuple[int, Any]]:
        """(number, value) of each task in the order of their numbers, as they come; as `Attached.results`.

        Who stops to iterate, or is cancelled meanwhile, cancels no task.
        """
        for number, future in sorted(self._futures.items()):
            await asyncio.wait([future])
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            if error is not None and (not return_exceptions or is_end_of_link(self._core.session, error)):
                raise error
            yield number, future.result() if error is None else error

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 (as `Attached.wait` has it)
        """Wait for all tasks to end; whether they have, where that took longer than `timeout` seconds."""
        if self._futures and (await asyncio.wait(self._futures.values(), timeout=timeout))[1]:
            return False
        self._core.check()  # that it was forgotten, or its master is gone, is no end of its tasks
        return True

    async def cancel(self, *tasks: int) -> int | None:
        """Cancel these tasks, or all that have not ended; how many that were.  What runs of them is ended.

        None: the connection was lost over it, so it was said again: they are cancelled, how many is not known.
        Raises RefusedError for a task that never was, and cancels nothing then.
        """
        return await asyncio.wrap_future(self._core.cancel(self.job, tasks))

    async def forget(self) -> None:
        """Drop the job: its tasks are cancelled, its results and output are gone."""
        await asyncio.wrap_future(self._core.forget(self.job))
        await self.close()

    async def close(self) -> None:
        """Go; the job stays as it is."""
        closing = self._core.closing(cancel=False)
        if closing is not None:
            await asyncio.wrap_future(closing)

    async def __aenter__(self) -> Self:
        return await self.connect()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncAttached to {self._core.describe()}>"


def _look(future: asyncio.Future[Any]) -> None:
    """A task whose failure nobody asks for is no mistake that asyncio should complain about."""
    if not future.cancelled():
        future.exception()
