"""The command line's end of the node daemon's local socket: blocking, or read when `select` says."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping

from asyncluster.errors import AsynClusterError
from asyncluster.model.seat import DEFAULT_SOCKET, Notice, Request, notice_of, to_line
from asyncluster.people import user_name

VARIABLE = "ASYNCLUSTER_SEAT"
ANSWER = 120.0
"""Seconds within which the daemon answers; it has to ask the master."""


def seat_path(given: str | None, environment: Mapping[str, str]) -> str:
    """Where the socket is: as given, $ASYNCLUSTER_SEAT, the configuration where we may read it, the usual place."""
    named = given or environment.get(VARIABLE)
    if named:
        return named
    from asyncluster.config.load import find, load

    path = find(environment=environment, skip_unreadable=True)
    configured = "" if path is None else load(path, need="client").client.seat_socket
    return configured or DEFAULT_SOCKET


class Talk:
    """A connection.  Raises AsynClusterError where nobody answers, or somebody else does."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._rest = b""
        self.unread: list[Notice] = []  # came with the answer
        try:
            self.socket.settimeout(ANSWER)
            self.socket.connect(path)
            raw = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except (OSError, ValueError) as error:
            self.socket.close()
            raise AsynClusterError(
                f"no node daemon answers at {path} ({getattr(error, 'strerror', None) or error}); [client] seat socket "
                f"of its configuration says where it listens, and so may --seat or ${VARIABLE}"
            ) from None
        uid = struct.unpack("3i", raw)[1]
        if uid not in (0, os.geteuid()):
            self.socket.close()
            raise AsynClusterError(
                f"{path} belongs to {user_name(uid)}, to whom no password is said: it has to be root's or yours"
            )

    def fileno(self) -> int:
        """For `select`."""
        return self.socket.fileno()

    def ask(self, request: Request) -> Notice:
        """Say that, and wait for one answer.  Raises AsynClusterError when the daemon goes."""
        self.say(request)
        while True:
            notices = self.read()
            if notices is None:
                raise AsynClusterError("the node daemon has closed the connection; its log may say why")
            if notices:
                self.unread = notices[1:]
                return notices[0]

    def say(self, request: Request) -> None:
        """Say that; a daemon that is gone is noticed when it is read from."""
        try:
            self.socket.sendall(to_line(request))
        except OSError:
            return

    def read(self) -> list[Notice] | None:
        """What has come, as soon as something has; None: the daemon is gone.  Raises AsynClusterError."""
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise AsynClusterError(f"the node daemon has not answered within {ANSWER:.0f} s") from None
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [notice for line in lines if (notice := _known(line)) is not None]

    def close(self) -> None:
        """The session ends with it."""
        self.socket.close()


def _known(line: bytes) -> Notice | None:
    try:
        return notice_of(line)
    except ValueError:  # a newer daemon's
        return None
