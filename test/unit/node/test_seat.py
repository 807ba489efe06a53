"""Who may begin a session, what is said on the local socket, and how much of it is read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from asyncluster.errors import ConfigError, RefusedError
from asyncluster.model import seat as words
from asyncluster.model.seat import LONGEST_LINE, AskStatus, Begin, Finish, Left, Over, Request
from asyncluster.node import seat_socket
from asyncluster.node.identity import Identity
from asyncluster.node.seat import may_begin
from asyncluster.node.seat_socket import (
    AT_ONCE,
    LINGER,
    Limits,
    SeatConnection,
    SeatFactory,
    check_folder,
    seat_listener,
)
from asyncluster.wire.peercred import PeerCredentials

JANE = Identity(1000, 1000, (1000,), "/home/jane", "jane")
ROOT = Identity(0, 0, (0,), "/root", "root")
NAMES = {0: "root", 1000: "jane", 1001: "bob"}.__getitem__


@pytest.mark.parametrize(
    ("peer", "daemon", "user", "known", "why"),
    [
        (0, 0, "jane", JANE, ""),  # a display manager, or sudo
        (1000, 0, "jane", JANE, ""),
        (1001, 0, "jane", JANE, "bob can begin sessions for bob only"),
        (0, 0, "nobody'; --", None, "knows no user"),
        (0, 0, "root", ROOT, "root has no sessions"),
        (1001, 0, "root", ROOT, "bob can begin"),
        (1000, 1000, "jane", JANE, ""),
        (0, 1000, "jane", JANE, ""),
        (1001, 1000, "jane", JANE, "belongs to jane, and serves nobody else"),
        (1000, 1000, "bob", None, "who alone can have a session"),
    ],
)
def test_who_may_begin(peer: int, daemon: int, user: str, known: Identity | None, why: str) -> None:
    """Root's programs for anybody, others for themselves; a person's daemon serves that person."""
    told = may_begin(peer, daemon, user, NAMES, known)
    assert why in told
    assert bool(why) == bool(told)


def test_a_password_is_not_shown() -> None:
    """By no repr, and by no error about the line that it stands in."""
    begin = words.request_of(b'{"do": "begin", "user": "jane", "password": "secret words", "more": 1}')
    assert begin == Begin("jane", "secret words")
    assert "secret" not in repr(begin)
    for line in (b'{"do": "begin", "user": 1, "password": "secret words"}', b'"secret words"', b"[" * 9999, b"\xff"):
        with pytest.raises(ValueError, match="a request is a line") as caught:
            words.request_of(line)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


class Desk:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.left = 0

    def asked(self, who: SeatConnection, request: Request) -> None:
        self.requests.append(request)

    def gone(self, who: SeatConnection) -> None:
        self.left += 1


class Door:
    """Connections of a user whom the kernel names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None) -> None:
        self.clock, self.desk, self.uid = Clock(), Desk(), 1000
        self.factory = SeatFactory(self.clock, self.desk, limits)
        monkeypatch.setattr(seat_socket, "read_credentials", lambda _: PeerCredentials(1, self.uid, 1))

    def connect(self) -> tuple[SeatConnection, StringTransport]:
        connection, transport = self.factory.buildProtocol(None), StringTransport()
        connection.makeConnection(transport)
        return connection, transport


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    return Door(monkeypatch)


def test_requests_come_in_any_pieces(door: Door) -> None:
    """One a line; empty lines mean nothing, and what is no request ends the connection."""
    connection, transport = door.connect()
    for byte in b'\n{"do":"status"}\n{"do":"end"}\r\n{"do":"begin","user":"j","password":"p"}\n':
        connection.dataReceived(bytes([byte]))
    assert door.desk.requests == [AskStatus(), Finish(), Begin("j", "p")]
    connection.dataReceived(b"hello\n")
    assert b'"say":"error"' in transport.value()
    assert transport.disconnecting


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever is sent is a request, or an error."""
    with pytest.MonkeyPatch.context() as patch:
        connection, transport = Door(patch).connect()
        connection.dataReceived(data + b"\n")
        assert transport.value() == b"" or transport.disconnecting


def test_without_a_session_little_is_read(door: Door) -> None:
    """A line has an end, and so has patience with many; with a session only lines have."""
    connection, transport = door.connect()
    connection.dataReceived(b"x" * (LONGEST_LINE + 1))
    assert transport.disconnecting
    connection, transport = door.connect()
    for _ in range(20_000):
        connection.dataReceived(b'{"do":"status"}\n')
    assert transport.disconnecting
    connection, transport = door.connect()
    connection.admit()
    for _ in range(20_000):
        connection.dataReceived(b'{"do":"status"}\n')
    assert not transport.disconnecting


def test_few_requests_are_answered_at_once(door: Door) -> None:
    """Thousands in one piece hold up nobody: the rest waits for its turn, and nothing more is read meanwhile."""
    connection, transport = door.connect()
    connection.dataReceived(b'{"do":"status"}\n' * 1000)
    assert len(door.desk.requests) == AT_ONCE
    assert transport.producerState == "paused"
    door.clock.advance(0)  # as many turns as there are
    assert len(door.desk.requests) == 1000
    assert transport.producerState == "producing"
    assert not transport.disconnecting


def test_who_does_not_read_is_not_heard(door: Door) -> None:
    """With a session or without: else what it is told would fill the memory of root's daemon."""
    connection, transport = door.connect()
    connection.admit()
    connection.pauseProducing()  # as the transport says when it holds a lot
    connection.dataReceived(b'{"do":"status"}\n' * 100)
    door.clock.advance(1)
    assert door.desk.requests == []
    assert transport.producerState == "paused"
    connection.resumeProducing()
    while door.clock.getDelayedCalls():
        door.clock.advance(0)
    assert len(door.desk.requests) == 100
    assert transport.producerState == "producing"


