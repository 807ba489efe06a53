"""Output that waits for whoever is away: whole, in order, where there is room; else what is missing is told."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import SpillError
from asyncluster.model.messages import Output
from asyncluster.model.notices import cut, dropped_by, is_cut
from asyncluster.model.withheld import CHUNK, PIECE, Withheld

pieces = st.tuples(st.integers(0, 2), st.sampled_from([1, 2]), st.sampled_from([1, 30, 20_000, PIECE]))


def written(messages: list[Output]) -> dict[int, list[tuple[int, bytes]]]:
    """By task what it wrote, each byte with its stream."""
    found: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for message in messages:
        line = found[message.seq]
        if line and line[-1][0] == message.stream:
            line[-1] = message.stream, line[-1][1] + bytes(message.payload)
        else:
            line.append((message.stream, bytes(message.payload)))
    return found


@given(st.lists(pieces, max_size=60))
def test_all_of_it(history: list[tuple[int, int, int]]) -> None:
    """Each task's bytes come in their order, also between streams; what is more than a chunk is packed."""
    kept: list[int] = []

    def keep(data: bytes) -> memoryview:
        kept.append(len(data))
        return memoryview(data)

    withheld = Withheld(keep)
    messages = [
        Output(1, seq, stream, "a/1", bytes((65 + number % 26,)) * size)
        for number, (seq, stream, size) in enumerate(history)
    ]
    for message in messages:
        withheld.add(message)
    assert bool(withheld) == bool(messages)
    assert sum(kept) > sum(len(m.payload) for m in messages) - CHUNK - PIECE
    taken = withheld.take()
    assert written(taken) == written(messages)
    assert all(len(message.payload) <= PIECE for message in taken)
    assert (bool(withheld), withheld.take()) == (False, [])


def test_little_pieces_become_larger_ones() -> None:
    """Else a task that writes byte by byte would take a hundred times what it wrote."""
    withheld = Withheld()
    for _ in range(10_000):
        for seq in (1, 2):
            withheld.add(Output(1, seq, 1, "a/1", b"x"))
    assert [(m.seq, len(m.payload)) for m in withheld.take()] == [(1, 10_000), (2, 10_000)]


def test_a_limit() -> None:
    """Above it nothing more of that task is kept; it is told how much is missing, after what there is, and why."""
    withheld = Withheld(why=lambda disk: f"it is full{disk}", limit=100)
    for size in (60, 60, 10):
        withheld.add(Output(1, 0, 1, "a/1", b"x" * size))
    withheld.add(Output(1, 1, 1, "a/2", b"y" * 40))
    *kept, told = withheld.take()
    assert [len(m.payload) for m in kept] == [60, 40]
    assert (told.seq, told.stream, told.place, dropped_by(told.payload)) == (0, 2, "a/1", 70)
    assert is_cut(told.payload)
    assert b"it is full]" in told.payload
    withheld.add(Output(1, 0, 1, "a/1", b"x" * 100))
    assert len(withheld.take()) == 1  # there is room again


def test_a_full_disk() -> None:
    """What could not be kept is counted, also what the node itself had dropped before; the reason is on one line."""

    def full(data: bytes) -> bytes:
        raise SpillError("no space\nleft")

    withheld = Withheld(full, "the master was away: {}".format)
    total = 0
    while total <= CHUNK:
        withheld.add(Output(1, 0, 1, "a/1", b"x" * PIECE))
        total += PIECE
    withheld.add(Output(1, 0, 2, "a/1", cut(7, 1000)))
    (told,) = withheld.take()
    assert dropped_by(told.payload) == total + 7
    assert b"the master was away: no space left]" in told.payload


def test_a_notice_stays_by_itself() -> None:
    """Whoever reads a piece has to know it for one."""
    withheld = Withheld()
    for payload in (b"some", cut(7, 1000), b"more"):
        withheld.add(Output(1, 0, 2, "a/1", payload))
    assert [dropped_by(m.payload) for m in withheld.take()] == [0, 7, 0]
