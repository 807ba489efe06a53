"""The decoder: same values as Twisted's, however the bytes are cut, and limits that hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.spread import banana

from asyncluster.wire.banana import PROVEN, UNPROVEN, BoundedBanana, number_prefix

values = st.recursive(
    st.integers(-(2**62), 2**62) | st.binary(max_size=200) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=30,
)


class Recorder(BoundedBanana):
    """Keeps what it decoded."""

    def __init__(self) -> None:
        super().__init__(isClient=0)
        self.seen: list[Any] = []
        self.makeConnection(StringTransport())
        self.currentDialect = b"none"

    def expressionReceived(self, lst: Any) -> None:
        self.seen.append(lst)


@given(st.lists(values, max_size=5), st.integers(1, 40))
def test_same_as_twisted(expressions: list[Any], step: int) -> None:
    """What Twisted encodes is decoded to the same values, in pieces of any size."""
    data = b"".join(banana.encode(value) for value in expressions)
    decoder = Recorder()
    decoder.limits = PROVEN
    for start in range(0, len(data), step):
        decoder.dataReceived(data[start : start + step])
    assert decoder.seen == expressions


@given(st.binary(max_size=3000))
def test_garbage(data: bytes) -> None:
    """Garbage is refused as BananaError, or waits for more; nothing else comes out."""
    decoder = Recorder()
    try:
        decoder.dataReceived(data)
    except banana.BananaError:
        return


def test_vocabulary() -> None:
    """Short names of the pb dialect are understood."""
    decoder = Recorder()
    decoder.dataReceived(b"\x1a\x87")
    assert decoder.seen == [b"message"]


def test_stranger_cannot_announce_a_large_string() -> None:
    """A string beyond the limit is refused at its announcement, before it is kept."""
    decoder = Recorder()
    with pytest.raises(banana.BananaError):
        decoder.dataReceived(number_prefix(UNPROVEN.expression_bytes + 1) + b"\x82")


def test_stranger_cannot_grow_a_list() -> None:
    """Many small items in one list are refused once they pass the limit together."""
    decoder = Recorder()
    decoder.dataReceived(number_prefix(60_000) + b"\x80")
    decoder.dataReceived(b"\x01\x81" * 32_000)
    with pytest.raises(banana.BananaError):
        decoder.dataReceived(b"\x01\x81" * 1000)


def test_stranger_cannot_nest() -> None:
    """Lists in lists are refused past the depth."""
    decoder = Recorder()
    with pytest.raises(banana.BananaError):
        decoder.dataReceived(b"\x01\x80" * (UNPROVEN.depth + 1))


def test_number_too_long() -> None:
    """A prefix that never ends is refused."""
    decoder = Recorder()
    with pytest.raises(banana.BananaError):
        decoder.dataReceived(b"\x01" * 64)


def test_the_limit_is_per_expression() -> None:
    """Many small expressions add up to more than the limit without harm."""
    decoder = Recorder()
    for _ in range(100):
        decoder.dataReceived(banana.encode(b"x" * 5000))
    assert len(decoder.seen) == 100


def test_a_long_string_in_small_pieces() -> None:
    """A large string that comes in small pieces is put together, without copying it each time."""
    decoder = Recorder()
    decoder.limits = PROVEN
    data = banana.encode(b"y" * 600_000)
    for start in range(0, len(data), 1000):
        decoder.dataReceived(data[start : start + 1000])
    assert decoder.seen == [b"y" * 600_000]
