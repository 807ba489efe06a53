"""What a client sent and is owed, over links that come and go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from asyncluster.errors import WireError
from asyncluster.master.desks import Desk, Desks
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Output, Result
from asyncluster.model.withheld import Withheld


class Link:
    """Notes what it carries."""

    def __init__(self) -> None:
        self.carried: list[int] = []

    def send_all(self, messages: Any) -> None:
        self.carried += [message.seq for message in messages]

    send_now = send_all


def result(seq: int) -> Result:
    return Result(1, seq, 1, 0, b"")


@given(st.lists(st.tuples(st.sampled_from(["deliver", "take", "cut", "serve"]), st.integers(0, 5))))
def test_each_result_until_it_is_taken(history: list[tuple[str, int]]) -> None:
    """On each link all that was not taken comes, in order; what was taken never comes again."""
    desk = Desk(JobSpec(1, "ann"))
    link: Link | None = None
    made = taken = 0
    for kind, count in history:
        if kind == "deliver":
            desk.deliver([result(seq) for seq in range(made, made + count)])
            made += count
        elif kind == "take" and link is not None:
            more = min(count, len(link.carried) - desk.taken)
            assert desk.take(desk.taken + more) == list(range(taken, taken + more))
            taken += more
        elif kind == "cut":
            desk.link = link = None
        elif kind == "serve":
            link = Link()
            begin = taken
            desk.serve(link)  # type: ignore[arg-type]  # a link, as far as a desk needs one
            desk.hand_out()
        if link is not None:
            assert link.carried == list(range(begin, made))


@pytest.mark.parametrize("count", [-1, 3])
def test_senseless_counts(count: int) -> None:
    """They end the link, as any other nonsense does."""
    desk = Desk(JobSpec(1, "ann"), Link())  # type: ignore[arg-type]  # as above
    desk.deliver([result(0), result(1)])
    with pytest.raises(WireError):
        desk.take(count)


def test_a_job_waits_for_its_client_as_long_as_it_asked_for() -> None:
    """And not longer than the master allows; not at all where the job asked for nothing."""
    clock, ended, link = Clock(), list[int](), Link()
    desks = Desks(clock, 60.0, ended.append)
    for job, seconds in ((1, 0.0), (2, 10.0), (3, 1000.0), (4, 10.0)):
        desks.add(Desk(JobSpec(job, "ann", reconnect=seconds), link))  # type: ignore[arg-type]  # as above
    desks.left(1, Link())  # type: ignore[arg-type]  # of an older link: nobody's business
    for job in (1, 2, 3, 4):
        desks.left(job, link)  # type: ignore[arg-type]  # as above
    assert ended == [1]
    back = desks.get(4)
    assert back is not None
    back.serve(link)  # type: ignore[arg-type]  # as above
    clock.advance(10.0)
    assert ended == [1, 2]
    clock.advance(50.0)
    assert ended == [1, 2, 3]


def test_what_ends_while_a_client_comes_back_waits_for_what_is_owed() -> None:
    """Else the one before it would count as sent and never be."""
    desk = Desk(JobSpec(1, "ann"))
    desk.deliver([result(0)])
    link = Link()
    desk.serve(link)  # type: ignore[arg-type]  # a link, as far as a desk needs one
    desk.deliver([result(1)])  # the journal has not said yet that it may be handed out
    assert link.carried == []
    desk.hand_out()
    desk.deliver([result(2)])
    assert link.carried == [0, 1, 2]
    assert desk.take(3) == [0, 1, 2]


def test_a_value_that_stayed_is_there_for_whoever_attaches() -> None:
    """Though its client has said that it knows of it."""
    desk, link = Desk(JobSpec(1, "ann")), Link()
    desk.serve(link)  # type: ignore[arg-type]  # as above
    desk.deliver([desk.keep(Result(1, 0, 1, 0, b"large"))])
    desk.take(1)
    desk.detach()
    assert [each.payload for each in desk.owed] == [b"large"]
    assert not desk.stays


def test_what_was_written_while_the_client_was_away() -> None:
    """It comes before what is owed, once; a result that ends meanwhile does not overtake it."""
    desk, link = Desk(JobSpec(1, "ann")), Link()
    desk.withheld = Withheld()
    desk.withheld.add(Output(1, 100, 1, "a/1", b"x"))
    desk.serve(link)  # type: ignore[arg-type]  # as above
    desk.deliver([result(0)])
    assert link.carried == []
    desk.hand_out()
    desk.deliver([result(1)])
    assert link.carried == [100, 0, 1]
