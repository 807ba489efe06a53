"""Calls that depend on others, as the client hands them over; the far side is played by the test."""

from __future__ import annotations

import gc
import io
import pickle
import threading
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred

from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.session import Session
from asyncluster.client.unkept import Unkept
from asyncluster.errors import (
    DependencyError,
    JobClosedError,
    LimitExceededError,
    NotPicklableError,
    RefusedError,
    WorkerLostError,
)
from asyncluster.model.messages import After, Forget, Kept, Message, Outcome, Result, Task, Value, Want

FakeLink = Any  # the fixture's class lives in conftest.py, which is not importable
VALUE, EXCEPTION = Outcome.VALUE, Outcome.EXCEPTION


def open_session(link: FakeLink, holding: list[Any] | None = None) -> Session:
    """With a reactor that comes round at once, or when the test says so."""

    def hand_over(function: Any) -> None:
        if holding is None:
            function()
        else:
            holding.append(function)

    def settle(settled: list[Any]) -> None:
        for sink, kind, value, wall in settled:
            sink.settle(kind, value, wall)

    session = Session(link, 7, hand_over, settle, None, threading.Lock())
    link.handler = session
    return session


@pytest.fixture
def session(link: FakeLink) -> Session:
    """One that sends at once."""
    return open_session(link)


@pytest.fixture
def cluster(session: Session) -> DeferredCluster:
    """On it."""
    return DeferredCluster(None, session)


def answer(session: Session, seq: int, value: object = None, outcome: int = VALUE) -> None:
    """The master sends a result."""
    payload = value if isinstance(value, bytes) else pickle.dumps(value)
    session.messages([Result(7, seq, 1, outcome, payload)])


