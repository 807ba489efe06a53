"""Where the master is, from what the user gave: a socket, an address, or nothing at all.

Starts an embedded master where nothing was given and no personal one runs.  Imports nothing of
Twisted, so that the embedded master warms up while this program imports the rest.
"""

from __future__ import annotations

import getpass
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs

from asyncluster.client.place import OwnPlace, Place, TcpPlace, UnixPlace
from asyncluster.errors import AsynClusterError
from asyncluster.personal.batch import Batch

DEFAULT_PORT = 9080
Password = str | Callable[[], str] | None


def find_place(
    address: str | OwnPlace | Batch | None = None,
    socket: str | os.PathLike[str] | None = None,
    user: str | None = None,
    password: Password = None,
    server_password: Password = None,
    slots: int | None = None,
) -> Place:
    """The place to connect to; see `Cluster` for the arguments.

    Raises ValueError for arguments that contradict each other, AsynClusterError when a password is
    missing, StartFailedError when an embedded master does not start.
    """
    if address is not None and socket is not None:
        raise ValueError("give an address or a socket, not both")
    if slots is not None and (not isinstance(slots, int) or slots < 1):
        raise ValueError(f"slots must be a number, 1 or more, not {slots!r}")
    if isinstance(address, Batch):
        return UnixPlace(_embedded(None, address).socket, address.max_nodes * address.cores)
    if address is not None and not isinstance(address, str):
        return address
    if address is not None and ("/" in address or os.path.exists(address)):
        raise ValueError(f'{address!r} is a file name: say Cluster(socket="{address}")')
    if address is not None:
        return _tcp(address, user, password, server_password)
    if user is not None or password is not None or server_password is not None:
        raise ValueError('user and password are for Cluster("host:port"); a socket knows who you are')
    if socket is not None:
        return UnixPlace(os.fspath(socket))
    from asyncluster.personal import find

    if slots is None:
        found = find()
        if found is not None:
            return UnixPlace(found)
    return UnixPlace(_embedded(slots).socket, slots or os.cpu_count() or 1)


BATCH = frozenset(field.name for field in attrs.fields(Batch)) - {"system"}


def batch_of(system: str, words: dict[str, Any]) -> Batch:
    """What is said of a batch system's nodes, taken out of the arguments of a cluster; see `Cluster.from_batch`."""
    return Batch(system, **{name: words.pop(name) for name in BATCH & words.keys()})


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host", "host:port", "[::1]:port" or "::1"; raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = address, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f'{address!r} is no address; write "host:port"')
    return host, int(port)


def _tcp(address: str, user: str | None, password: Password, server_password: Password) -> TcpPlace:
    host, port = split_address(address)
    secret = _secret(password, "ASYNCLUSTER_PASSWORD")
    if not secret:
        raise AsynClusterError(
            f"a password is needed for {address}: give password=, a function that returns it, "
            "or set ASYNCLUSTER_PASSWORD"
        )
    name = user or os.environ.get("ASYNCLUSTER_USER") or getpass.getuser()
    return TcpPlace(host, port, name, secret, _secret(server_password, "ASYNCLUSTER_SERVER_PASSWORD"))


def _secret(given: Password, variable: str) -> str | None:
    if callable(given):
        return given()
    return given if given is not None else os.environ.get(variable)


_running: dict[int | Batch | None, Any] = {}
_lock = threading.Lock()


def _embedded(slots: int | None, batch: Batch | None = None) -> Any:
    """The embedded master of that size, or for that batch system; one for the life of the program, ended with it."""
    from asyncluster.personal import start_embedded

    with _lock:
        running = _running.get(batch or slots)
        if running is None:
            warm = threading.Thread(target=_import_the_rest, name="asyncluster-import", daemon=True)
            warm.start()
            running = _running[batch or slots] = start_embedded(slots, batch)
            warm.join()
        return running


def _import_the_rest() -> None:
    import asyncluster.client.connect
    import asyncluster.client.session
    import asyncluster.client.thread
    import asyncluster.wire.connect  # noqa: F401 (all four only to have them loaded)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _running.clear()  # the parent's, and ended with it


os.register_at_fork(after_in_child=_after_fork)


def import_path() -> tuple[str, ...]:
    """Folders of the user's own modules, to be put on the workers' path where they exist there."""
    prefixes = tuple({os.path.abspath(prefix) + os.sep for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)})
    folders: list[str] = []
    for entry in sys.path:
        try:
            folder = os.path.abspath(entry)  # "" is where we are
            folder.encode()
        except (OSError, UnicodeEncodeError):  # that was removed; or its name is no text
            continue
        ours = os.path.isdir(folder) and not (folder + os.sep).startswith(prefixes)
        if ours and "site-packages" not in folder and "dist-packages" not in folder and folder not in folders:
            folders.append(folder)
    return tuple(folders[:32])
