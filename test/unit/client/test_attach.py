"""A job that is left to the master, and found again."""

from __future__ import annotations

import concurrent.futures
import pickle
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from asyncluster.client.attach import attach
from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.futures import Cluster
from asyncluster.client.opening import JobOptions
from asyncluster.errors import AsynClusterError, JobClosedError, RefusedError
from asyncluster.model.messages import Cancel, Close, Code, Kept, Outcome, Result, Task

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
