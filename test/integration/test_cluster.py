"""`Cluster` and `AsyncCluster` against a real master with two nodes of one worker each."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, as_completed
from pathlib import Path
from typing import Any

import pytest

from asyncluster import (
    AsyncCluster,
    Cluster,
    MasterNotFoundError,
    NotPicklableError,
    ProofError,
    RemoteTraceback,
    TaskExitError,
    WorkerLostError,
)
from asyncluster.testing.site import Site

pytestmark = pytest.mark.real
LIMIT = 60


@pytest.fixture
def cluster(cluster_socket: str) -> Any:
    with Cluster(socket=cluster_socket) as cluster:
        yield cluster


def run_script(text: str, *arguments: str, limit: float = LIMIT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", textwrap.dedent(text), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment, check=False)


def test_lambdas_closures_and_exceptions(cluster: Cluster) -> None:
    """Values come back; exceptions as the same type with the remote traceback."""
    base = 10
    assert cluster.submit(lambda x: base + x, 1).result(LIMIT) == 11
    assert cluster.submit(sorted, [2, 1], reverse=True).result(LIMIT) == [2, 1]
    with pytest.raises(KeyError) as caught:
        cluster.submit(lambda: {}["missing"]).result(LIMIT)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "missing" in str(caught.value.__cause__)


def test_large_closures(cluster: Cluster) -> None:
    """20 MB travel with the function, once."""
    data = os.urandom(20_000_000)

    def look(place: int) -> int:
        return data[place]

    places = [0, 5_000_000, -1, 7, 8]
    assert [future.result(LIMIT) for future in [cluster.submit(look, at) for at in places]] == [
        data[at] for at in places
    ]


def test_what_cannot_be_pickled_is_named(cluster: Cluster) -> None:
    """Arguments at submit, results in the future; the cluster goes on."""
    with pytest.raises(NotPicklableError, match=r"argument 0 of abs\(\), a lock"):
        cluster.submit(abs, threading.Lock())

    def make_lock() -> Any:
        return threading.Lock()

    with pytest.raises(NotPicklableError, match="make_lock"):
        cluster.submit(make_lock).result(LIMIT)
    assert cluster.submit(abs, -1).result(LIMIT) == 1


def test_cancel_while_queued(cluster: Cluster, tmp_path: Path) -> None:
    """What was cancelled in the queue never runs."""

    def leave_a_mark(name: str) -> None:
        (tmp_path / name).touch()

    busy = [cluster.submit(time.sleep, 0.7) for _ in range(2)]
    queued = [cluster.submit(leave_a_mark, str(number)) for number in range(20)]
    assert all(future.cancel() for future in queued)
    with pytest.raises(CancelledError):
        queued[0].result()
    for future in busy:
        future.result(LIMIT)
    cluster.submit(leave_a_mark, "last").result(LIMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_task_at_work_is_known_to_run(cluster: Cluster, tmp_path: Path) -> None:
    """It says so while it runs, and cannot be cancelled then; what is queued behind it can."""
    gate = tmp_path / "gate"

    def wait_at(gate: Path) -> str:
        deadline = time.monotonic() + LIMIT
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return gate.name

    busy = [cluster.submit(wait_at, gate) for _ in range(2)]
    queued = [cluster.submit(abs, -1) for _ in range(4)]
    try:
        deadline = time.monotonic() + LIMIT
        while not all(future.running() for future in busy) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert all(future.running() for future in busy)
        assert not any(future.cancel() for future in busy)
        assert not any(future.running() for future in queued)
        assert all(future.cancel() for future in queued)
        assert all(future.cancelled() for future in queued)
    finally:
        gate.touch()
    assert [future.result(LIMIT) for future in busy] == ["gate"] * 2
    assert not any(future.running() for future in (*busy, *queued))


def test_shutdown_ends_what_runs(cluster_socket: str, tmp_path: Path) -> None:
    """With cancel_futures it does not wait for a task that is known to run."""
    gate = tmp_path / "gate"

    def begin_and_wait(gate: Path) -> None:
        print("here", flush=True)
        while not gate.exists():
            time.sleep(0.01)

    said = threading.Event()
    cluster = Cluster(socket=cluster_socket, output=lambda *line: said.set())
    future = cluster.submit(begin_and_wait, gate)
    try:
        assert said.wait(LIMIT)
        assert future.running()
        cluster.shutdown(cancel_futures=True)
        assert future.cancelled()
    finally:
        gate.touch()


def test_map_orders(cluster: Cluster) -> None:
    """In order; as completed; over endless inputs; with several inputs."""
    assert list(cluster.map(lambda x: x * x, range(10_000))) == [x * x for x in range(10_000)]

    def nap(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert next(cluster.map_unordered(nap, [1.0, 0.01], chunksize=1)) == 0.01
    assert list(itertools.islice(cluster.map(abs, itertools.count()), 100)) == list(range(100))
    assert list(cluster.map(pow, [2, 3], [5, 2])) == [32, 9]
    done = [future.result() for future in as_completed([cluster.submit(abs, -n) for n in range(50)], LIMIT)]
    assert sorted(done) == list(range(50))


def test_map_raises_in_place(cluster: Cluster) -> None:
    """Earlier values first, then the item's exception."""
    results = cluster.map(lambda x: 1 // x, [1, -1, 0, 1], chunksize=4)
    assert next(results) == 1
    assert next(results) == -1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_balances_long_items(cluster: Cluster, tmp_path: Path) -> None:
    """40 naps of 20 ms are shared by both workers, however short the calls before were."""

    def nap(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    def meet(mine: str, other: str) -> None:
        """Until both are at it: then both workers are there, and idle afterwards."""
        Path(mine).touch()
        while not Path(other).exists():
            time.sleep(0.01)

    names = [str(tmp_path / name) for name in "ab"]
    for call in [cluster.submit(meet, *names), cluster.submit(meet, *reversed(names))]:
        call.result(LIMIT)
    list(cluster.map(nap, [0.0] * 8))
    shares = Counter(cluster.map(nap, [0.02] * 40))
    assert len(shares) == 2
    assert min(shares.values()) >= 8


def test_exits_and_crashes(cluster: Cluster) -> None:
    """sys.exit is an error of its own; a killed worker is reported; the cluster goes on."""
    with pytest.raises(TaskExitError):
        cluster.submit(sys.exit, 3).result(LIMIT)
    with pytest.raises(TaskExitError):
        list(cluster.map(sys.exit, [3]))
    with pytest.raises(WorkerLostError):
        cluster.submit(lambda: os.kill(os.getpid(), signal.SIGKILL)).result(LIMIT)
    assert cluster.submit(abs, -1).result(LIMIT) == 1


def test_output_arrives_before_the_result(cluster_socket: str) -> None:
    """Labelled with node and worker, line by line."""
    lines: list[tuple[str, int, str]] = []

    def speak() -> None:
        print("hello")
        print("partial", end="", file=sys.stderr)

    with Cluster(socket=cluster_socket, output=lambda *line: lines.append(line)) as cluster:
        cluster.submit(speak).result(LIMIT)
    assert {(stream, text) for _, stream, text in lines} == {(1, "hello"), (2, "partial")}
    assert all("/" in place for place, _, _ in lines)


def test_questions(cluster: Cluster) -> None:
    """Two nodes of one worker."""
    assert sum(node.slots for node in cluster.nodes()) == 2
    assert cluster._max_workers == 2
    assert cluster.status()


def test_no_master() -> None:
    """A socket where nobody listens."""
    with pytest.raises(MasterNotFoundError):
        Cluster(socket="/tmp/there/is/no/master.sock")


def test_classes_of_main(cluster_socket: str) -> None:
    """A script's own classes and functions travel, and results are instances of the script's classes."""
    done = run_script(
        """
        import sys
        from asyncluster import Cluster

        class Point:
            def __init__(self, x): self.x = x
            def moved(self, by): return Point(self.x + by)

        def shift(point, by): return point.moved(by)

        if __name__ == "__main__":
            with Cluster(socket=sys.argv[1]) as cluster:
                moved = cluster.submit(shift, Point(1), by=2).result(30)
                assert type(moved) is Point, type(moved)
                assert [p.x for p in cluster.map(Point(1).moved, range(3))] == [1, 2, 3]
                assert [type(p) for p in cluster.map(Point, range(3))] == [Point] * 3
                print("fine")
        """,
        cluster_socket,
    )
    assert done.stdout == "fine\n", done.stderr


def test_the_program_ends_without_shutdown(cluster_socket: str) -> None:
    """It waits for queued work and for a map that feeds itself, as executors do; not for one that nobody reads on."""
    done = run_script(
        """
        import itertools, sys, time
        from asyncluster import Cluster
        cluster = Cluster(socket=sys.argv[1])
        future = cluster.submit(time.sleep, 0.5)
        future.add_done_callback(lambda _: print("done"))
        results = cluster.map(abs, range(10000))
        endless = cluster.map(abs, itertools.count(), buffersize=10)
        print("fine", next(endless))
        """,
        cluster_socket,
        limit=60,
    )
    assert done.stdout == "fine 0\ndone\n", done.stderr
    assert not done.stderr


def test_beside_a_global_reactor(cluster_socket: str) -> None:
    """A running Twisted program may use a Cluster from its threads; ours never installs a reactor."""
    done = run_script(
        """
        import sys
        from asyncluster import Cluster
        with Cluster(socket=sys.argv[1]) as cluster:
            assert cluster.submit(abs, -1).result(30) == 1
        assert "twisted.internet.reactor" not in sys.modules
        from twisted.internet import reactor, threads
        from twisted.python import threadable
        def work():
            with Cluster(socket=sys.argv[1]) as cluster:
                return cluster.submit(abs, -2).result(30)
        def end(value):
            print(value, threadable.isInIOThread())
            reactor.stop()
        reactor.callWhenRunning(lambda: threads.deferToThread(work).addBoth(end))
        reactor.run()
        """,
        cluster_socket,
    )
    assert done.stdout == "2 True\n", done.stderr


def test_asyncio(cluster_socket: str) -> None:
    """await, gather, async for, cancel, exceptions."""

    async def main() -> None:
        async with AsyncCluster(socket=cluster_socket) as cluster:
            assert await cluster.submit(pow, 2, 5) == 32
            assert await asyncio.gather(*(cluster.submit(abs, -n) for n in range(100))) == list(range(100))
            assert [value async for value in cluster.map(lambda x: x + 1, range(1000))] == list(range(1, 1001))
            assert sorted([value async for value in cluster.map_unordered(abs, iter(range(10)))]) == list(range(10))
            futures = [cluster.submit(abs, -n) for n in range(5)]
            assert sorted([value async for value in cluster.as_completed(futures)]) == list(range(5))
            with pytest.raises(ZeroDivisionError):
                await cluster.submit(lambda: 1 // 0)
            busy = [cluster.submit(time.sleep, 0.3) for _ in range(2)]
            waiting = cluster.submit(time.sleep, 60)
            waiting.cancel()
            await asyncio.gather(*busy)
            assert len(await cluster.nodes()) == 2

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_over_tcp_with_passwords(site: Site) -> None:
    """TLS and the proof on the private reactor; a wrong password of either side is refused."""
    site.add_user("alice", "open sesame 123")
    address = f"127.0.0.1:{site.port}"
    right: dict[str, Any] = {
        "user": "alice",
        "password": lambda: "open sesame 123",
        "server_password": site.server_password,
    }
    with Cluster(address, **right) as cluster:
        assert cluster.submit(abs, -1).result(LIMIT) == 1
        assert list(cluster.map(len, [bytes(3_000_000)] * 4)) == [3_000_000] * 4
    with pytest.raises(ProofError):
        Cluster(address, **{**right, "password": "wrong wrong wrong"})
    with pytest.raises(ProofError):
        Cluster(address, **{**right, "server_password": "wrong wrong wrong"})
    with Cluster(address, **right) as cluster:
        assert cluster.submit(abs, -1).result(LIMIT) == 1
    for _ in range(5):
        with pytest.raises(ProofError):
            Cluster(address, **{**right, "password": "wrong wrong wrong"})
    with pytest.raises(ProofError, match="too many wrong ones"):
        Cluster(address, **right)


def test_tasks_run_in_the_clients_folder(cluster_socket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means in a task what it means in the program; a folder that is not there does no harm."""
    (tmp_path / "here.txt").write_text("found")
    monkeypatch.chdir(tmp_path)
    with Cluster(socket=cluster_socket) as cluster:
        assert cluster.submit(lambda: Path("here.txt").read_text()).result(timeout=60) == "found"
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        with Cluster(socket=cluster_socket) as other:
            gone.rmdir()
            assert other.submit(abs, -1).result(timeout=60) == 1
        assert cluster.submit(lambda: Path("here.txt").read_text()).result(timeout=60) == "found"


def test_a_block_that_waits_says_what_ended_it(tmp_path: Path) -> None:
    """Its error is seen only when its calls have ended, which without a node they do not."""
    said: list[str] = []
    with Site(tmp_path) as site:
        site.start_master()
        waiting: list[Any] = []

        def show(place: str, stream: int, line: str) -> None:
            said.append(line)
            if "TimeoutError" in line:
                waiting[0].cancel()

        def block() -> None:
            with Cluster(socket=site.socket, output=show) as cluster:
                waiting.append(cluster.submit(abs, -1))
                waiting[0].result(0.1)

        with pytest.raises(TimeoutError):
            block()
    assert any("TimeoutError" in line and "ended the block" in line for line in said)


def test_a_cluster_without_nodes_says_so(tmp_path: Path) -> None:
    """Instead of waiting in silence."""
    lines: list[tuple[str, int, str]] = []
    said = threading.Event()

    def show(*line: Any) -> None:
        lines.append(line)
        said.set()

    with Site(tmp_path) as site:
        site.start_master()
        with Cluster(socket=site.socket, output=show) as cluster:
            waiting = cluster.submit(abs, -1)
            assert said.wait(LIMIT)
            waiting.cancel()
    assert lines == [("master", 2, "tasks wait: no node is present")]
