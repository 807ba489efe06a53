"""From what the user gave to a place."""

from __future__ import annotations

from typing import Any

import pytest

from asyncluster.client.find import find_place, split_address
from asyncluster.client.place import TcpPlace, UnixPlace
from asyncluster.errors import AsynClusterError


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("host:1", ("host", 1)),
        ("host", ("host", 9080)),
        ("[::1]:22", ("::1", 22)),
        ("::1", ("::1", 9080)),
        ("[::1]", ("::1", 9080)),
    ],
)
def test_addresses(text: str, pair: tuple[str, int]) -> None:
    """Names and numbers of both families, with and without a port."""
    assert split_address(text) == pair


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:0", "host:70000"])
def test_what_is_no_address(text: str) -> None:
    """Said with the form that is wanted."""
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)


def test_a_socket_needs_no_password() -> None:
    """And takes none."""
    assert find_place(socket="/a/b") == UnixPlace("/a/b")
    with pytest.raises(ValueError, match="a socket knows"):
        find_place(socket="/a/b", user="me")
    with pytest.raises(ValueError, match="not both"):
        find_place("host:1", socket="/a/b")
    with pytest.raises(ValueError, match="socket="):
        find_place("/a/b")


def test_passwords_come_from_three_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, made by a function, or in the environment; none shows in a repr."""
    monkeypatch.delenv("ASYNCLUSTER_PASSWORD", raising=False)
    with pytest.raises(AsynClusterError, match="ASYNCLUSTER_PASSWORD"):
        find_place("host:1", user="me")
    given = find_place("host:1", user="me", password="secret", server_password=lambda: "other")
    assert given == TcpPlace("host", 1, "me", "secret", "other")
    assert find_place("host:1", user="me", password=lambda: "secret", server_password="other") == given
    assert "secret" not in repr(given)
    assert "other" not in repr(given)
    monkeypatch.setenv("ASYNCLUSTER_PASSWORD", "env")
    place = find_place("host:1", user="me")
    assert isinstance(place, TcpPlace)
    assert place.password == "env"


@pytest.mark.parametrize("slots", [0, -1, "two"])
def test_slots_that_cannot_be(slots: Any) -> None:
    """They are refused before anything is started."""
    with pytest.raises(ValueError, match="slots must be a number"):
        find_place(slots=slots)