def test_nothing_is_heard_behind_the_end(door: Door) -> None:
    """Whatever came in the same piece; and who does not read the last word is cut off."""
    connection, transport = door.connect()
    connection.dataReceived(b'hello\n{"do":"begin","user":"j","password":"p"}\n')
    connection.dataReceived(b'{"do":"status"}\n')
    assert door.desk.requests == []
    assert transport.disconnecting
    assert not transport.disconnected
    door.clock.advance(LINGER)
    assert transport.disconnected
    connection, transport = door.connect()
    connection.admit()
    connection.dataReceived(b'{"do":"status"}\n' * 100)
    connection.tell(Over("kicked", ""))
    door.clock.advance(LINGER)
    assert len(door.desk.requests) == AT_ONCE
    assert transport.disconnected


def test_roots_programs_may_ask_for_ever(door: Door) -> None:
    """A window that asks every second who sits there is not cut off some day."""
    door.uid = 0
    connection, transport = door.connect()
    for _ in range(20_000):
        connection.dataReceived(b'{"do":"status"}\n')
    assert not transport.disconnecting


def test_without_a_session_time_is_short(door: Door) -> None:
    """But for root's programs, which wait for somebody to come; and not while we have to answer."""
    _, transport = door.connect()
    door.clock.advance(61)
    assert transport.disconnecting
    connection, transport = door.connect()
    connection.wait()
    door.clock.advance(600)
    assert not transport.disconnecting
    door.uid = 0
    _, transport = door.connect()
    door.clock.advance(86_400)
    assert not transport.disconnecting


def test_a_user_has_few_places_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has one, or is gone, takes none; root always finds one, and nobody can take those of all others."""
    door = Door(monkeypatch, Limits(total=3, per_user=2))
    first, second = door.connect()[0], door.connect()[0]
    assert door.connect()[1].disconnected
    first.admit()
    second.connectionLost()
    assert door.desk.left == 1
    kept = [door.connect(), door.connect()]
    door.uid = 1001
    kept.append(door.connect())
    door.uid = 1002
    assert door.connect()[1].disconnected
    door.uid = 0
    kept += [door.connect() for _ in range(9)]
    assert not any(transport.disconnected for _, transport in kept)
    first.connectionLost()
    assert door.desk.left == 2


def test_who_has_no_name_at_the_kernel_is_not_heard(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of him is read."""

    def nobody(_transport: object) -> PeerCredentials:
        raise RefusedError("the kernel does not say")

    monkeypatch.setattr(seat_socket, "read_credentials", nobody)
    connection, transport = door.connect()
    connection.dataReceived(b'{"do":"status"}\n')
    assert transport.disconnected
    assert door.desk.requests == []


def test_after_the_end_the_connection_is_closed(door: Door) -> None:
    """The program has read it by then."""
    connection, transport = door.connect()
    connection.tell(Left(12.5))
    connection.tell(Over("kicked", "go home"))
    assert transport.value() == b'{"say":"left","seconds":12.5}\n{"say":"over","reason":"kicked","text":"go home"}\n'
    assert transport.disconnecting


def test_the_socket_lies_where_nobody_can_put_a_false_one(tmp_path: Path) -> None:
    """A folder that others can change is refused with its mend; what a dead daemon left is in nobody's way."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod go-w"):
        check_folder(str(open_to_all), os.geteuid())
    path = str(tmp_path / "new" / "seat")
    for _ in range(2):
        listener = seat_listener(path, os.geteuid())
        assert os.stat(path).st_mode & 0o777 == (0o666 if os.geteuid() == 0 else 0o600)
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(path)
        with pytest.raises(ConfigError, match=r"\[client\] seat socket = .* answers there already"):
            seat_listener(path, os.geteuid())
        listener.close()
