"""`JobClient` and `DeferredCluster` on a private reactor, against a real master with two nodes."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, gatherResults

from asyncluster import (
    AsyncCluster,
    DeferredCluster,
    JobClient,
    JobClosedError,
    RefusedError,
    RemoteTraceback,
    StepFailedError,
)
from asyncluster.client.thread import reactor_thread

pytestmark = pytest.mark.real

SOURCE = textwrap.dedent(
    """
    import os, time
    factor = 1

    def set_factor(value, *, fail=False):
        global factor
        if fail:
            raise ValueError("no such factor")
        factor = value

    def times(x):
        return factor * x

    def where():
        time.sleep(0.05)
        return os.environ["ASYNCLUSTER_NODE"], factor

    def nap(seconds):
        time.sleep(seconds)

    def broken():
        return missing_name
    """
)


def run(function: Callable[[], Awaitable[Any]]) -> Any:
    return reactor_thread().run(function, 60)


def client(socket: str, **options: Any) -> JobClient:
    return JobClient(socket, reactor=reactor_thread().reactor, **options)


def test_run_and_update(cluster_socket: str, tmp_path: Path) -> None:
    """A file becomes the namespace; an update holds on every node before its next task; tracebacks show the file."""
    path = tmp_path / "job_source.py"
    path.write_text(SOURCE)

    async def main() -> None:
        job = client(cluster_socket, codePath=path)
        await job.startup()
        assert await job.run("times", 5) == 5
        await job.update("set_factor", 3)
        assert await gatherResults([job.run("times", x) for x in range(20)]) == [3 * x for x in range(20)]
        places = await gatherResults([job.run("where") for _ in range(8)])
        assert len({node for node, _ in places}) == 2
        assert {factor for _, factor in places} == {3}
        with pytest.raises(NameError) as caught:
            await job.run("broken")
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "job_source.py" in str(caught.value.__cause__)
        with pytest.raises(NameError, match="nothing_there"):
            await job.run("nothing_there")
        await job.shutdown()
        with pytest.raises(JobClosedError):
            await job.run("times", 1)

    run(main)


def test_steps_that_fail_name_the_node(cluster_socket: str) -> None:
    """An update that raises, a class that cannot be imported, a source that raises."""

    async def main() -> None:
        job = client(cluster_socket, codeString=SOURCE)
        await job.startup()
        await job.registerClasses("collections.OrderedDict", "pathlib.Path")
        with pytest.raises(StepFailedError, match=r"(?s)node .*nowhere_to_be_found"):
            await job.registerClasses("nowhere_to_be_found.Thing")
        await job.shutdown()
        job = client(cluster_socket, codeString=SOURCE)
        await job.startup()
        with pytest.raises(StepFailedError, match=r"(?s)node .*no such factor"):
            await job.update("set_factor", 2, fail=True)
        await job.shutdown()
        with pytest.raises(StepFailedError, match=r"(?s)node .*ZeroDivisionError"):
            await client(cluster_socket, codeString="1 // 0").startup()
        with pytest.raises(SyntaxError):
            await client(cluster_socket, codeString="def").startup()

    run(main)


def test_shutdown_cancels_what_is_queued(cluster_socket: str) -> None:
    """Everything that has not ended fails with CancelledError."""

    async def main() -> None:
        job = client(cluster_socket, codeString=SOURCE)
        await job.startup()
        waiting = [job.run("nap", 0.5) for _ in range(6)]
        await job.shutdown()
        for call in waiting:
            with pytest.raises(CancelledError):
                await call

    run(main)


def test_deferred_face(cluster_socket: str) -> None:
    """submit, map, cancel, questions."""

    async def main() -> None:
        cluster = await DeferredCluster.connect(socket=cluster_socket, reactor=reactor_thread().reactor)
        assert await cluster.submit(lambda x: x + 1, 1) == 2
        assert await cluster.map(abs, range(-500, 0)) == list(range(500, 0, -1))
        assert await cluster.map(abs, []) == []
        with pytest.raises(ZeroDivisionError):
            await cluster.map(lambda x: 1 // x, [1, 0])
        call = cluster.submit(abs, 1)
        call.cancel()
        with pytest.raises(CancelledError):
            await call
        assert len(await cluster.nodes()) == 2
        await cluster.shutdown()

    run(main)


def test_left_and_found_again(cluster_socket: str) -> None:
    """A job of a source goes on without its client, its updates too; both other faces find it."""

    async def leave() -> int:
        job = client(cluster_socket, codeString=SOURCE)
        await job.startup()
        await job.update("set_factor", 3)
        for number in range(5):
            job.run("times", number).addErrback(lambda failure: failure.trap(JobClosedError))
        job.run("broken").addErrback(lambda failure: failure.trap(JobClosedError, NameError))
        return await job.detach()

    number = run(leave)

    async def find() -> None:
        found = await DeferredCluster.attach(number, socket=cluster_socket, reactor=reactor_thread().reactor)
        assert await found.wait(60)
        results = await found.results(return_exceptions=True)
        assert results[:5] == [(task, 3 * task) for task in range(5)]
        assert isinstance(results[5][1], NameError)
        with pytest.raises(NameError):
            await found.result(5)
        await found.close()

    run(find)

    async def find_with_asyncio() -> None:
        async with AsyncCluster.attach(number, socket=cluster_socket) as found:
            assert await found.wait(60)
            assert [value async for _, value in found.results(return_exceptions=True)][:5] == [0, 3, 6, 9, 12]
            await found.forget()
        with pytest.raises(RefusedError, match=f"no job {number}"):
            await AsyncCluster.attach(number, socket=cluster_socket).connect()

    asyncio.run(asyncio.wait_for(find_with_asyncio(), 120))
    with pytest.raises(RefusedError, match=f"no job {number}"):
        run(lambda: DeferredCluster.attach(number, socket=cluster_socket, reactor=reactor_thread().reactor))
