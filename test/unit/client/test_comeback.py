"""A session whose master is lost, restarted, replaced or gone for good."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from asyncluster.client import calls
from asyncluster.client.aio import AsyncCluster
from asyncluster.client.comeback import TRY_SECONDS
from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.futures import Cluster
from asyncluster.client.opening import JobOptions
from asyncluster.client.place import UnixPlace
from asyncluster.client.session import Session
from asyncluster.errors import JobClosedError, LinkLostError, ProofError, VersionMismatchError
from asyncluster.model.messages import Beat, Cancel, Close, Code, Kept, Step, StepDone, StepKind, Task
from asyncluster.wire.outbox import CANCEL_SEQS

LIMIT = 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def session(master: Any, clock: Clock, shown: list[str]) -> Session:
    return opened(master, clock, shown)


@pytest.fixture
def cluster(clock: Clock, session: Session) -> DeferredCluster:
    return DeferredCluster(clock, session)


def opened(place: Any, clock: Clock, shown: list[str], reconnect: float = 300.0) -> Session:
    def printer(place: str, stream: int, line: str) -> None:
        assert (place, stream) == ("master", 2)
        shown.append(line)

    got: list[Session] = []
    opening = connect_session(clock, place, JobOptions(), printer, reconnect=reconnect)  # type: ignore[arg-type]
    Deferred.fromCoroutine(opening).addCallback(got.append)
    return got[0]


def ended(deferred: Deferred[Any]) -> list[Any]:
    out: list[Any] = []
    deferred.addBoth(out.append)
    return out


def wait(clock: Clock, seconds: float = 10.0) -> None:
    """Long enough for some tries, whatever the jitter."""
    clock.pump([0.05] * int(seconds / 0.05))


def seqs(master: Any) -> list[int]:
    return [task.seq for task in master.of(Task)]


def test_what_was_in_flight_is_sent_again(
    master: Any, clock: Clock, cluster: DeferredCluster, shown: list[str]
) -> None:
    """Each message arrives once and in order, and every call gets its value."""
    master.arriving = False
    out = [ended(cluster.submit(abs, -number)) for number in range(5)]
    master.wire.arrive(3)
    master.keep()
    master.cut()
    master.arriving = True
    wait(clock)
    assert [type(message) for message in master.counted] == [Code] + [Task] * 5
    assert seqs(master) == [0, 1, 2, 3, 4]
    master.answer()
    assert out == [[0], [1], [2], [3], [4]]
    assert shown == [
        "the connection to the master ended: cut; trying again for up to 300 s",
        "the connection to the master is back",
    ]


def test_nothing_is_sent_twice(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """Not what the master had without having said so, however often the link is lost."""
    for number in range(4):
        cluster.submit(abs, -number)
        master.cut()
        wait(clock)
    assert seqs(master) == [0, 1, 2, 3]
    assert len(master.wires) == 5


def test_calls_meanwhile_wait(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """Of those submitted and those cancelled while the master is away it hears once it is back."""
    cluster.submit(abs, -1)
    gone = cluster.submit(abs, -2)
    master.leave()
    wait(clock)
    new, unwanted = ended(cluster.submit(abs, -3)), cluster.submit(abs, -4)
    for call in (gone, unwanted):
        out = ended(call)
        call.cancel()
        assert out[0].check(CancelledError)
    master.come_back()
    wait(clock)
    assert [type(message) for message in master.counted] == [Code, Task, Task, Cancel, Task]
    assert master.of(Cancel) == [Cancel(7, [1])]
    master.answer()
    assert new == [3]


def test_results_are_told_to_be_kept(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """At the next occasion, with a count that begins anew on each link; those that come again change nothing."""
    out = [ended(cluster.submit(abs, -number)) for number in range(6)]
    master.answer(2)
    assert sorted(master.unheard) == [0, 1]
    master.wire.tell(Beat(0))
    assert master.unheard == {}
    master.arriving = False
    master.answer(2)
    assert sorted(master.unheard) == [2, 3]
    master.cut()
    master.arriving = True
    wait(clock)
    master.wire.tell(Beat(0))
    assert master.unheard == {}
    master.answer()
    assert out == [[number] for number in range(6)]
    ended(cluster.submit(abs, -6))  # goes with what is sent anyway
    assert master.wire.heard == 4
    assert master.unheard == {}


def test_results_while_the_link_was_down(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """They come after it is back."""
    call = ended(cluster.submit(abs, -1))
    master.leave()
    master.answer()
    master.come_back()
    assert call == []
    wait(clock)
    assert call == [1]


def test_steps_survive(master: Any, clock: Clock, session: Session) -> None:
    """One that was on its way is sent again; what a node said twice is told once."""
    first = ended(session.step(StepKind.UPDATE, b"a"))
    master.wire.tell(StepDone(7, 0, "n", "broken"))
    master.arriving = False
    second = ended(session.step(StepKind.UPDATE, b"b"))
    master.cut()
    master.arriving = True
    wait(clock)
    assert [step.payload for step in master.of(Step)] == [b"a", b"b"]
    master.wire.tell(StepDone(7, 0, "n", "broken"), StepDone(7, 0, "", ""), StepDone(7, 1, "", ""))
    assert first[0].getErrorMessage() == "node n: broken"
    assert second == [None]
    master.wire.tell(StepDone(7, 1, "", ""))


def test_another_master(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """One with another book ends the session, and is told of no job."""
    call, step = ended(cluster.submit(abs, -1)), ended(cluster.session.step(StepKind.UPDATE, b""))
    master.realm = "another"
    master.cut()
    wait(clock)
    for out in (call, step):
        assert out[0].check(LinkLostError)
        assert "cut; the master that is there now does not know job 7: it began anew" in out[0].getErrorMessage()
    assert not master.wire.connected
    assert master.asked.count("come_back") == 0
    with pytest.raises(LinkLostError, match="does not know job 7"):
        cluster.submit(abs, 1)
    assert clock.getDelayedCalls() == []


def test_a_job_that_is_gone(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """The master's refusal is told."""
    call = ended(cluster.submit(abs, -1))
    master.forgets = "it was closed"
    master.cut()
    wait(clock)
    assert call[0].check(LinkLostError)
    assert "does not know job 7 any more: it was closed" in call[0].getErrorMessage()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("count", [0, 4])
