"""Tests of who may be at the proof, who waits, and whose turn is next."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from asyncluster.wire.places import Places, Verdict

ADDRESSES = st.sampled_from("abcde")


def test_addresses_take_turns() -> None:
    """One that came with many has one turn for each turn of one that came with few."""
    places: Places[str] = Places(1, 1, 100)
    assert places.knock("x", "x0") == (Verdict.ENTER, None)
    for who in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        assert places.knock(who[0], who) == (Verdict.WAIT, None)
    turns, inside = [], "x"
    while places.waiting:
        places.leave(inside)
        who = places.next()
        assert who is not None
        turns.append(who)
        inside = who[0]
    assert turns == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_an_address_at_its_cap_is_passed_over() -> None:
    """A free place goes to the next address that may have it, and to nobody when none may."""
    places: Places[str] = Places(3, 1, 100)
    for who in ("a0", "b0", "c0", "a1", "d1"):
        places.knock(who[0], who)
    assert places.next() is None
    places.leave("c")
    assert places.next() == "d1"
    places.leave("b")
    assert places.next() is None
    places.leave("a")
    assert places.next() == "a1"


def test_the_longest_queue_gives_way() -> None:
    """In a full room the newest of the address with most goes for one that has fewer, never one for its equal."""
    places: Places[str] = Places(1, 1, 4)
    places.knock("x", "x0")
    for who in ("a1", "a2", "a3", "b1"):
        places.knock(who[0], who)
    assert places.knock("a", "a4") == (Verdict.REFUSE, None)
    assert places.knock("c", "c1") == (Verdict.WAIT, "a3")
    assert places.knock("b", "b2") == (Verdict.REFUSE, None)
    assert places.knock("d", "d1") == (Verdict.WAIT, "a2")
    assert places.knock("e", "e1") == (Verdict.REFUSE, None)
    assert places.waiting == 4


class Life(RuleBasedStateMachine):
    """Whatever order people come and go in: counts are what is there, and no place stays empty that somebody wants."""

    def __init__(self) -> None:
        super().__init__()
        self.places: Places[tuple[str, int]] = Places(4, 2, 5)
        self.inside: list[tuple[str, int]] = []
        self.waiting: list[tuple[str, int]] = []
        self.count = 0

    @rule(address=ADDRESSES)
    def knock(self, address: str) -> None:
        """Somebody comes."""
        self.count += 1
        who = (address, self.count)
        verdict, gives_way = self.places.knock(address, who)
        if gives_way is not None:
            assert verdict is Verdict.WAIT
            queues = Counter(each for each, _ in self.waiting)
            assert queues[gives_way[0]] == max(queues.values()) > queues[address] + 1
            self.waiting.remove(gives_way)
        if verdict is Verdict.ENTER:
            self.inside.append(who)
        elif verdict is Verdict.WAIT:
            self.waiting.append(who)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody inside goes; as many come in as can."""
        if self.inside:
            gone = data.draw(st.sampled_from(self.inside))
            self.inside.remove(gone)
            self.places.leave(gone[0])
            while (who := self.places.next()) is not None:
                assert who == next(each for each in self.waiting if each[0] == who[0])
                self.waiting.remove(who)
                self.inside.append(who)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        """Somebody who waits, or did, goes."""
        if self.waiting:
            gone = data.draw(st.sampled_from(self.waiting))
            self.waiting.remove(gone)
            self.places.forget(*self._both(gone))
            self.places.forget(*self._both(gone))

    @staticmethod
    def _both(who: tuple[str, int]) -> tuple[str, tuple[str, int]]:
        return who[0], who

    @invariant()
    def counts(self) -> None:
        """What it says is so, and within the limits."""
        taken = Counter(address for address, _ in self.inside)
        assert (self.places.inside, self.places.waiting) == (len(self.inside), len(self.waiting))
        assert len(self.inside) <= 4
        assert len(self.waiting) <= 5
        assert all(count <= 2 for count in taken.values())

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Who waits has a reason: all places are taken, or those of the address are."""
        taken = Counter(address for address, _ in self.inside)
        assert len(self.inside) == 4 or all(taken[address] == 2 for address, _ in self.waiting)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=60, deadline=None, derandomize=False)
