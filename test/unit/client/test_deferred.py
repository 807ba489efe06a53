"""The Deferred and asyncio faces and JobClient, with a master in memory."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from asyncluster.client import jobclient
from asyncluster.client.aio import AsyncCluster
from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.opening import JobOptions
from asyncluster.client.session import Session
from asyncluster.errors import JobClosedError, LinkLostError, StepFailedError
from asyncluster.model.messages import Beat, Cancel, Started, StepDone, StepKind, Task


class Pooled(Clock):
    def getThreadPool(self) -> None:
        """Nobody runs in it."""


def opened(link: Any, reactor: Any = None) -> Session:
    got: list[Session] = []
    Deferred.fromCoroutine(connect_session(reactor, link, JobOptions(name="n"))).addCallback(got.append)
    return got[0]


def ended(deferred: Deferred[Any]) -> list[Any]:
    out: list[Any] = []
    deferred.addBoth(out.append)
    return out


def test_options_reach_the_master(link: Any) -> None:
    """As basic types; without a crash limit the master's own holds."""
    opened(link)
    assert link.options == {
        "name": "n",
        "niceness": 0,
        "priority": 0,
        "path": [],
        "python": "",
        "folder": os.getcwd(),
        "durable": True,
        "reconnect": 300.0,
    }


def test_calls_fire_in_any_order(link: Any) -> None:
    """Each Deferred gets its own value."""
    cluster = DeferredCluster(Clock(), opened(link))
    first, second = ended(cluster.submit(abs, -1)), ended(cluster.submit(abs, -2))
    link.queue.reverse()
    link.answer()
    assert (first, second) == ([1], [2])


def test_cancelling_a_deferred_cancels_the_call(link: Any) -> None:
    """The master is told once, and a late result does no harm."""
    cluster = DeferredCluster(Clock(), opened(link))
    call = cluster.submit(abs, -1)
    tasks = list(link.queue)
    out = ended(call)
    link.handler.messages([Started(7, 0, 1)])  # which makes no difference
    call.cancel()
    assert out[0].check(CancelledError)
    assert link.of(Cancel) == [Cancel(7, [0])]
    link.handler.messages([link.run(task) for task in tasks])
    assert len(out) == 1


def test_map_gathers_in_order(link: Any) -> None:
    """However the chunks come back."""
    cluster = DeferredCluster(Clock(), opened(link))
    out = ended(cluster.map(abs, range(-100, 0), chunksize=9))
    link.queue.reverse()
    link.answer()
    assert out == [list(range(100, 0, -1))]
    assert ended(cluster.map(abs, [])) == [[]]


def test_steps_report_every_node(link: Any) -> None:
    """The Deferred fires after the last node, and fails naming those that could not."""
    session = opened(link)
    out = ended(session.step(StepKind.IMPORT, b"x"))
    link.handler.messages([StepDone(7, 0, "a", ""), StepDone(7, 0, "b", "no module x")])
    assert out == []
    link.handler.messages([StepDone(7, 0, "", "")])
    assert out[0].check(StepFailedError)
    assert "node b: no module x" in out[0].getErrorMessage()


def test_a_step_keeps_its_place(link: Any) -> None:
    """Calls made before it go out before it."""
    session = opened(link)
    cluster = DeferredCluster(Clock(), session)
    cluster.submit(abs, 1)
    session.step(StepKind.UPDATE, b"")
    cluster.submit(abs, 2)
    assert [type(message).__name__ for message in link.sent] == ["Code", "Task", "Step", "Task"]


def test_a_lost_link_fails_calls_and_steps(link: Any) -> None:
    """With LinkLostError that says why, then and later."""
    session = opened(link)
    cluster = DeferredCluster(Clock(), session)
    call, step = ended(cluster.submit(abs, 1)), ended(session.step(StepKind.UPDATE, b""))
    link.handler.lost("cut")
    assert call[0].check(LinkLostError)
    assert step[0].check(LinkLostError)
    with pytest.raises(LinkLostError, match="cut"):
        cluster.submit(abs, 1)
    assert ended(cluster.shutdown()) == [None]


def test_shutdown_waits_for_what_was_submitted(link: Any) -> None:
    """Then closes the job and the link."""
    cluster = DeferredCluster(Clock(), opened(link))
    call = ended(cluster.submit(abs, -1))
    over = ended(cluster.shutdown())
    assert over == []
    link.answer()
    assert (call, over) == ([1], [None])
    assert link.closes == 1


def test_a_silent_master_is_given_up(link: Any) -> None:
    """Beats go out at the interval the master asks for; when nothing comes for too long everything fails."""
    link.terms = {"heartbeat": 2, "silence": 5}
    clock = Clock()
    session = opened(link, clock)
    call = ended(DeferredCluster(clock, session).submit(abs, -1))
    for _ in range(5):
        link.received += 1
        clock.advance(2)
    link.handler.messages([Beat(0)])
    assert len(link.of(Beat)) == 5
    assert call == []
    clock.pump([2] * 4)
    assert call[0].check(LinkLostError)
    assert "the master was silent" in call[0].getErrorMessage()
    assert clock.getDelayedCalls() == []


def test_beating_ends_with_the_session(link: Any) -> None:
    """Nothing is left in the reactor."""
    link.terms = {"heartbeat": 2.0, "silence": 5.0}
    clock = Clock()
    session = opened(link, clock)
    assert clock.getDelayedCalls()
    session.close(JobClosedError("over"))
    assert clock.getDelayedCalls() == []


def test_job_client_shut_down_while_starting(link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session that is opened afterwards is closed, and startup says so."""
    found: Deferred[Any] = Deferred()
    monkeypatch.setattr(jobclient, "deferToThreadPool", lambda *_: found)
    job = jobclient.JobClient(reactor=Pooled())
    started = ended(job.startup())
    assert ended(job.shutdown()) == [None]
    found.callback(link)
    assert started[0].check(JobClosedError)
    assert (link.closes, link.closed) == (1, True)


def test_asyncio_face(threaded_link: Any) -> None:
    """Awaiting, iterating, cancelling."""

    async def main() -> None:
        async with AsyncCluster(threaded_link) as cluster:
            assert await asyncio.gather(*(cluster.submit(abs, -n) for n in range(20))) == list(range(20))
            assert [value async for value in cluster.map(abs, range(100))] == list(range(100))
            with pytest.raises(ZeroDivisionError):
                await cluster.submit(lambda: 1 // 0)
            threaded_link.answering = False
            calls = [cluster.submit(abs, 1) for _ in range(2)]
            assert [job.running for job in await cluster.jobs()] == [2]
            assert (await cluster.status()) == {"nodes": 1}
            seqs = [task.seq for task in threaded_link.queue]
            threaded_link.reactor.callFromThread(threaded_link.handler.messages, [Started(7, seqs[0], 1)])
            assert (await cluster.status()) == {"nodes": 1}
            assert all(call.cancel() for call in calls)  # begun or not
            await asyncio.sleep(0)
            assert (await cluster.status()) == {"nodes": 1}
            assert [seq for cancel in threaded_link.of(Cancel) for seq in cancel.seqs] == seqs
        assert len(threaded_link.of(Task)) >= 21

    asyncio.run(asyncio.wait_for(main(), 20))