def test_a_master_with_other_records(master: Any, clock: Clock, cluster: DeferredCluster, count: int) -> None:
    """It cannot go on with the job."""
    call = ended(cluster.submit(abs, -1))
    master.keep()
    master.kept = count
    master.cut()
    wait(clock)
    assert call[0].check(LinkLostError)
    assert "its records" in call[0].getErrorMessage()
    assert not master.wire.connected


def test_errors_that_no_time_mends(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """They end the session at the first try, with themselves."""
    call = ended(cluster.submit(abs, -1))
    master.leave()
    master.error = VersionMismatchError("a later release")
    wait(clock)
    assert call[0].check(VersionMismatchError)
    assert call[0].getErrorMessage() == "a later release"
    assert clock.getDelayedCalls() == []


def test_a_password_that_was_right_once_is_tried_again(master: Any, clock: Clock, shown: list[str]) -> None:
    """Somebody may have tried wrong ones beside us; when time is up it is told that it was refused."""
    session = opened(master, clock, shown, reconnect=20)
    call = ended(DeferredCluster(clock, session).submit(abs, -1))
    master.leave()
    master.error = ProofError("the password changed")
    wait(clock, 19)
    assert call == []
    wait(clock, 2)
    assert call[0].check(ProofError)
    assert call[0].getErrorMessage() == "the password changed"


def test_it_is_given_up_in_time(master: Any, clock: Clock, shown: list[str]) -> None:
    """After `reconnect` seconds everything fails, and says what the last try met."""
    session = opened(master, clock, shown, reconnect=20)
    cluster = DeferredCluster(clock, session)
    calls, asked = [ended(cluster.submit(abs, -1)) for _ in range(3)], []
    master.leave()
    wait(clock, 19)
    asked = ended(cluster.status())
    assert calls == [[], [], []]
    assert asked == []
    wait(clock, 2)
    for out in (*calls, asked):
        assert out[0].check(LinkLostError)
        assert "cut; 20 s later there is none yet (nobody listens there)" in out[0].getErrorMessage()
    assert len({id(out[0].value) for out in (*calls, asked)}) == 4
    assert clock.getDelayedCalls() == []
    assert ended(cluster.shutdown()) == [None]


def test_pauses_grow(master: Any, clock: Clock, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a tenth of a second to five, short ones for three seconds; with the next loss they begin anew."""
    tries: list[float] = []

    async def refused(reactor: Any, handler: Any) -> Any:
        tries.append(clock.seconds())
        return await type(master).connect(master, reactor, handler)

    monkeypatch.setattr("random.random", lambda: 0.5)
    monkeypatch.setattr(master, "connect", refused)
    master.leave()
    clock.pump([0.01] * 2500)
    assert tries == pytest.approx([0.1, 0.3, 0.7, 1.2, 1.7, 2.2, 2.7, 3.2, 4.2, 6.2, 10.2, 15.2, 20.2], abs=0.15)
    master.come_back()
    clock.pump([0.01] * 500)
    tries.clear()
    lost = clock.seconds()
    master.leave()
    clock.pump([0.01] * 100)
    assert [when - lost for when in tries] == pytest.approx([0.1, 0.3, 0.7], abs=0.05)


def test_zero_is_as_ever(master: Any, clock: Clock, shown: list[str]) -> None:
    """A lost link fails everything at once; results are kept all the same."""
    cluster = DeferredCluster(clock, opened(master, clock, shown, reconnect=0))
    first, second = ended(cluster.submit(abs, -1)), ended(cluster.submit(abs, -2))
    master.answer(1)
    assert first == [1]
    master.wire.tell(Beat(0))
    assert master.unheard == {}
    master.keep()
    master.cut()
    assert second[0].check(LinkLostError)
    assert (shown, len(master.wires)) == ([], 1)


@pytest.mark.parametrize("wrong", [-1, "5", None, True, float("nan"), float("inf"), 2e6])
def test_what_is_no_time(wrong: Any) -> None:
    """It is refused before anything is looked for."""
    with pytest.raises(ValueError, match="reconnect is a number of seconds"):
        Cluster("nowhere:1", reconnect=wrong)
    with pytest.raises(ValueError, match="reconnect is a number of seconds"):
        DeferredCluster.connect("nowhere:1", reconnect=wrong)


def test_a_master_of_our_own_cannot_come_back() -> None:
    """An embedded one ends for good; others at a socket may be started again."""
    assert UnixPlace("/s", 2).own
    assert not UnixPlace("/s").own


def test_an_embedded_master_ends_the_session(
    master: Any, clock: Clock, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, as nobody starts it again."""

    async def connect_unix(reactor: Any, path: str, role: Any, name: str, handler: Any) -> Any:
        return await master.connect(reactor, handler)

    monkeypatch.setattr("asyncluster.wire.connect.connect_unix", connect_unix)
    call = ended(DeferredCluster(clock, opened(UnixPlace("/s", 2), clock, shown)).submit(abs, -1))
    master.cut()
    assert call[0].check(LinkLostError)
    assert shown == []
    other = ended(DeferredCluster(clock, opened(UnixPlace("/s"), clock, shown)).submit(abs, -1))
    master.cut()
    assert other == []
    assert len(shown) == 1


def test_a_master_that_cannot_resume(link: Any, clock: Clock, shown: list[str]) -> None:
    """An older one does not know the question; then a lost link is the end, and no Kept is sent."""
    cluster = DeferredCluster(clock, opened(link, clock, shown))
    first, second = ended(cluster.submit(abs, -1)), ended(cluster.submit(abs, -2))
    link.answer(1)
    link.handler.lost("cut")
    assert first == [1]
    assert second[0].check(LinkLostError)
    assert link.of(Kept) == []


def test_closing_while_away(master: Any, clock: Clock, cluster: DeferredCluster, session: Session) -> None:
    """It ends at once: nothing is left in the reactor, nobody is connected to afterwards."""
    call, step = ended(cluster.submit(abs, -1)), ended(session.step(StepKind.UPDATE, b""))
    master.leave()
    later = ended(cluster.submit(abs, -2))
    wait(clock, 3)
    assert ended(session.close(JobClosedError("over"))) == [None]
    assert call[0].check(CancelledError)
    assert later[0].check(CancelledError)
    assert step[0].check(JobClosedError)
    assert clock.getDelayedCalls() == []
    master.come_back()
    wait(clock)
    assert len(master.wires) == 1


def test_closing_in_the_middle_of_a_try(master: Any, clock: Clock, session: Session) -> None:
    """The half-made link is given up."""
    master.mute = True
    master.cut()
    wait(clock, 1)
    assert master.wire.connected
    assert ended(session.close(JobClosedError("over"))) == [None]
    assert not master.wire.connected
    assert clock.getDelayedCalls() == []


def test_a_printer_that_closes(master: Any, clock: Clock) -> None:
    """Who hears of the loss may end the session there and then."""
    got: list[Session] = []

    def printer(*_line: Any) -> None:
        got[0].close(JobClosedError("enough"))

    opening = connect_session(clock, master, JobOptions(), printer)  # type: ignore[arg-type]
    Deferred.fromCoroutine(opening).addCallback(got.append)
    master.cut()
    assert isinstance(got[0].ended, JobClosedError)
    assert clock.getDelayedCalls() == []


def test_a_closed_session_stays_closed(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """Nobody comes back to close a job."""
    assert ended(cluster.shutdown()) == [None]
    assert len(master.of(Close)) == 1
    wait(clock)
    assert len(master.wires) == 1


def test_shutdown_waits_for_the_master(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """What was submitted is done first."""
    call = ended(cluster.submit(abs, -1))
    master.leave()
    over = ended(cluster.shutdown())
    wait(clock)
    assert over == []
    master.come_back()
    wait(clock)
    master.answer()
    assert (call, over) == ([1], [None])
    assert len(master.of(Close)) == 1


def test_a_master_that_does_not_answer(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """A try has its time; then comes the next."""
    call = ended(cluster.submit(abs, -1))
    master.mute = True
    master.cut()
    wait(clock, TRY_SECONDS + 1)
    assert [wire.connected for wire in master.wires[:2]] == [False, False]
    master.mute = False
    wait(clock, TRY_SECONDS + 1)
    master.answer()
    assert call == [1]


def test_a_link_lost_in_the_middle_of_a_try(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """The next try is the one."""
    call = ended(cluster.submit(abs, -1))
    master.mute = True
    master.cut()
    wait(clock, 1)
    master.mute = False
    master.wire.cut("again")
    wait(clock, TRY_SECONDS + 1)
    master.answer()
    assert call == [1]


def test_questions_wait_for_the_master(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """They are asked when it is back."""
    master.leave()
    asked = ended(cluster.status())
    assert asked == []
    master.come_back()
    wait(clock)
    assert asked == [{"nodes": 1}]


def test_silence_and_beats_begin_anew(master: Any, clock: Clock, shown: list[str]) -> None:
    """A silent master is one that was lost; the next link beats as the master then asks for."""
    master.terms = {"heartbeat": 2.0, "silence": 5.0}
    session = opened(master, clock, shown)
    clock.pump([1.0] * 9)
    assert "the master was silent for too long" in shown[0]
    wait(clock, 2)
    assert shown[1:] == ["the connection to the master is back"]
    assert session.terms is not None
    assert session.terms.silence == 9
    master.sent.clear()
    clock.pump([0.5] * 8)
    assert len(master.of(Beat)) in (1, 2)  # every three seconds, of which one or two have passed already
    master.cut("as such")
    assert "as such" in shown[2]
    session.close(JobClosedError("over"))
    assert clock.getDelayedCalls() == []


def test_a_mistake_of_ours_ends_the_session(master: Any, clock: Clock, cluster: DeferredCluster) -> None:
    """It does not wait for ever."""
    call = ended(cluster.submit(abs, -1))
    master.leave()
    master.error = KeyError("a slip")
    wait(clock)
    assert call[0].check(LinkLostError)
    assert "a slip" in call[0].getErrorMessage()


def test_many_are_cancelled_in_pieces() -> None:
    """Both sides count the messages of a job, so the wire must not cut any."""
    assert calls.CANCEL_SEQS <= CANCEL_SEQS
    book = calls.Calls(7, {})
    sinks = [Sink() for _ in range(2 * calls.CANCEL_SEQS + 1)]
    book.inbox.extend((sink, 0, b"") for sink in sinks)
    book.take(len(sinks))
    cancels: list[Any] = book.drop(sinks)
    assert [len(cancel.seqs) for cancel in cancels] == [calls.CANCEL_SEQS, calls.CANCEL_SEQS, 1]
    assert [seq for cancel in cancels for seq in cancel.seqs] == list(range(len(sinks)))
    assert book.drop(sinks) == []


class Sink:
    def __init__(self) -> None:
        self.seq = calls.WAITING
        self.code = 0

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """Nobody asks."""


# -- the other faces, on the private reactor


def on_reactor(master: Any, function: Any) -> None:
    done = threading.Event()
    master.reactor.callFromThread(lambda: (function(), done.set()))
    assert done.wait(LIMIT)


def test_cluster_rides_through(threaded_master: Any) -> None:
    """Calls from before, from meanwhile and a map end as if nothing had been."""
    with Cluster(threaded_master, output=None) as cluster:
        threaded_master.answering = False
        futures = [cluster.submit(abs, -number) for number in range(10)]
        on_reactor(threaded_master, threaded_master.leave)
        threaded_master.answering = True
        futures += [cluster.submit(abs, -number) for number in range(10, 20)]
        assert futures[15].cancel()
        results = cluster.map(abs, range(100))
        assert not any(future.done() for future in futures[:15])
        on_reactor(threaded_master, threaded_master.come_back)
        assert cluster.status() == {"nodes": 1}
        on_reactor(threaded_master, threaded_master.answer)
        assert [future.result(LIMIT) for future in futures if not future.cancelled()] == [*range(15), *range(16, 20)]
        assert list(results) == list(range(100))


def test_cluster_ends_while_away(threaded_master: Any) -> None:
    """After Ctrl-C nobody waits for a master."""
    cluster = Cluster(threaded_master, output=None)
    threaded_master.answering = False
    future = cluster.submit(abs, -1)
    on_reactor(threaded_master, threaded_master.leave)
    cluster.__exit__(KeyboardInterrupt, None, None)
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(LIMIT)
    cluster.shutdown()
    with pytest.raises(JobClosedError):
        cluster.submit(abs, 1)


def test_the_program_ends_while_away(threaded_master: Any) -> None:
    """The farewell of the interpreter does not wait either."""
    cluster = Cluster(threaded_master, output=None)
    threaded_master.answering = False
    future = cluster.submit(abs, -1)
    on_reactor(threaded_master, threaded_master.leave)
    cluster.shutdown(wait=False)
    assert not future.done()
    cluster._core.thread.run(cluster._core.exiting, LIMIT)
    assert future.cancelled()


def test_cluster_fails_at_once_when_asked_to(threaded_master: Any) -> None:
    """`reconnect=0`."""
    cluster = Cluster(threaded_master, reconnect=0)
    threaded_master.answering = False
    future = cluster.submit(abs, -1)
    on_reactor(threaded_master, threaded_master.leave)
    assert isinstance(future.exception(LIMIT), LinkLostError)


def test_asyncio_face_rides_through(threaded_master: Any) -> None:
    """The same for `AsyncCluster`."""

    async def main() -> None:
        async with AsyncCluster(threaded_master, output=None) as cluster:
            threaded_master.answering = False
            call = cluster.submit(abs, -1)
            on_reactor(threaded_master, threaded_master.leave)
            threaded_master.answering = True
            later = cluster.submit(abs, -2)
            on_reactor(threaded_master, threaded_master.come_back)
            assert await cluster.status() == {"nodes": 1}
            on_reactor(threaded_master, threaded_master.answer)
            assert await asyncio.gather(call, later) == [1, 2]

    asyncio.run(asyncio.wait_for(main(), LIMIT))
