"""A job that is left to the master, and found again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import pickle
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from asyncluster.client.aio import AsyncCluster
from asyncluster.client.attach import Jobs, attach
from asyncluster.client.attach_deferred import DeferredAttached
from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.futures import Cluster
from asyncluster.client.jobclient import JobClient
from asyncluster.client.opening import JobOptions
from asyncluster.client.place import UnixPlace
from asyncluster.errors import AsynClusterError, JobClosedError, MasterNotFoundError, RefusedError
from asyncluster.model.messages import Cancel, Close, Code, Kept, Outcome, Result, Task
from asyncluster.testing.threads import Threads

LIMIT = 20


def value(seq: int) -> Result:
    """A task's end."""
    return Result(7, seq, 1, Outcome.VALUE, pickle.dumps(seq * 10))


def test_everything_is_handed_over_first(threaded_link: Any) -> None:
    """Also what the window held back; then it is said how many messages that were, and nothing is cancelled."""
    threaded_link.answering = False
    cluster = Cluster(threaded_link, detached=True)
    cluster._core.calls._window = 3
    futures = [cluster.submit(abs, number) for number in range(10)]
    assert cluster.detach() == 7
    assert threaded_link.options["detached"] is True
    assert len(threaded_link.of(Task)) == 10
    assert threaded_link.detached == [(7, 11)]
    assert threaded_link.of(Close) == threaded_link.of(Cancel) == []
    for future in futures:
        with pytest.raises(JobClosedError, match=r"asyncluster.attach\(7\)"):
            future.result(LIMIT)
    with pytest.raises(JobClosedError, match="detached"):
        cluster.submit(abs, 1)
    with pytest.raises(JobClosedError, match="detached"):
        cluster.detach()
    cluster.shutdown()


def test_not_in_the_middle_of_a_map(threaded_link: Any) -> None:
    """What it has not handed in would be missing."""
    threaded_link.answering = False
    cluster = Cluster(threaded_link)
    values = cluster.map(abs, range(10_000))
    with pytest.raises(AsynClusterError, match="map is still handing in"):
        cluster.detach()
    del values
    cluster.shutdown(cancel_futures=True)


def test_the_deferred_face() -> None:
    """It says the same, and takes no more."""
    from test.unit.client.conftest import FakeLink

    link, clock = FakeLink(), Clock()
    sessions: list[Any] = []
    Deferred.fromCoroutine(connect_session(clock, link, JobOptions(), reconnect=0)).addCallback(sessions.append)  # type: ignore[arg-type]  # a Clock is enough here
    cluster = DeferredCluster(clock, sessions[0])
    failures: list[Any] = []
    cluster.options(cores=2).submit(abs, -1).addErrback(lambda failure: failures.append(failure.value))
    numbers: list[int] = []
    cluster.detach().addCallback(numbers.append)
    assert numbers == [7]
    assert link.detached == [(7, 2)]
    assert [code.need.cores for code in link.of(Code)] == [2]
    assert [type(failure) for failure in failures] == [JobClosedError]
    with pytest.raises(JobClosedError):
        cluster.submit(abs, 1)


def test_results_are_found_by_number(threaded_link: Any) -> None:
    """Those that were there before we came, and those that come; leaving changes nothing at the master."""
    threaded_link.owed = [value(3), value(0)]
    with attach(7, threaded_link) as found:
        assert list(found.futures) == [0, 1, 3, 4]
        assert found.futures[3].result(LIMIT) == 30
        assert not found.wait(0)
        error = Result(7, 1, 1, Outcome.EXCEPTION, pickle.dumps((KeyError("k"), "")))
        threaded_link.reactor.callFromThread(threaded_link.handler.messages, [error, value(4)])
        assert found.wait(LIMIT)
        results = found.results(LIMIT)
        assert next(results) == (0, 0)
        with pytest.raises(KeyError):
            next(results)
        assert found.futures[4].result() == 40
    assert threaded_link.of(Close) == threaded_link.of(Task) == []
    assert threaded_link.closed