def values(deferred: Deferred[Any]) -> list[Any]:
    """What it has fired with."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    return got


def load(task: Task, known: dict[int, object]) -> Any:
    """As a worker does."""
    file = io.BytesIO(task.payload)
    sources = pickle.load(file)

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            source = sources[pid]
            return known[source] if isinstance(source, int) else pickle.loads(source)

    return Unpickler(file).load()


def calls(link: FakeLink) -> list[Message]:
    """Tasks and what comes before them."""
    return [each for each in link.sent if isinstance(each, After | Task)]


def test_after_comes_before_its_task(cluster: DeferredCluster, link: FakeLink) -> None:
    """Handles at any depth are named once; `depends_on` only orders."""
    one, two, three = cluster.submit(abs, 1), cluster.submit(abs, 2), cluster.submit(abs, 3)
    cluster.submit(divmod, one, [{"k": (two, one)}], depends_on=[three, three])
    *plain, after, task = calls(link)
    cluster.submit(abs, depends_on=three)
    assert calls(link)[-2] == After(7, 4, [], [2])
    assert [type(each) for each in plain] == [Task] * 3
    assert after == After(7, 3, [0, 1], [2])
    assert load(task, {0: "v0", 1: "v1"}) == (("v0", [{"k": ("v1", "v0")}]), {})


def test_what_is_done_goes_along(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """As a value, whatever callbacks made of the Deferred; nothing is waited for."""
    one = cluster.submit(abs, 1)
    one.addCallback(lambda value: None)
    answer(session, 0, {"a": 1})
    cluster.submit(abs, one, depends_on=[one])
    *_, task = calls(link)
    assert not link.of(After)
    assert load(task, {}) == (({"a": 1},), {})


def test_what_ends_while_the_call_waits_goes_along(link: FakeLink) -> None:
    """The master is not asked for a result that it may have forgotten."""
    turns: list[Any] = []
    session = open_session(link, turns)
    cluster = DeferredCluster(None, session)
    one, two = cluster.submit(abs, 1), cluster.submit(abs, 2)
    turns.pop()()
    cluster.submit(divmod, one, two, depends_on=[one])
    answer(session, 0, "v")
    turns.pop()()
    after, task = calls(link)[-2:]
    assert after == After(7, 2, [1], [])
    assert load(task, {1: "w"}) == (("v", "w"), {})


def test_failures_before_the_call_is_handed_over(link: FakeLink) -> None:
    """It fails at once, and so do those that wait for it; the cause is the first exception."""
    turns: list[Any] = []
    session = open_session(link, turns)
    cluster = DeferredCluster(None, session)
    one = cluster.submit(abs, 1)
    turns.pop()()
    below = cluster.submit(abs, cluster.submit(abs, one))
    answer(session, 0, (ValueError("no"), "trace"), EXCEPTION)
    turns.pop()()
    for failure in (values(below)[0], values(cluster.submit(abs, below))[0]):
        assert isinstance(failure.value, DependencyError)
        assert isinstance(failure.value.__cause__, ValueError)
    assert len(link.of(Task)) == 1
    assert isinstance(values(one)[0].value, ValueError)
    assert session.calls.idle


def test_the_chain_of_calls_that_come_too_late(cluster: DeferredCluster, session: Session) -> None:
    """It is in the words, as in those of the master; a long one has no middle."""
    one = cluster.submit(divmod, 1, 0)
    answer(session, 0, (ZeroDivisionError("no"), "trace"), EXCEPTION)
    values(one)
    two = cluster.submit(abs, 1, depends_on=one)
    three = cluster.submit(max, two)
    failures = [values(each)[0].value for each in (two, three)]
    assert [str(failure) for failure in failures] == [
        "abs() was not run: it depends on task 0, divmod(), which failed",
        "max() was not run: it depends on abs(), which depends on task 0, divmod(), which failed",
    ]
    assert all(isinstance(failure.__cause__, ZeroDivisionError) for failure in failures)
    last = three
    for _ in range(20):
        last = cluster.submit(abs, last)
    (failure,) = values(last)
    links = str(failure.value).split(", which ")
    assert links[0] == "abs() was not run: it depends on abs()"
    assert links[-3:] == ["depends on abs()", "depends on task 0, divmod()", "failed"]
    assert "…" in links
    assert len(links) <= 10


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (WorkerLostError("lost"), "was lost"),
        (LimitExceededError("too long"), "went over a limit"),
        (DependencyError("a task said so"), "failed"),
        (ValueError("it: it was"), "failed"),
    ],
)
def test_how_the_last_of_a_chain_ended(cluster: DeferredCluster, session: Session, error: Exception, how: str) -> None:
    """In the words that the master has for it."""
    one = cluster.submit(abs, 1)
    answer(session, 0, (error, "trace"), EXCEPTION)
    values(one)
    (failure,) = values(cluster.submit(max, one))
    assert str(failure.value) == f"max() was not run: it depends on task 0, abs(), which {how}"


def test_failures_told_by_the_master(cluster: DeferredCluster, session: Session) -> None:
    """The chain is in the words, the exception is the cause, also where both come in one batch."""
    one = cluster.submit(abs, 1)
    two = cluster.submit(abs, one)
    results = [
        Result(7, 0, 1, EXCEPTION, pickle.dumps((ValueError("no"), "trace"))),
        Result(7, 1, 0, Outcome.DEPENDENCY, b"task 1 was not run: it depends on task 0, which failed"),
    ]
    session.messages(list(results))
    (failure,) = values(two)
    assert str(failure.value) == "abs(): task 1 was not run: it depends on task 0, which failed"
    assert isinstance(failure.value.__cause__, ValueError)
    values(one)


def test_cancelled_dependencies(cluster: DeferredCluster, link: FakeLink) -> None:
    """Nothing that depends on them is handed over."""
    one = cluster.submit(abs, 1)
    one.cancel()
    (failure,) = values(cluster.submit(abs, one))
    assert isinstance(failure.value, DependencyError)
    assert str(failure.value) == "abs() was not run: it depends on task 0, abs(), which was cancelled"
    assert isinstance(values(one)[0].value, CancelledError)
    assert len(link.of(Task)) == 1


def test_a_call_made_while_others_are_told(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """It depends on one that came in the same batch and has not been told: it was not cancelled."""
    one, two = cluster.submit(abs, 1), cluster.submit(abs, 2)
    made: list[Deferred[Any]] = []
    one.addCallback(lambda _value: made.append(cluster.submit(abs, two)))
    session.messages([Result(7, seq, 1, VALUE, pickle.dumps(seq + 1)) for seq in (0, 1)])
    assert values(made[0]) == []
    (task,) = link.of(Task)[2:]
    assert load(task, {}) == ((2,), {})


def test_a_value_stays_until_it_is_asked_for(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """It is wanted once, and forgotten when it is here; others may depend on it meanwhile."""
    one = cluster.submit(abs, 1)
    answer(session, 0, b"99999", Outcome.STAYS)
    cluster.submit(abs, one)
    assert link.of(After) == [After(7, 1, [0], [])]
    assert not link.of(Want)
    got = values(one)
    assert link.of(Want) == [Want(7, [0])]
    session.messages([Value(7, 0, pickle.dumps("large"))])
    assert got == ["large"]
    gc.collect()
    assert link.of(Forget) == [Forget(7, [0])]


def test_a_value_that_is_watched_is_asked_for(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """A callback was there before; what the master cannot send fails with its words."""
    got = values(cluster.submit(abs, 1))
    answer(session, 0, b"99999", Outcome.STAYS)
    assert link.of(Want) == [Want(7, [0])]
    answer(session, 0, b"it is gone", Outcome.REFUSED)
    assert isinstance(got[0].value, RefusedError)


def test_a_value_that_nobody_holds_is_forgotten(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """Also when nobody ever held it, and when the master says it once more after a break."""
    cluster.submit(abs, 1)
    answer(session, 0, b"99999", Outcome.STAYS)
    gc.collect()
    answer(session, 0, b"99999", Outcome.STAYS)
    assert link.of(Forget) == [Forget(7, [0]), Forget(7, [0])]


def test_a_value_of_a_closed_job(cluster: DeferredCluster, session: Session) -> None:
    """There is a sentence about it."""
    one, two = cluster.submit(abs, 1), cluster.submit(abs, 2)
    answer(session, 0, b"99999", Outcome.STAYS)
    got = values(two)
    answer(session, 1, b"99999", Outcome.STAYS)
    session.close(JobClosedError("over"))
    for failure in (values(one)[0], got[0]):
        assert isinstance(failure.value, JobClosedError)
        assert "ask for result() before" in str(failure.value)


def test_what_is_refused_at_once(cluster: DeferredCluster, session: Session, link: FakeLink) -> None:
    """Wrong dependencies, futures of others that are not done, arguments beside futures that cannot travel."""
    one = cluster.submit(abs, 1)
    with pytest.raises(TypeError, match="depends_on of abs"):
        cluster.submit(abs, depends_on=["one"])  # type: ignore[list-item]  # that is the point
    for wrong in (3, object(), "one"):
        with pytest.raises(TypeError, match=r"depends_on of abs\(\)"):
            cluster.submit(abs, depends_on=wrong)  # type: ignore[arg-type]  # likewise
    other = DeferredCluster(None, open_session(link))
    with pytest.raises(ValueError, match="another Cluster"):
        other.submit(abs, one)
    with pytest.raises(NotPicklableError, match=r"argument 1 of divmod\(\), a lock"):
        cluster.submit(divmod, one, threading.Lock())
    with pytest.raises(NotPicklableError, match="future"):
        pickle.dumps(one)
    answer(session, 0, 5)
    other.submit(abs, one)
    assert load(link.of(Task)[-1], {}) == ((5,), {})
    assert len(link.of(Task)) == 2


def test_after_is_counted(link: FakeLink) -> None:
    """What the master did not keep is sent again, in order."""
    session = open_session(link)
    session._unkept = Unkept()
    cluster = DeferredCluster(None, session)
    one = cluster.submit(abs, 1)
    cluster.submit(abs, one)
    assert session._unkept.sent == 4  # code, task, after, task
    session.messages([Kept(7, 2)])
    assert [type(each) for each in session._unkept.resume(2)] == [After, Task]
