"""The proxy of our tests does what it is told, and loses nothing meanwhile."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncluster.testing.proxy import Proxy

pytestmark = pytest.mark.real
LIMIT = 60


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[Proxy, str, socket.socket]]:
    """A proxy, where it listens, and who listens behind it."""
    with socket.socket(socket.AF_UNIX) as behind:
        behind.settimeout(LIMIT)
        behind.bind(str(tmp_path / "behind"))
        behind.listen()
        with Proxy.start({"x": (str(tmp_path / "door"), str(tmp_path / "behind"))}) as proxy:
            yield proxy, str(tmp_path / "door"), behind


def dial(path: str, behind: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection."""
    near = socket.socket(socket.AF_UNIX)
    near.settimeout(LIMIT)
    near.connect(path)
    far, _ = behind.accept()
    far.settimeout(LIMIT)
    return near, far


def take(end: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        got += end.recv(count - len(got))
    return got


def test_stall_and_delay(door: tuple[Proxy, str, socket.socket]) -> None:
    """Nothing comes through while it is stalled; then all of it, in order, both ways."""
    proxy, path, behind = door
    near, far = dial(path, behind)
    with near, far:
        near.sendall(b"before")
        assert take(far, 6) == b"before"
        proxy.tell("stall", "x")
        near.sendall(b"during")
        far.sendall(b"answer")
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(1)
        far.settimeout(LIMIT)
        proxy.tell("delay", "x", 0.01)
        proxy.tell("go", "x")
        near.sendall(b"after")
        assert take(far, 11) == b"duringafter"
        assert take(near, 6) == b"answer"
        near.close()
        assert far.recv(1) == b""


def test_reset(door: tuple[Proxy, str, socket.socket]) -> None:
    """Connections that are there end, and new ones can be made."""
    proxy, path, behind = door
    near, far = dial(path, behind)
    with near, far:
        near.sendall(b"x")
        assert take(far, 1) == b"x"
        proxy.tell("reset", "x")
        for end in (near, far):
            with contextlib.suppress(ConnectionResetError):
                assert end.recv(1) == b""
    near, far = dial(path, behind)
    with near, far:
        far.sendall(b"y")
        assert take(near, 1) == b"y"
