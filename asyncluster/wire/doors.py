"""Sockets that the master listens on: bound before its service starts, so that a busy one is told at once."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger

from asyncluster.errors import ConfigError
from asyncluster.inherited import LISTEN_FD
from asyncluster.interfaces import IReactor

_log = Logger()


@attrs.define(eq=False)
class Door(Service):
    """A socket that was bound before the service started, so that a busy port is told at once."""

    reactor: IReactor
    socket: socket.socket
    factory: Factory[Any]
    what: str
    _port: IListeningPort | None = None

    def startService(self) -> None:
        """Accept connections."""
        super().startService()
        adopt = cast(IReactorSocket, self.reactor).adoptStreamPort
        self._port = adopt(self.socket.fileno(), self.socket.family, cast("ServerFactory[Any]", self.factory))
        self.socket.close()
        _log.info("ready at {what}", what=self.what)

    def stopService(self) -> Deferred[None] | None:
        """Accept no more."""
        super().stopService()
        return None if self._port is None else cast("Deferred[None]", self._port.stopListening())


def listening_socket(interface: str, port: int) -> socket.socket:
    """A TCP socket that listens: our starter's, or one on that interface (empty: all).  Raises ConfigError."""
    given = os.environ.pop(LISTEN_FD, "")
    if given.isdigit():
        listener = socket.socket(fileno=int(given))
        listener.setblocking(False)  # else the reactor would wait in accept
        return listener
    family = socket.AF_INET6 if ":" in interface or not interface else socket.AF_INET
    try:
        listener = _bound(family, interface or "::", port)
    except OSError:
        if interface:
            raise _cannot_listen(interface, port) from None
        try:
            listener = _bound(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 (a machine without IPv6; the gate decides)
        except OSError:
            raise _cannot_listen(interface, port) from None
    return listener


def _bound(family: int, interface: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((interface, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _cannot_listen(interface: str, port: int) -> ConfigError:
    return ConfigError(
        f"[common] tcp port = {port}: cannot listen there (interface {interface or 'all'}): another program has the "
        "port, or the interface is not ours.  `ss -ltnp` shows who has it; choose another port on all machines, "
        "or 0 for any"
    )


def unix_socket(path: str, key: str = "[common] socket") -> socket.socket:
    """Bound and listening, or ConfigError; what a dead daemon left is removed, a living one is not disturbed.

    key: in whose words errors are told.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise ConfigError(f"{key} = {path}: {error.strerror}") from error
    if mode and not stat.S_ISSOCK(mode):
        raise ConfigError(f"{key} = {path}: a file of another kind is there; move it or name another path")
    if mode:
        if _answers(path):
            raise ConfigError(f"{key} = {path}: a daemon answers there already; stop it or name another path")
        _log.info("removing the socket {path} that a dead daemon left", path=path)
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        listener.bind(path)
        # Everybody may knock: the kernel says who it is, and each sees and steers only what is his.
        os.chmod(path, 0o666)  # noqa: S103 (whoever knocks is asked for by the kernel)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigError(f"{key} = {path}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _answers(path: str) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(2)
    try:
        probe.connect(path)
    except OSError:
        return False
    finally:
        probe.close()
    return True


def remove_socket(path: str) -> None:
    """Take our socket away when we stop."""
    Path(path).unlink(missing_ok=True)
