"""The pen over a transport whose socket takes what it is told to take."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost

from asyncluster.wire.pen import GATHER_BYTES, Pen


class Wire(FileDescriptor):
    """Twisted's own buffer above a socket that takes the `takes`, in turn, then nothing more."""

    def __init__(self, takes: list[int]) -> None:
        super().__init__(reactor=object())  # type: ignore[arg-type]  # nothing asks it for anything
        self.connected = 1
        self.takes = takes
        self.sent: list[bytes] = []
        self.asked = False
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.stopWriting()

    def writeSomeData(self, data: bytes) -> int | Exception:
        size = min(len(data), self.takes.pop(0) if self.takes else 0)
        if size < 0:
            return ConnectionLost()
        if size:
            self.sent.append(bytes(data[:size]))
        return size

    def startWriting(self) -> None:
        self.asked = True

    def stopWriting(self) -> None:
        self.asked = False

    def turn(self) -> None:
        """The reactor finds that the socket has room."""
        if self.asked:
            self.takes.insert(0, 10**9)
            self.doWrite()


def test_at_once() -> None:
    """A socket with room has it before `write` returns, and the reactor is not asked."""
    wire = Wire([100])
    Pen(wire)
    wire.write(b"hello")
    assert (wire.sent, wire.asked) == ([b"hello"], False)


def test_in_order_behind_what_did_not_fit() -> None:
    """What comes later waits behind it, then goes at once again."""
    wire = Wire([3, 100])
    Pen(wire)
    wire.write(b"hello")
    wire.write(b" world")
    assert (wire.sent, wire.asked) == ([b"hel"], True)
    wire.turn()
    assert b"".join(wire.sent) == b"hello world"
    wire.takes = [100]
    wire.write(b"!")
    assert (wire.sent[-1], wire.asked) == (b"!", False)


def test_gathering() -> None:
    """Between `hold` and `push` one piece is made of all, but no larger one than needed."""
    wire = Wire([10**9] * 9)
    pen = Pen(wire)
    pen.hold()
    wire.write(b"a")
    wire.write(b"b")
    assert wire.sent == []
    pen.push()
    assert wire.sent == [b"ab"]
    pen.hold()
    wire.write(b"c" * GATHER_BYTES)
    assert len(wire.sent) == 2
    pen.push()
    pen.push()
    assert len(wire.sent) == 2


def test_errors_are_twisteds() -> None:
    """The reactor meets it again."""
    wire = Wire([-1, 100])
    Pen(wire)
    wire.write(b"hello")
    assert (wire.sent, wire.asked) == ([], True)


@pytest.mark.parametrize("how", ["disconnecting", "gone", "abort"])
def test_ends_are_twisteds(how: str) -> None:
    """While it is closing, closed or aborted the socket is not touched, though it had room."""
    wire = Wire([3, 100])
    Pen(wire)
    if how == "abort":  # with something in the buffer, which nothing may overtake
        wire.write(b"hello")
        wire.abortConnection()
        assert wire.aborted
    elif how == "disconnecting":
        wire.disconnecting = True
    else:
        wire.connected = 0
    before = list(wire.sent)
    wire.write(b"!")
    assert wire.sent == before


def test_nothing_holds_a_dead_transport() -> None:
    """It is gone with its last user, not at some later collection."""
    wire = Wire([100])
    pen = Pen(wire)
    pen.end()
    wire.write(b"hello")  # Twisted's own again
    assert (wire.sent, wire.asked) == ([], True)
    known = weakref.ref(wire)
    gc.disable()
    try:
        del wire, pen
        assert known() is None
    finally:
        gc.enable()


@given(st.lists(st.tuples(st.binary(max_size=20), st.booleans()), max_size=20), st.lists(st.integers(0, 15)))
def test_nothing_is_lost_or_swapped(writes: list[tuple[bytes, bool]], takes: list[int]) -> None:
    """Whatever the socket takes, the bytes arrive in order."""
    wire = Wire(list(takes))
    Pen(wire)
    for data, turn in writes:
        wire.write(data)
        if turn:
            wire.turn()
    wire.turn()
    assert b"".join(wire.sent) == b"".join(data for data, _ in writes)
