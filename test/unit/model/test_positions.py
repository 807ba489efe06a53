"""Output that comes twice is taken once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncluster.model.messages import Output
from asyncluster.model.positions import RUNS, Seen, position


def piece(seq: int, run: int, offset: int, payload: bytes) -> Output:
    return Output(1, seq, 1, "a/1", payload, position(run, offset))


@given(st.binary(min_size=1, max_size=30), st.lists(st.integers(1, 7), min_size=1), st.data())
def test_whatever_comes_again(written: bytes, sizes: list[int], data: st.DataObject) -> None:
    """Links break, what was said is said again from any point on: each byte is taken once, in order."""
    seen, taken, end = Seen(), b"", 0
    for number, size in enumerate(sizes):
        begin = data.draw(st.integers(0, end), label=f"begin {number}")
        taken += seen.fresh(piece(0, 5, begin, written[begin : begin + size]))
        end = max(end, min(len(written), begin + size))
        assert taken == written[:end]


def test_another_run_is_new() -> None:
    """A task that is tried again writes from the beginning; so do other tasks, and the other stream."""
    seen = Seen()
    for message in (
        piece(0, RUNS - 1, 0, b"abc"),
        piece(0, RUNS, 0, b"abc"),
        piece(1, RUNS, 0, b"abc"),
        Output(1, 0, 2, "a/1", b"abc", position(RUNS, 0)),
    ):
        assert seen.fresh(message) == b"abc"
        assert seen.fresh(message) == b""


def test_a_node_that_does_not_say_where_it_stands() -> None:
    """All is taken."""
    seen = Seen()
    assert [seen.fresh(Output(1, 0, 1, "a/1", b"x")) for _ in range(2)] == [b"x", b"x"]


def test_only_the_last_are_remembered() -> None:
    """A stream that is written to stays among them."""
    seen = Seen(2)
    for seq in (0, 1, 0, 2):
        seen.fresh(piece(seq, 1, 0, b"x"))
    assert [seen.fresh(piece(seq, 1, 0, b"x")) for seq in (0, 2, 1)] == [b"", b"", b"x"]