def test_a_cluster_finds_jobs_at_its_own_master(threaded_link: Any) -> None:
    """Wherever that is, and also when its own job was left; nothing of the cluster ends with it."""
    with Cluster(threaded_link, output=None, reconnect=7.0) as cluster:
        with cluster.options(cores=2).attach(7) as found:
            assert list(found.futures) == [0, 1, 3, 4]
            assert found._core.reconnect == 7.0
        with pytest.raises(ValueError, match="job is the number"):
            cluster.attach(0)
    threaded_link.closed, threaded_link.yours = False, False
    with pytest.raises(RefusedError, match="bob's"):
        cluster.attach(7)
    cluster.attach(7, trust=True).close()


def test_waiting_keeps_the_reactor_out_of_nothing(threaded_link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a million tasks must not lock them all: the reactor that settles them could not even beat."""
    locked: list[int] = []
    plain = concurrent.futures.wait

    def wait(futures: Any, timeout: float | None = None) -> Any:
        locked.append(len(futures))
        return plain(futures, timeout)

    monkeypatch.setattr("asyncluster.client.attach.wait", wait)
    with attach(7, threaded_link) as found:
        assert not found.wait(0)
        threaded_link.reactor.callFromThread(threaded_link.handler.messages, [value(seq) for seq in (4, 3, 1, 0)])
        assert found.wait(LIMIT)
        assert found.wait()
    assert set(locked) == {1}


def test_exceptions_among_the_results(threaded_link: Any) -> None:
    """As values where that is asked for; that the job is gone is none of them."""
    with attach(7, threaded_link) as found:
        ends = [
            Result(7, 1, 1, Outcome.EXCEPTION, pickle.dumps((KeyError("k"), ""))),
            Result(7, 3, 1, Outcome.CANCELLED, b""),
        ]
        threaded_link.reactor.callFromThread(threaded_link.handler.messages, [value(0), *ends])
        results = found.results(LIMIT, return_exceptions=True)
        told = [next(results) for _ in range(3)]
        assert [number for number, _ in told] == [0, 1, 3]
        assert [type(each) for _, each in told] == [int, KeyError, concurrent.futures.CancelledError]
        with pytest.raises(TimeoutError):
            list(found.results(0, return_exceptions=True))
        threaded_link.reactor.callFromThread(threaded_link.handler.messages, [Close(7)])
        with pytest.raises(JobClosedError, match="job 7 was closed"):
            next(results)


def test_a_job_that_is_not_there(threaded_link: Any) -> None:
    """Is one error, and what went on inside is not in its traceback."""
    threaded_link.yours = False
    with pytest.raises(RefusedError) as caught:
        attach(7, threaded_link)
    assert [entry.name for entry in caught.traceback][1:] == ["attach"]
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_cancelling_is_an_order_by_number(threaded_link: Any) -> None:
    """As nothing else of the job is ours; a future of it lets what runs go on, an order about tasks ends them."""
    with attach(7, threaded_link) as found:
        assert found.futures[4].cancel()
        assert concurrent.futures.wait([found.futures[4]], LIMIT).done
        assert found.cancel(1, 3) == 1
    assert threaded_link.cancelled == [("drop_tasks", 7, [4]), ("cancel_job", 7, [1, 3])]
    assert [kind for kind in map(type, threaded_link.sent) if kind is not Kept] == []


def test_a_job_that_is_forgotten_meanwhile(threaded_link: Any) -> None:
    """Is no end of its tasks."""
    found = attach(7, threaded_link)
    threaded_link.reactor.callFromThread(threaded_link.handler.messages, [Close(7)])
    with pytest.raises(JobClosedError):
        found.wait(LIMIT)
    with pytest.raises(JobClosedError):
        found.futures[0].result(LIMIT)
    found.close()


def test_others_results_are_not_unpickled(threaded_link: Any) -> None:
    """Unless that is asked for."""

    class Evil:
        def __reduce__(self) -> Any:
            return pytest.fail, ("it was unpickled",)

    threaded_link.yours = False
    threaded_link.owed = [Result(7, 0, 1, Outcome.VALUE, pickle.dumps(Evil()))]
    with pytest.raises(RefusedError, match="bob's: results are pickles"):
        attach(7, threaded_link)


@pytest.mark.parametrize("job", [0, -1, "7", True])
def test_senseless_numbers(job: Any) -> None:
    """Are told at once."""
    with pytest.raises(ValueError, match="job is the number"):
        attach(job)


def test_with_asyncio(threaded_link: Any) -> None:
    """The same, awaited; who stops to look cancels nothing, and failures that nobody asks for are no complaint."""
    complaints: list[Any] = []

    def came(*results: Any) -> None:
        threaded_link.reactor.callFromThread(threaded_link.handler.messages, list(results))

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        async with AsyncCluster.attach(7, threaded_link) as found:
            assert list(found.futures) == [0, 1, 3, 4]
            assert not await found.wait(0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(found.results()), 0.01)
            error = Result(7, 1, 1, Outcome.EXCEPTION, pickle.dumps((KeyError("k"), "")))
            came(value(0), error, Result(7, 3, 1, Outcome.CANCELLED, b""), value(4))
            assert await found.wait(LIMIT)
            told = [(task, each) async for task, each in found.results(return_exceptions=True)]
            assert [(task, type(each)) for task, each in told] == [
                (0, int),
                (1, KeyError),
                (3, asyncio.CancelledError),
                (4, int),
            ]
            results = found.results()
            assert await anext(results) == (0, 0)
            with pytest.raises(KeyError):
                await anext(results)
            assert await found.futures[4] == 40
            assert await found.cancel(1, 3) == 1
        assert threaded_link.cancelled == [("cancel_job", 7, [1, 3])]
        del found, results, told
        gc.collect()

    asyncio.run(main())
    assert threaded_link.closed
    assert complaints == []


def test_a_job_that_is_forgotten_meanwhile_with_asyncio(threaded_link: Any) -> None:
    """Is no end of its tasks."""

    async def main() -> None:
        async with AsyncCluster.attach(7, threaded_link) as found:
            threaded_link.reactor.callFromThread(threaded_link.handler.messages, [Close(7)])
            with pytest.raises(JobClosedError):
                await found.wait(LIMIT)
            with pytest.raises(JobClosedError):
                await anext(found.results(return_exceptions=True))

    asyncio.run(main())
    with pytest.raises(ValueError, match="job is the number"):
        AsyncCluster.attach(0)


class _Found:
    """A DeferredAttached on a link in memory."""

    def __init__(self, link: Any = None) -> None:
        from test.unit.client.conftest import FakeLink

        self.link, self.clock = link or FakeLink(), Threads()
        made: list[Any] = []
        DeferredCluster.attach(7, self.link, reactor=self.clock).addBoth(made.append)
        self.clock.advance(0)
        assert isinstance(made[0], DeferredAttached), made[0].getTraceback()
        self.attached: DeferredAttached = made[0]

    def came(self, *results: Any) -> None:
        self.link.handler.messages(list(results))


def got(deferred: Deferred[Any]) -> list[Any]:
    """What it fires with."""
    found: list[Any] = []
    deferred.addBoth(lambda each: found.append(getattr(each, "value", each)))
    return found


def test_a_deferred_fails_where_others_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what looks at files is done in a thread, not on the program's reactor."""
    clock = Threads()
    looked: list[bool] = []

    def find() -> None:
        looked.append(clock.inside)

    monkeypatch.setattr("asyncluster.personal.find", find)
    assert isinstance(got(DeferredCluster.attach(0, reactor=clock))[0], ValueError)
    assert isinstance(got(DeferredCluster.attach(7, reconnect=-1, reactor=clock))[0], ValueError)
    assert looked == []
    assert isinstance(got(DeferredCluster.attach(7, reactor=clock))[0], MasterNotFoundError)
    assert looked == [True]


def test_with_deferreds() -> None:
    """Each asked for as often as one likes; cancelling one means nothing to the task."""
    made = _Found()
    found = made.attached
    assert found.tasks == [0, 1, 3, 4]
    first, again = found.result(0), found.result(0)
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    ends, strict, late, on_time = (
        got(found.results(return_exceptions=True)),
        got(found.results()),
        got(found.wait(1)),
        got(found.wait(10)),
    )
    made.clock.advance(2)
    assert late == [False]
    error = Result(7, 1, 1, Outcome.EXCEPTION, pickle.dumps((KeyError("k"), "")))
    made.came(value(0), error, Result(7, 3, 1, Outcome.CANCELLED, b""))
    assert (got(again), ends, on_time) == ([0], [], [])
    assert isinstance(strict[0], KeyError)
    made.came(value(4))
    assert on_time == [True]
    assert [(task, type(each)) for task, each in ends[0]] == [
        (0, int),
        (1, KeyError),
        (3, CancelledError),
        (4, int),
    ]
    assert got(found.cancel(1)) == [1]
    assert made.link.cancelled == [("cancel_job", 7, [1])]
    assert got(found.close()) == [None]
    assert made.link.of(Close) == []


def test_a_job_that_is_forgotten_meanwhile_with_deferreds() -> None:
    """Is no end of its tasks."""
    made = _Found()
    waiting, ends = got(made.attached.wait()), got(made.attached.results(return_exceptions=True))
    made.came(value(0), Close(7))
    assert isinstance(waiting[0], JobClosedError)
    assert isinstance(ends[0], JobClosedError)
    with pytest.raises(KeyError):
        made.attached.result(99)


def test_a_master_of_ones_own_keeps_no_job() -> None:
    """It ends with the program, whatever the face."""
    from test.unit.client.conftest import FakeLink

    link, clock = FakeLink(), Clock()
    sessions: list[Any] = []
    Deferred.fromCoroutine(connect_session(clock, link, JobOptions(), reconnect=0)).addCallback(sessions.append)  # type: ignore[arg-type]  # a Clock is enough here
    cluster = DeferredCluster(clock, sessions[0], place=UnixPlace("/nowhere", slots=2))
    with pytest.raises(AsynClusterError, match="this program started its master"):
        cluster.options(cores=2).detach()
    job = JobClient(reactor=clock)
    job._session, job._place = sessions[0], UnixPlace("/nowhere", slots=2)
    assert "started its master" in str(got(job.detach())[0])
    job._place = None
    assert got(job.detach()) == [7]
    assert isinstance(got(job.detach())[0], JobClosedError)
    assert link.of(Close) == []


def _ask(face: str, master: Any, verb: str) -> Any:
    """What that face gives for `cancel` or `forget`, over whose answer the link is lost."""
    master.answers_lost.append("cancel_job" if verb == "cancel" else "forget_job")
    master.terms = {"heartbeat": 3, "silence": 9}
    if face == "deferred":
        master.reactor = None
        made = _Found(master)
        found = got(getattr(made.attached, verb)())
        master.cut()
        made.clock.pump([0.05] * 100)
        (outcome,) = found
        return outcome
    if face == "jobs":
        with Jobs(address=master) as jobs:
            return getattr(jobs, verb)(7)
    if face == "blocking":
        with attach(7, master) as found:
            return getattr(found, verb)()

    async def main() -> Any:
        async with AsyncCluster.attach(7, master) as found:
            return await asyncio.wait_for(getattr(found, verb)(), LIMIT)

    return asyncio.run(main())


FACES = ["jobs", "blocking", "asyncio", "deferred"]


@pytest.mark.parametrize("face", FACES)
def test_a_link_that_is_lost_over_an_order(face: str, threaded_master: Any) -> None:
    """It is said again once the link is back, whatever the face."""
    assert _ask(face, threaded_master, "cancel") is None, "the master's second answer is none to the question"
    assert threaded_master.cancelled == [("cancel_job", 7, [])] * 2
    assert len(threaded_master.wires) == 2


@pytest.mark.parametrize("face", FACES)
def test_a_link_that_is_lost_over_forgetting(face: str, threaded_master: Any) -> None:
    """That the job is gone when it is said again is what was wanted."""
    assert _ask(face, threaded_master, "forget") is None
    assert threaded_master.forgotten == [7]


def test_a_job_that_cannot_be_forgotten(threaded_master: Any) -> None:
    """It is refused, also where it was said again and the job is still there."""
    threaded_master.forgets = "job 7 is not detached"
    with pytest.raises(RefusedError, match="not detached"):
        _ask("jobs", threaded_master, "forget")
    with Jobs(address=threaded_master) as jobs, pytest.raises(RefusedError, match="not detached"):
        jobs.forget(7)
    threaded_master.forgotten.append(8)
    with Jobs(address=threaded_master) as jobs, pytest.raises(RefusedError, match="no job 8"):
        jobs.forget(8)


def test_detaching_when_the_link_is_lost_over_it(threaded_master: Any) -> None:
    """The session hears of the loss after its question did; it is asked again when the link is back."""
    cluster = Cluster(threaded_master, output=None)
    threaded_master.answers_lost.append("detach")
    assert concurrent.futures.wait([cluster._core.detaching()], LIMIT).done
    assert [args[0] for args in threaded_master.detached] == [7, 7]
