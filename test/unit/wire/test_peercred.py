"""Tests of who is on a UNIX socket."""

from __future__ import annotations

import os
import socket
from typing import ClassVar

import pytest

from asyncluster.errors import RefusedError
from asyncluster.model.peer import Peer, Role
from asyncluster.wire.peercred import PeerCredentials, SystemAccounts, identify, read_credentials


class Book:
    """A user database in memory."""

    users: ClassVar = {
        0: ("root", 0),
        100: ("service", 100),
        1000: ("ann", 1000),
        1001: ("bob", 50),
        65534: ("nobody", 65534),
    }
    members: ClassVar = {"ann": {1000, 50}, "bob": {50}, "service": {100}, "root": {0}}

    def user(self, uid: int) -> tuple[str, int] | None:
        """As `Accounts` says."""
        return self.users.get(uid)

    def groups(self, name: str, gid: int) -> set[int]:
        """As `Accounts` says."""
        return self.members[name]

    def group(self, name: str) -> int | None:
        """As `Accounts` says."""
        return {"hpcadmin": 50}.get(name)


@pytest.mark.parametrize(
    ("uid", "group", "name", "admin"),
    [
        (0, "", "root", True),
        (100, "", "service", True),
        (1000, "", "ann", False),
        (1000, "hpcadmin", "ann", True),
        (1001, "hpcadmin", "bob", True),
        (1000, "nosuchgroup", "ann", False),
    ],
    ids=["root", "service", "ordinary", "supplementary", "primary", "no such group"],
)
def test_identify(uid: int, group: str, name: str, admin: bool) -> None:
    """Root, the service and members of the group are administrators; everybody else has a name only."""
    peer = identify(PeerCredentials(7, uid, uid), 100, group, Book())
    assert peer == Peer(Role.CLIENT, name, "unix:pid 7", admin)


def test_group_of_the_process_does_not_count() -> None:
    """A set-group-ID program in the administrators' group makes nobody an administrator."""

    class Lonely(Book):
        members: ClassVar = {"ann": {1000}}

    assert not identify(PeerCredentials(7, 1000, 50), 100, "hpcadmin", Lonely()).admin


@pytest.mark.parametrize("uid", [4242, 65534, -1])
def test_users_without_a_name_are_refused(uid: int) -> None:
    """An unknown uid is refused, and the kernel's stand-in for one even where the service runs as that."""
    with pytest.raises(RefusedError, match=f"user {uid}"):
        identify(PeerCredentials(7, uid, 0), 100 if uid == 4242 else uid, "", Book())


class Transport:
    """A transport as far as it is asked."""

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle

    def getHandle(self) -> socket.socket:
        """For `read_credentials`."""
        return self.handle


def test_the_masters_own_user_needs_no_name() -> None:
    """In a container that runs under a bare number, the one who runs the master may use it."""
    peer = identify(PeerCredentials(1, 4711, 4711), 4711, "", Book())
    assert (peer.name, peer.admin) == ("4711", True)


def test_kernel_names_this_process() -> None:
    """Over a socket pair the kernel names this very process; the system's database knows it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        credentials = read_credentials(Transport(ours))
    assert credentials == PeerCredentials(os.getpid(), os.geteuid(), os.getegid())
    accounts = SystemAccounts()
    user = accounts.user(credentials.uid)
    assert user is not None
    assert user[1] in accounts.groups(*user)
    assert accounts.group("no-such-group-here") is None
    assert accounts.user(4_000_000_000) is None
    assert identify(credentials, os.geteuid()).admin


def test_other_sockets_are_refused() -> None:
    """Over TCP the kernel says nothing; nobody is guessed."""
    with socket.socket(socket.AF_INET) as tcp, pytest.raises(RefusedError):
        read_credentials(Transport(tcp))
    with pytest.raises(RefusedError):
        read_credentials(object())
