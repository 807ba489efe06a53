"""Calls that depend on other calls, on a real master with two nodes of one worker each."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from asyncluster import AsyncCluster, Cluster, DependencyError, JobClosedError, NotPicklableError
from asyncluster.testing.site import Site
from asyncluster.testing.waiting import until
from asyncluster.wire.link import Link

pytestmark = pytest.mark.real
LIMIT = 60
BIG = 5_000_000


@pytest.fixture
def cluster(cluster_socket: str) -> Any:
    with Cluster(socket=cluster_socket, output=None) as cluster:
        yield cluster


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A master and two nodes of this test's own, which may be killed."""
    with Site(tmp_path) as made:
        made.start_master()
        made.start_node("a")
        made.start_node("b")
        yield made


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what clients of this process receive."""
    sizes: list[int] = []
    batch, chunk = Link.batch, Link.chunk

    def count_batch(link: Link, data: bytes) -> None:
        sizes.append(len(data))
        batch(link, data)

    def count_chunk(link: Link, stream: int, data: bytes) -> None:
        sizes.append(len(data))
        chunk(link, stream, data)

    monkeypatch.setattr(Link, "batch", count_batch)
    monkeypatch.setattr(Link, "chunk", count_chunk)
    return sizes


def adder() -> Callable[..., int]:
    """A function that travels by value: nodes do not have this module."""

    def add(*numbers: int) -> int:
        return sum(numbers)

    return add


add = adder()


def gate(path: Path) -> Callable[[int], int]:
    """A function that gives its argument once that file is there."""

    def passed(value: int) -> int:
        for _ in range(LIMIT * 50):
            if path.exists():
                return value
            time.sleep(0.02)
        raise TimeoutError

    return passed


def waiting(cluster: Cluster) -> int:
    """Tasks of this job that wait for others."""
    return next(view.waiting for view in cluster.jobs() if view.job == cluster.job)


def test_a_chain_and_a_diamond(cluster: Cluster) -> None:
    """Values go from task to task, wherever in the arguments the futures are."""
    future = cluster.submit(add, 0)
    for _ in range(50):
        future = cluster.submit(add, future, 1)
    left, right = cluster.submit(add, future, 1), cluster.submit(add, future, 2)
    nested = cluster.submit(lambda box, word: (box, word), [left, {"right": (right,)}], word=future)
    assert nested.result(LIMIT) == ([51, {"right": (52,)}], 50)
    assert cluster.submit(sorted, [right, left]).result(LIMIT) == [51, 52]
    assert cluster.submit(add, nested.result()[1], future).result(LIMIT) == 100


def test_values_of_main_travel(cluster: Cluster) -> None:
    """Things that only cloudpickle can carry, in arguments beside futures and in values."""
    function = cluster.submit(lambda: lambda x: x + 1)
    assert cluster.submit(lambda f, g, x: g(f(x)), function, lambda x: x * 10, 1).result(LIMIT) == 20


def test_each_task_has_values_of_its_own(cluster: Cluster) -> None:
    """What one task does to a value, another one does not see."""

    def spoil(items: list[int]) -> list[int]:
        items.append(0)
        return items

    items = cluster.submit(list, range(3))
    assert [cluster.submit(spoil, items).result(LIMIT) for _ in range(4)] == [[0, 1, 2, 0]] * 4
    assert cluster.submit(lambda a, b: a is b, items, items).result(LIMIT)


def test_order_without_values(cluster: Cluster, tmp_path: Path) -> None:
    """What `depends_on` names is done before, and it is shown that somebody waits."""
    mark, opened = tmp_path / "mark", tmp_path / "open"
    first = cluster.submit(gate(opened), 1)
    second = cluster.submit(lambda: mark.write_text("here"), depends_on=[first])
    third = cluster.submit(mark.read_text, depends_on=[second, first])
    until(lambda: waiting(cluster) == 2)
    opened.touch()
    assert third.result(LIMIT) == "here"
    assert waiting(cluster) == 0


def test_a_failure_goes_down_the_chain(cluster: Cluster, tmp_path: Path) -> None:
    """At once, with the chain in words and the first exception as the cause; also for who comes late."""
    opened = tmp_path / "open"
    first = cluster.submit(lambda wait: 1 // wait(0), gate(opened))
    second = cluster.submit(add, first)
    third = cluster.submit(add, 1, depends_on=[second])
    opened.touch()
    with pytest.raises(DependencyError, match="depends on task 1, which depends on task 0, which failed") as caught:
        third.result(LIMIT)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    for failed in (first, second):
        late = cluster.submit(add, failed)
        assert late.done()
        assert isinstance(late.exception(), DependencyError)
        assert isinstance(late.exception().__cause__, ZeroDivisionError)  # type: ignore[union-attr]  # is one
    assert cluster.submit(add, 1).result(LIMIT) == 1


def test_cancelling(cluster: Cluster, tmp_path: Path) -> None:
    """A waiting task is cancelled as any other, and fails those that wait for it; a dependency likewise."""
    opened = tmp_path / "open"
    first = cluster.submit(gate(opened), 1)
    second = cluster.submit(add, first)
    third = cluster.submit(add, second)
    until(lambda: waiting(cluster) == 2)
    assert second.cancel()
    with pytest.raises(DependencyError, match="cancelled") as caught:
        third.result(LIMIT)
    assert isinstance(caught.value.__cause__, CancelledError)
    with pytest.raises(DependencyError, match="cancelled"):
        cluster.submit(add, second).result(LIMIT)
    opened.touch()
    assert cluster.submit(add, first, 1).result(LIMIT) == 2


def test_a_large_value_stays_away(cluster: Cluster, received: list[int]) -> None:
    """It goes from node to node by the master; the client gets it when it asks, and only then."""
    big = cluster.submit(os.urandom, BIG)
    sizes = [cluster.submit(len, big) for _ in range(4)]
    copies = cluster.submit(lambda *values: len(set(values)), big, big, [big, 1][0])
    assert [size.result(LIMIT) for size in sizes] == [BIG] * 4
    assert copies.result(LIMIT) == 1
    assert big.done()
    assert cluster.submit(len, big).result(LIMIT) == BIG  # it is done, and still does not travel
    assert sum(received) < 100_000
    value = big.result(LIMIT)
    assert len(value) == BIG
    assert BIG < sum(received) < BIG * 1.5
    assert cluster.submit(bytes.__eq__, big, value).result(LIMIT)


def test_a_large_value_for_a_callback(cluster: Cluster) -> None:
    """Who added a callback before gets the value with it."""
    big = cluster.submit(os.urandom, BIG)
    got: list[int] = []
    big.add_done_callback(lambda future: got.append(len(future.result())))
    assert cluster.submit(len, big).result(LIMIT) == BIG
    until(lambda: got)
    assert got == [BIG]


def test_a_large_value_that_nobody_asks_for(cluster_socket: str) -> None:
    """It is forgotten with its future; after the end of the job there is a sentence."""
    with Cluster(socket=cluster_socket, output=None) as cluster:
        big = cluster.submit(os.urandom, BIG)
        kept = cluster.submit(os.urandom, BIG)
        assert cluster.submit(lambda a, b: len(a + b), big, kept).result(LIMIT) == 2 * BIG
        del big
        gc.collect()
        assert cluster.submit(add, 1).result(LIMIT) == 1
    with pytest.raises(JobClosedError, match=r"ask for result\(\) before"):
        kept.result(LIMIT)


def test_futures_in_the_wrong_place(cluster: Cluster, cluster_socket: str) -> None:
    """A sentence says what to do."""
    future = cluster.submit(add, 1)
    with pytest.raises(NotPicklableError, match="future"):
        cluster.submit(lambda: future)
    with pytest.raises(NotPicklableError, match="future"):
        list(cluster.map(add, [future]))
    with pytest.raises(TypeError, match="depends_on"):
        cluster.submit(add, depends_on=[1])  # type: ignore[list-item]  # that is the point
    with Cluster(socket=cluster_socket, output=None) as other:
        slow = other.submit(time.sleep, 300)
        with pytest.raises(ValueError, match="another Cluster"):
            cluster.submit(add, slow)
        slow.give_up()
        assert other.submit(add, future, cluster.submit(add, future).result(LIMIT)).result(LIMIT) == 2


def test_asyncio(cluster_socket: str, received: list[int]) -> None:
    """Awaitables stand for their values as futures do; a large one comes once it is awaited."""

    async def run() -> None:
        async with AsyncCluster(socket=cluster_socket, output=None) as cluster:
            one = cluster.submit(add, 1)
            assert await cluster.submit(add, one, cluster.submit(add, one, 1), depends_on=[one]) == 3
            assert await cluster.submit(add, one) == 1
            failed: Any = cluster.submit(lambda: 1 // 0)
            with pytest.raises(DependencyError) as caught:
                await cluster.submit(add, failed)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            with pytest.raises(ZeroDivisionError):
                await failed
            big = cluster.submit(os.urandom, BIG)
            assert await cluster.submit(len, big) == BIG
            assert await cluster.submit(len, big) == BIG
            assert sum(received) < 100_000
            assert len(await big) == BIG

    asyncio.run(asyncio.wait_for(run(), LIMIT))


def test_a_worker_is_killed_between(own_site: Site, tmp_path: Path) -> None:
    """A new worker is given the values again."""
    once = tmp_path / "once"

    def die_once(value: bytes) -> int:
        if not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(value)

    with Cluster(socket=own_site.socket, output=None) as cluster:
        big = cluster.submit(os.urandom, BIG)
        first = cluster.submit(len, big)
        assert first.result(LIMIT) == BIG
        assert cluster.submit(die_once, big, depends_on=[first]).result(LIMIT) == BIG
        assert cluster.submit(add, cluster.submit(len, big), 1).result(LIMIT) == BIG + 1


def test_a_node_is_killed_between(own_site: Site, tmp_path: Path) -> None:
    """The other one is given what the task needs."""
    opened = tmp_path / "open"
    with Cluster(socket=own_site.socket, output=None, crash_limit=10) as cluster:
        big = cluster.submit(os.urandom, BIG)
        passed = gate(opened)
        users = [cluster.submit(lambda value, wait: wait(len(value)), big, passed) for _ in range(4)]
        until(lambda: cluster.status()["running"] == 2)
        own_site.daemons[1].process.kill()
        opened.touch()
        assert [user.result(LIMIT) for user in users] == [BIG] * 4


def test_the_master_is_killed_in_the_middle(own_site: Site, tmp_path: Path, received: list[int]) -> None:
    """Twice: what waits goes on waiting, values that are still needed are there, and do not travel."""
    gates = [tmp_path / "0", tmp_path / "1"]
    with Cluster(socket=own_site.socket, output=None, crash_limit=10) as cluster:
        big = cluster.submit(os.urandom, BIG)
        size = cluster.submit(len, big)
        chain = cluster.submit(add, size, 1)
        assert chain.result(LIMIT) == BIG + 1  # and the master is told so
        for each in gates:
            held = cluster.submit(gate(each), 1, depends_on=[chain])
            user = cluster.submit(lambda value, one: len(value) + one, big, held)
            after = cluster.submit(add, user, chain, depends_on=[size])
            until(lambda: waiting(cluster) == 2)
            own_site.daemons[0].process.kill()
            own_site.daemons[0].process.wait()
            late = cluster.submit(add, after, held)
            own_site.daemons.insert(0, own_site.start_master())
            each.touch()
            assert late.result(LIMIT) == 2 * BIG + 3
            assert sum(received) < 200_000 or each is gates[1]  # then it was asked for, below
            assert len(big.result(LIMIT)) == BIG
            big = cluster.submit(bytes, big)
