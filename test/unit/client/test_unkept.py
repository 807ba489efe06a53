"""What is kept until the master has it: whatever happens, each message arrives once in effect, and in order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asyncluster.client.unkept import Unkept
from asyncluster.errors import LinkLostError
from asyncluster.model.messages import Message, Task


def task(seq: int) -> Task:
    return Task(1, seq, 0, 0, b"")


class Histories(RuleBasedStateMachine):
    """A session on one side, a master on the other, a link between them that loses what is in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.unkept = Unkept()
        self.made: list[Message] = []
        self.flight: list[Message] = []
        self.arrived: list[Message] = []
        self.notes: list[int] = []  # Kept, on their way to the session
        self.up = True

    @rule(count=st.integers(0, 5))
    def send(self, count: int) -> None:
        batch: list[Message] = [task(len(self.made) + number) for number in range(count)]
        self.made += batch
        self.unkept.add(batch)
        if self.up:
            self.flight += batch

    @rule(count=st.integers(1, 8))
    def arrive(self, count: int) -> None:
        self.arrived += self.flight[:count]
        del self.flight[:count]

    @rule(behind=st.integers(0, 3))
    def note(self, behind: int) -> None:
        if self.up:
            self.notes.append(max(0, len(self.arrived) - behind))

    @rule()
    def hear(self) -> None:
        if self.notes:
            self.unkept.keep(self.notes.pop(0))

    @precondition(lambda self: self.up)
    @rule()
    def cut(self) -> None:
        self.up = False
        self.flight.clear()
        self.notes.clear()

    @precondition(lambda self: not self.up)
    @rule()
    def resume(self) -> None:
        self.up = True
        self.flight += self.unkept.resume(len(self.arrived))

    @invariant()
    def once_and_in_order(self) -> None:
        assert self.arrived == self.made[: len(self.arrived)]
        assert self.unkept.sent == len(self.made)
        assert self.unkept.forgotten <= len(self.arrived)
        if self.up:
            assert self.arrived + self.flight == self.made


Histories.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestHistories = Histories.TestCase


@given(st.integers(0, 20), st.lists(st.integers(0, 30)))
def test_counts_are_absolute(sent: int, counts: list[int]) -> None:
    """One that is behind changes nothing, one beyond what was sent forgets all there is."""
    unkept = Unkept()
    unkept.add([task(seq) for seq in range(sent)])
    for count in counts:
        unkept.keep(count)
    assert unkept.forgotten == min(sent, max(counts, default=0))
    assert unkept.sent == sent
    assert unkept.resume(unkept.forgotten) == [task(seq) for seq in range(unkept.forgotten, sent)]


@pytest.mark.parametrize("count", [-1, 1, 6])
def test_a_master_with_other_records(count: int) -> None:
    """It has less than it said was safe, or more than it was ever sent: nobody can go on from there."""
    unkept = Unkept()
    unkept.add([task(seq) for seq in range(5)])
    unkept.keep(2)
    with pytest.raises(LinkLostError, match="not 2 to 5"):
        unkept.resume(count)
    assert (unkept.forgotten, unkept.sent) == (2, 5)
