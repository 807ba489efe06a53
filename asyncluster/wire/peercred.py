"""Who is on the other end of a UNIX socket: the kernel says (SO_PEERCRED), nobody can pretend.

Gives a client's `Peer` with its user name.  A uid without a name is refused unless it is the master's own;
so is the kernel's stand-in for users it cannot name here (65534, `nobody`: somebody in another user
namespace).  An administrator is root, the user that the service runs as, or a member of the configured
group by the machine's user database.  (What groups the process carries at the moment is not asked: a
set-group-ID program must not make an administrator.)
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from typing import Any, Protocol

import attrs

from asyncluster.errors import RefusedError
from asyncluster.model.peer import Peer, Role

OVERFLOW_UID = 65534
_CREDENTIALS = struct.Struct("3i")


@attrs.frozen
class PeerCredentials:
    """What the kernel noted when the peer connected."""

    pid: int
    uid: int
    gid: int


class Accounts(Protocol):
    """The machine's user database, as far as it is asked."""

    def user(self, uid: int) -> tuple[str, int] | None:
        """(name, primary group) of a uid, or None."""

    def groups(self, name: str, gid: int) -> set[int]:
        """All groups of a user, supplementary ones too."""

    def group(self, name: str) -> int | None:
        """The number of a group, or None."""


class SystemAccounts:
    """`Accounts` by the machine's passwd and group (and whatever nsswitch adds)."""

    def user(self, uid: int) -> tuple[str, int] | None:
        """(name, primary group) of a uid, or None."""
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return None
        return entry.pw_name, entry.pw_gid

    def groups(self, name: str, gid: int) -> set[int]:
        """All groups of a user, supplementary ones too."""
        return set(os.getgrouplist(name, gid))

    def group(self, name: str) -> int | None:
        """The number of a group, or None."""
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None


def read_credentials(transport: Any) -> PeerCredentials:
    """Ask the kernel; `transport` is a protocol's transport on a UNIX socket.  Raises RefusedError, never guesses."""
    try:
        handle = transport.getHandle()
        if handle.family != socket.AF_UNIX:
            raise RefusedError("this is no UNIX socket; nobody can say who is there")
        raw = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (OSError, AttributeError) as fault:
        raise RefusedError("the kernel does not say who is on this socket") from fault
    return PeerCredentials(*_CREDENTIALS.unpack(raw))


def identify(
    credentials: PeerCredentials, service_uid: int, admin_group: str = "", accounts: Accounts | None = None
) -> Peer:
    """The peer behind the credentials; raises RefusedError for a user without a name.

    `service_uid` is `os.geteuid()` of the master; `admin_group` may be empty or a group that does not exist:
    then it makes nobody an administrator.
    """
    accounts = SystemAccounts() if accounts is None else accounts
    uid = credentials.uid
    if uid < 0 or uid == OVERFLOW_UID:
        raise RefusedError(f"user {uid} stands for users without a name on this machine; run as an ordinary user")
    user = accounts.user(uid)
    if user is None and uid == service_uid:
        # A container run by a bare number: he who runs the master may use it, name or none.
        return Peer(Role.CLIENT, str(uid), f"unix:pid {credentials.pid}", True)
    if user is None:
        raise RefusedError(f"user {uid} has no name on this machine; add the account or run as another user")
    name, gid = user
    admin = uid in (0, service_uid)
    if not admin and admin_group:
        group = accounts.group(admin_group)
        admin = group is not None and group in accounts.groups(name, gid)
    return Peer(Role.CLIENT, name, f"unix:pid {credentials.pid}", admin)
