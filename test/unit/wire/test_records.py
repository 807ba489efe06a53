"""Much at a time over TLS: the same bytes, in the same order, and the same ends, as Twisted's own class gives."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from asyncluster.wire.records import PIECE_BYTES, RECORD_BYTES, Records
from asyncluster.wire.tls import ClientTLS, ServerTLS, make

MASTER = make()
SIZES = [1, RECORD_BYTES - 1, RECORD_BYTES, RECORD_BYTES + 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7]
DATA = random.Random(1).randbytes(max(SIZES))


class Inner(Protocol):
    """Keeps what it got, in the pieces in which it came, and how the connection ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended: Failure | None = None

    @property
    def got(self) -> bytes:
        return b"".join(self.pieces)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason


class Session:
    """A TLS session of two, the handshake done; `proven` says who has begun to take much at a time."""

    def __init__(self, writer_proven: bool = True, reader_proven: bool = True) -> None:
        self.writer, self.reader = Inner(), Inner()
        factory = ClientTLS(Clock()).wrap(Factory())
        writing, reading = factory.protocol(factory, self.writer), ServerTLS(MASTER, Clock()).wrap(self.reader)
        assert isinstance(writing, Records)
        assert isinstance(reading, Records)
        self.writing, self.reading = writing, reading
        self.there, self.back = StringTransport(), StringTransport()
        self.writing.makeConnection(self.there)
        self.reading.makeConnection(self.back)
        for _ in range(3):
            self.carry()
        if writer_proven:
            self.writing.prove()
        if reader_proven:
            self.reading.prove()

    def taken(self) -> bytes:
        """What was written and not carried yet."""
        data = self.there.value()
        self.there.clear()
        return data

    def carry(self) -> None:
        """All that waits, both ways."""
        for wire, end in ((self.there, self.reading), (self.back, self.writing)):
            data = wire.value()
            wire.clear()
            if data:
                end.dataReceived(data)


@given(
    st.lists(st.sampled_from(SIZES), max_size=6),
    st.lists(st.integers(1, 3 * PIECE_BYTES), max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_the_same_bytes_however_they_are_cut(sizes: list[int], cuts: list[int], writer: bool, reader: bool) -> None:
    """Small and large writes in any order, views too, with and without `prove` on either side."""
    session = Session(writer, reader)
    expected = b""
    for place, size in enumerate(sizes):
        data = DATA[:size]
        expected += data
        session.writing.write(memoryview(data) if place % 2 else data)
    wire = session.taken()
    for cut in cuts:
        if wire[:cut]:
            session.reading.dataReceived(wire[:cut])
        wire = wire[cut:]
    if wire:
        session.reading.dataReceived(wire)
    assert session.reader.got == expected


def test_the_protocol_hears_of_much_at_a_time() -> None:
    """Not of each record."""
    session = Session()
    session.writing.write(DATA)
    session.carry()
    assert session.reader.got == DATA
    assert len(session.reader.pieces) <= 2


def test_what_comes_with_the_end_is_heard_and_the_end_too() -> None:
    """Data and the notice that no more will come, read at once; what the other side's closing needs is written."""
    session = Session()
    session.writing.write(DATA)
    session.writing.loseConnection()
    session.carry()
    assert session.reader.got == DATA
    assert session.back.disconnecting
    session.carry()
    assert session.there.disconnecting


@pytest.mark.parametrize("broken_at", [10, RECORD_BYTES * 2, PIECE_BYTES * 2, len(DATA) - 100])
def test_bytes_that_were_changed_end_the_connection(broken_at: int) -> None:
    """What came before them is as it was written; nothing behind them is heard."""
    session = Session()
    session.writing.write(DATA)
    wire = bytearray(session.taken())
    wire[broken_at] ^= 1
    session.reading.dataReceived(bytes(wire))
    assert DATA.startswith(session.reader.got)
    assert len(session.reader.got) < len(DATA)
    assert session.back.disconnecting
    session.reading.connectionLost(connectionDone)
    assert session.reader.ended is not None
    assert session.reader.ended.check(ConnectionLost)


def test_nothing_is_written_when_the_connection_has_ended() -> None:
    """Neither much nor little, and nothing is raised."""
    session = Session()
    session.writing.connectionLost(connectionDone)
    session.taken()
    session.writing.write(DATA)
    session.writing.write(b"little")
    assert session.taken() == b""


def test_a_write_that_fails_is_twisteds_to_deal_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenSSL takes later is sent later, in order, behind what it took."""
    session = Session()
    connection = session.writing.getHandle()
    taken: list[int] = []

    class Handle:
        """The connection, one write of which has to wait for a read."""

        def __getattr__(self, name: str) -> object:
            return getattr(connection, name)

        def send(self, data: bytes) -> int:
            if sum(taken) >= 2 * PIECE_BYTES and not session.writer.got:
                raise SSL.WantReadError
            taken.append(int(connection.send(data)))
            return taken[-1]

    monkeypatch.setattr(session.writing, "_tlsConnection", Handle())
    session.writing.write(DATA)
    session.writing.write(b"behind")
    session.carry()
    assert session.reader.got == DATA[: sum(taken)] != DATA
    for _ in range(2):  # whatever comes has Twisted try again
        session.reading.write(b"x")
        session.carry()
    session.carry()
    assert session.reader.got == DATA + b"behind"


def test_unproven_peers_get_no_more_than_twisteds_own_way() -> None:
    """Much that comes in the midst of a handshake is not decrypted by us."""
    session = Session(reader_proven=False)
    session.writing.write(DATA)
    session.carry()
    assert session.reader.got == DATA
    assert len(session.reader.pieces) >= len(DATA) // RECORD_BYTES
    garbage = os.urandom(5 * RECORD_BYTES)
    session.reading.dataReceived(garbage)
    assert session.back.disconnecting
