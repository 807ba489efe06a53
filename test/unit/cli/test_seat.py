"""`asyncluster seat`: its arguments, what it shows, and to whom it says a password."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asyncluster.cli import seat
from asyncluster.cli.seat_session import shown, time_left
from asyncluster.cli.seat_talk import Talk, seat_path
from asyncluster.errors import AsynClusterError
from asyncluster.model.seat import (
    DEFAULT_SOCKET,
    AskStatus,
    Granted,
    Left,
    Linked,
    Over,
    Refused,
    SeatStatus,
    Told,
    Warned,
    to_line,
)
from asyncluster.node import becoming
from asyncluster.node.identity import Identity

KNOWN = {
    "jane": Identity(1000, 1000, (), "/home/jane", "jane"),
    "root": Identity(0, 0, (), "/root", "root"),
}


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (Left(None), ""),
        (Left(119.9), "1m 59s left"),
        (Left(7199.0), "1h 59m left"),
        (Warned(1), "the session ends in 1 minute; save your work"),
        (Warned(10), "the session ends in 10 minutes; save your work"),
        (Told("one\ntwo\x1b[2J", "root\x07"), "message from root\ufffd: one two\ufffd[2J"),
        (Linked(False), "the master is away for now; the session goes on"),
        (Over("kicked", "go\x9b home"), "the session is over: go\ufffd home"),
        (Over("left", ""), ""),
        (SeatStatus("a", True, "pause"), ""),
    ],
)
def test_what_is_shown(notice: object, text: str) -> None:
    """One line each; what others wrote cannot steer the terminal."""
    assert shown(notice) == text  # type: ignore[arg-type]


def test_quiet_hides_the_time_left_only() -> None:
    """Warnings are what somebody has to hear."""
    assert shown(Left(60.0), quiet=True) == ""
    assert "10 minutes" in shown(Warned(10), quiet=True)
    assert time_left(None) == "no limit"


@pytest.mark.parametrize(
    ("words", "user", "command"),
    [
        ([], None, ()),
        (["jane"], "jane", ()),
        (["jane", "ls", "-l"], "jane", ("ls", "-l")),
        (["--", "ls", "--", "x"], None, ("ls", "--", "x")),
        (["--quiet", "jane", "--", "ls", "--quiet"], "jane", ("ls", "--quiet")),
    ],
)
def test_user_and_command_are_told_apart(words: list[str], user: str | None, command: tuple[str, ...]) -> None:
    """By `--`, or by their order."""
    context = seat.login.make_context("login", list(words))
    given = context.meta.get("asyncluster.command", context.params["command"])
    assert (context.params["user"], given) == (user, command)


def test_two_users_are_one_too_many() -> None:
    """Before `--` stands one at most."""
    done = CliRunner().invoke(seat.login, ["jane", "bob", "--", "ls"])
    assert done.exit_code == 2
    assert "one user only" in done.output


@pytest.mark.parametrize(
    ("uid", "user", "why"),
    [
        (0, "jane", ""),
        (0, None, "root has no sessions"),
        (0, "nobody-here", "no such user"),
        (1000, "jane", ""),
        (1000, "root", "only root can run anything as 'root'"),
        (1001, "jane", "only root can run anything as 'jane'"),
        (1000, "x" * 30_000, "only root can"),
    ],
)
def test_for_whom_it_can_run_anything(uid: int, user: str | None, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root for anybody else, others for themselves; nobody types a password in vain."""
    monkeypatch.setattr(becoming, "lookup", KNOWN.get)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if not why:
        assert seat._whom(user).change == (uid == 0)
        return
    with pytest.raises(AsynClusterError, match=why) as caught:
        seat._whom(user)
    assert len(str(caught.value)) < 300


def test_a_refusal_comes_with_its_mend() -> None:
    """Where there is one."""
    assert "asyncluster user password jane" in seat._refusal(Refused("password", "wrong"), "jane")
    assert seat._refusal(Refused("database", "away; try again"), "jane") == "away; try again"
    assert "nonsense" in seat._refusal(object(), "jane")


def test_where_the_socket_is(tmp_path: Path) -> None:
    """As given, by the environment, by the configuration where it can be read, else the usual place."""
    none = {"HOME": str(tmp_path), "ASYNCLUSTER_CONF": str(tmp_path / "a.conf")}
    (tmp_path / "a.conf").touch(0o600)
    assert seat_path("/given", none) == "/given"
    assert seat_path(None, {**none, "ASYNCLUSTER_SEAT": "/named"}) == "/named"
    assert seat_path(None, none) == DEFAULT_SOCKET
    (tmp_path / "a.conf").write_text("[client]\nseat socket = /configured\n")
    assert seat_path(None, none) == "/configured"


def daemon(path: Path, serve: Callable[[socket.socket], None]) -> threading.Thread:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            serve(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_an_answer_may_come_with_more(tmp_path: Path) -> None:
    """What came behind it is not lost; what a newer daemon says is passed over; then it goes."""

    def serve(connection: socket.socket) -> None:
        assert connection.recv(100) == b'{"do":"status"}\n'
        granted = Granted(1, "jane", "desk", None, 10)
        connection.sendall(b'{"say":"news","x":1}\n' + to_line(granted) + to_line(Left(5.0)))

    thread = daemon(tmp_path / "seat", serve)
    talk = Talk(str(tmp_path / "seat"))
    assert isinstance(talk.ask(AskStatus()), Granted)
    assert talk.unread == [Left(5.0)]
    with pytest.raises(AsynClusterError, match="closed the connection"):
        talk.ask(AskStatus())
    talk.close()
    thread.join()


def test_no_password_is_said_to_somebody_elses_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says whose socket it is."""
    thread = daemon(tmp_path / "seat", lambda connection: None)
    monkeypatch.setattr(struct, "unpack", lambda *_: (1, 4711, 1))
    with pytest.raises(AsynClusterError, match="belongs to 4711"):
        Talk(str(tmp_path / "seat"))
    thread.join()
    with pytest.raises(AsynClusterError, match="seat socket"):
        Talk(str(tmp_path / "nothing"))
    with pytest.raises(AsynClusterError, match="no node daemon"):
        Talk("x" * 200)


def test_the_password_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows in stdin is the command's."""
    read, write = os.pipe()
    os.write(write, "pässword words \r\nand more".encode())
    os.close(write)
    before = os.dup(0)
    os.dup2(read, 0)
    try:
        monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
        assert seat._password("jane") == "pässword words "
        assert os.read(0, 100) == b"and more"
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(read)


WARDEN = """
import os
from asyncluster.cli.seat_warden import Warden
from asyncluster.node import kin

def adopt():
    raise PermissionError(1, "it is forbidden here")

kin.adopt = adopt
warden = Warden.appoint(lambda parent: os._exit(7 if kin.die_with(parent) else 8), [])
print(os.waitstatus_to_exitcode(warden.last_word()), os.waitpid(warden.pid, 0)[1])
"""


@pytest.mark.real
def test_a_command_runs_where_nobody_may_adopt() -> None:
    """Who logs in is told once what does not end with the session."""
    done = subprocess.run([sys.executable, "-c", WARDEN], check=True, capture_output=True, text=True)
    assert done.stdout == "7 0\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("asyncluster: what the command starts in sessions of its own does not end with it")
    assert "it is forbidden here" in line
