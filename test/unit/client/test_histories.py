"""Any history of calls, cancellations, steps and losses: each ends once, and the master gets each message once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from asyncluster.client.connect import connect_session
from asyncluster.client.deferred import DeferredCluster
from asyncluster.client.opening import JobOptions
from asyncluster.client.session import Session
from asyncluster.model.messages import Beat, Code, Step, StepDone, StepKind, Task

small = st.integers(0, 5)
moves = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 4)),
    st.tuples(st.just("cancel"), small),
    st.tuples(st.sampled_from(["arrive", "answer", "lose_results"]), small),
    st.tuples(st.sampled_from(["step", "keep", "cut", "leave", "back"]), st.just(0)),
)


class History:
    """A session and its master; what is sent arrives when a move says so."""

    def __init__(self, master: Any) -> None:
        self.master = master
        self.clock = Clock()
        self.ends: dict[int, list[Any]] = {}
        self.calls: dict[int, Deferred[Any]] = {}
        self.cancelled: set[int] = set()
        self.steps: list[list[Any]] = []
        got: list[Session] = []
        opening = connect_session(self.clock, master, JobOptions(), reconnect=1e9)  # type: ignore[arg-type]  # a Clock
        Deferred.fromCoroutine(opening).addCallback(got.append)
        self.session = got[0]
        self.cluster = DeferredCluster(self.clock, self.session)
        master.arriving = False

    def submit(self, count: int) -> None:
        for _ in range(count):
            number = len(self.calls)
            call = self.calls[number] = self.cluster.submit(abs, -number)
            self.ends[number] = []
            call.addBoth(self.ends[number].append)

    def cancel(self, back: int) -> None:
        number = len(self.calls) - 1 - back
        if number >= 0 and not self.ends[number]:
            self.cancelled.add(number)
            self.calls[number].cancel()

    def step(self, _: int) -> None:
        end: list[Any] = []
        self.session.step(StepKind.UPDATE, b"").addBoth(end.append)
        self.steps.append(end)

    def arrive(self, count: int) -> None:
        self.master.wire.arrive(count)

    def answer(self, count: int) -> None:
        self.master.answer(count)

    def lose_results(self, count: int) -> None:
        """They are said on a link that breaks before they come."""
        self.master.wire.connected, up = False, self.master.wire.connected
        self.master.answer(count)
        self.master.wire.connected = up
        self.cut(0)

    def keep(self, _: int) -> None:
        self.master.keep()

    def cut(self, _: int) -> None:
        self.master.cut()
        self.clock.pump([0.05] * 4)

    def leave(self, _: int) -> None:
        self.master.leave()
        self.clock.pump([0.05] * 4)

    def back(self, _: int) -> None:
        self.master.come_back()
        for _ in range(14):
            self.clock.advance(0.5)
            self.master.wire.tell(Beat(0))  # else it would seem silent, and the link be away when all is to end well

    def finish(self) -> None:
        self.back(0)
        self.master.arriving = True
        self.master.wire.arrive()
        self.master.answer()
        self.master.wire.tell(*(StepDone(7, number, "", "") for number in range(len(self.steps))))
        self.master.wire.tell(Beat(0))


@given(st.lists(moves, max_size=30))
def test_every_history(masters: Any, history: list[tuple[str, int]]) -> None:
    """Values go to those who waited for them, and what arrives is numbered without gap or repetition."""
    play = History(masters())
    for name, count in history:
        getattr(play, name)(count)
    play.finish()
    for number, end in play.ends.items():
        assert len(end) == 1
        if number in play.cancelled:
            assert isinstance(end[0], Failure)
            assert end[0].check(CancelledError)
        else:
            assert end == [number]
    assert play.steps == [[None]] * len(play.steps)
    master = play.master
    assert [task.seq for task in master.of(Task)] == list(range(len(master.of(Task))))
    assert [step.step for step in master.of(Step)] == list(range(len(play.steps)))
    assert len(master.of(Code)) == min(1, len(play.calls))
    assert master.unheard == {}
    assert play.session.calls.idle
