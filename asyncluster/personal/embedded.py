"""A master and one node for the life of this program: Cluster() starts them where none runs.

Both start at once: the port is opened here and handed to the master, so the node need not wait for it.
They hold the reading end of a pipe whose other end only this process has, so they end when it does,
however it does.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import attrs

from asyncluster.inherited import LIFELINE_FD, LISTEN_FD
from asyncluster.personal.files import Settings, make_passwords, master_text, node_text, write_private
from asyncluster.personal.paths import SOCKET_BYTES, SOCKET_NAME, run_tasks_as
from asyncluster.personal.spawn import launch, listen, service, wait_until_ready

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_PREFIX = "asyncluster-embedded-"


@attrs.define(eq=False)
class Embedded:
    """A running pair.  socket: where clients connect; folder: its files, gone after `stop`."""

    socket: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = attrs.field(repr=False)
    _lifeline: int = attrs.field(repr=False)
    _lock: int = attrs.field(repr=False)
    _owner: int = attrs.field(factory=os.getpid, repr=False)
    _stopped: bool = False

    def stop(self) -> None:
        """End both and remove their files; takes at most about five seconds.  Again: does nothing."""
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        os.close(self._lifeline)
        _end(self.processes)
        os.close(self._lock)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _forked(self) -> None:
        # A child of this program must not keep the pair alive after the program itself is gone.
        if not self._stopped:
            self._stopped = True
            os.close(self._lifeline)
            os.close(self._lock)


def start_embedded(slots: int | None = None) -> Embedded:
    """Start a master and a node of this program's own; returns as soon as the master answers.

    slots: tasks at a time, None for one per core.  Raises StartFailedError with the end of the log.
    """
    sweep()
    folder = _folder()
    lock = _lock_folder(folder)
    end, lifeline = os.pipe()
    port = listen()
    settings = Settings(
        socket=str(folder / SOCKET_NAME),
        state=folder / "state",
        port=port.getsockname()[1],
        passwords=make_passwords(),
        user="nodes",
        drain_limit=1.0,
        database="sqlite://",  # nothing outlives this program
    )
    run_as = run_tasks_as(os.getuid())
    write_private(folder / "master.conf", master_text(settings))
    write_private(folder / "node.conf", node_text(settings, "local-1", slots, run_as, folder / "node"))
    logs = {"master": folder / "master.log", "node": folder / "node.log"}
    with port:
        master_fds = {LIFELINE_FD: end, LISTEN_FD: port.fileno()}
        master = launch(service("asyncluster.master", folder / "master.conf"), logs["master"], master_fds)
        node = launch(service("asyncluster.node", folder / "node.conf"), logs["node"], {LIFELINE_FD: end})
    os.close(end)
    embedded = Embedded(settings.socket, folder, [master, node], lifeline, lock)
    try:
        wait_until_ready(settings.socket, [(master, logs["master"]), (node, logs["node"])], START_SECONDS)
    except BaseException:
        # The folder stays: the message names the log in it.  The next start sweeps it away.
        _end(embedded.processes)
        os.close(lifeline)
        os.close(lock)
        raise
    atexit.register(embedded.stop)
    os.register_at_fork(after_in_child=embedded._forked)
    return embedded


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))


def _base() -> str:
    base = tempfile.gettempdir()
    room = SOCKET_BYTES - len(f"/{_PREFIX}12345678/{SOCKET_NAME}")
    return base if len(os.fsencode(base)) <= room else "/tmp"  # noqa: S108 (our folders there are made by mkdtemp: 0700)


def _lock_folder(folder: Path) -> int:
    """Take the lock that keeps other programs from sweeping this folder away; returns its descriptor."""
    unseen = folder / "lock.new"
    lock = os.open(unseen, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(folder / "lock")  # only now: who sweeps and finds a lock that is free takes its owner for dead
    return lock


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sweep() -> None:
    """Remove the folders of programs that were killed before they could."""
    for lock in Path(_base()).glob(f"{_PREFIX}*/lock"):
        try:
            if lock.lstat().st_uid != os.getuid() or lock.is_symlink():
                continue
            with lock.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue  # in use, or gone meanwhile
