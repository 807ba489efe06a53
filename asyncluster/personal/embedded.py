"""A master and one node for the life of this program: Cluster() starts them where none runs.

With a batch system there is no node here: the master gets its nodes from there as tasks wait, and ends them when it
ends.  Otherwise both start at once: the port is opened here and handed to the master, so the node need not wait for it.
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

from asyncluster.errors import ConfigError
from asyncluster.inherited import LIFELINE_FD, LISTEN_FD
from asyncluster.personal.batch import Batch, check, elastic_text, subnets
from asyncluster.personal.files import Settings, make_passwords, master_text, node_text, write_private
from asyncluster.personal.paths import SOCKET_NAME, places, private_folder, run_tasks_as, temporary_base
from asyncluster.personal.spawn import StartFailedError, launch, listen, service, wait_until_ready

START_SECONDS = 30.0
STOP_SECONDS = 5.0
STOP_BATCH_SECONDS = 40.0
"""A master with a batch system has its jobs to cancel, and waits until none is left."""

LEASE = "5m"
"""How long a node of a batch system goes on without the master that ends with this program."""

NOTHING_KEPT = "sqlite://"
"""Nothing outlives this program: there is no master that would read it."""

PILOTS = "pilots"
"""The folder that compute nodes see too, and the link to it."""

_PREFIX = "asyncluster-embedded-"


@attrs.define(eq=False)
class Embedded:
    """A running pair.  socket: where clients connect; folder: its files, gone after `stop`."""

    socket: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = attrs.field(repr=False)
    _lifeline: int = attrs.field(repr=False)
    _lock: int = attrs.field(repr=False)
    _stop_seconds: float = attrs.field(repr=False)
    _owner: int = attrs.field(factory=os.getpid, repr=False)
    _stopped: bool = False

    def stop(self) -> None:
        """End both and remove their files; takes at most some five seconds, more with batch jobs.  Twice: as once."""
        if self._stopped or os.getpid() != self._owner:
            return
        self._stopped = True
        atexit.unregister(self.stop)
        os.close(self._lifeline)
        _end(self.processes, self._stop_seconds)
        os.close(self._lock)
        _remove(self.folder)

    def _forked(self) -> None:
        # A child of this program must not keep the pair alive after the program itself is gone.
        if not self._stopped:
            self._stopped = True
            os.close(self._lifeline)
            os.close(self._lock)


def start_embedded(slots: int | None = None, batch: Batch | None = None) -> Embedded:
    """Start a master and a node of this program's own; returns as soon as the master answers.

    slots: tasks at a time, None for one per core; batch: get nodes from there instead.
    Raises StartFailedError with the end of the log, ConfigError for options of the batch system that make no sense.
    """
    sweep()
    folder = _folder()
    lock = _lock_folder(folder)
    end, lifeline = os.pipe()
    started: list[tuple[subprocess.Popen[bytes], Path]] = []
    stop = STOP_SECONDS if batch is None else STOP_BATCH_SECONDS
    try:
        try:
            started = _start_pair(folder, slots, end) if batch is None else _start_for_batch(folder, batch, end)
        finally:
            os.close(end)
        embedded = Embedded(str(folder / SOCKET_NAME), folder, [each for each, _ in started], lifeline, lock, stop)
        wait_until_ready(embedded.socket, started, START_SECONDS)
    except BaseException as error:
        # The folder stays: the message names the log in it.  The next start sweeps it away.
        _end([process for process, _ in started], stop)
        os.close(lifeline)
        os.close(lock)
        if batch is not None and isinstance(error, StartFailedError):
            _explain(batch, folder)
        raise
    atexit.register(embedded.stop)
    os.register_at_fork(after_in_child=embedded._forked)
    return embedded


def _start_pair(folder: Path, slots: int | None, end: int) -> list[tuple[subprocess.Popen[bytes], Path]]:
    """A master and its node; end: of the pipe that tells when this program is over."""
    port = listen()
    settings = attrs.evolve(
        _settings(folder, port.getsockname()[1]),
        database=NOTHING_KEPT,
    )
    run_as = run_tasks_as(os.getuid())
    write_private(folder / "master.conf", master_text(settings))
    write_private(folder / "node.conf", node_text(settings, "local-1", slots, run_as, folder / "node"))
    logs = {"master": folder / "master.log", "node": folder / "node.log"}
    with port:
        master_fds = {LIFELINE_FD: end, LISTEN_FD: port.fileno()}
        master = launch(service("asyncluster.master", folder / "master.conf"), logs["master"], master_fds)
        node = launch(service("asyncluster.node", folder / "node.conf"), logs["node"], {LIFELINE_FD: end})
    return [(master, logs["master"]), (node, logs["node"])]


def _start_for_batch(folder: Path, batch: Batch, end: int) -> list[tuple[subprocess.Popen[bytes], Path]]:
    """A master that compute nodes can reach, and its pool; the same `end`."""
    text = elastic_text(batch, _shared(folder), LEASE)
    run_as = run_tasks_as(os.getuid())
    settings = attrs.evolve(_settings(folder, 0), subnets=subnets(), run_as=run_as, database=NOTHING_KEPT)
    write_private(folder / "master.conf", master_text(settings))
    write_private(folder / "master.yaml", text)
    log = folder / "master.log"
    return [(launch(service("asyncluster.master", folder / "master.conf"), log, {LIFELINE_FD: end}), log)]


def _explain(batch: Batch, folder: Path) -> None:
    """Raise ConfigError, with the faults by option, if it was these options that the master could not start with.

    To ask this beforehand would take as long as half a start.
    """
    try:
        check(elastic_text(batch))
    except ConfigError as found:
        _remove(folder)
        raise found from None


def _settings(folder: Path, port: int) -> Settings:
    return Settings(
        socket=str(folder / SOCKET_NAME),
        state=folder / "state",
        port=port,
        passwords=make_passwords(),
        user="nodes",
        drain_limit=1.0,
    )


def _shared(folder: Path) -> Path:
    """A folder that compute nodes see as well, in the person's home; gone with the other one."""
    uid = os.getuid()
    state = places(os.environ, uid).state
    for each in (state, state / PILOTS, made := state / PILOTS / folder.name.removeprefix(_PREFIX)):
        private_folder(each, uid)
    (folder / PILOTS).symlink_to(made, target_is_directory=True)
    return made


def _remove(folder: Path) -> None:
    """The files of one pair."""
    with contextlib.suppress(OSError):
        shared = Path(os.readlink(folder / PILOTS))
        if shared.parent.name == PILOTS and shared.lstat().st_uid == os.getuid():
            shutil.rmtree(shared, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))


def _base() -> str:
    return temporary_base(f"{_PREFIX}12345678/{SOCKET_NAME}")


def _lock_folder(folder: Path) -> int:
    """Take the lock that keeps other programs from sweeping this folder away; returns its descriptor."""
    unseen = folder / "lock.new"
    lock = os.open(unseen, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unseen.rename(folder / "lock")  # only now: who sweeps and finds a lock that is free takes its owner for dead
    return lock


def _end(processes: list[subprocess.Popen[bytes]], seconds: float) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + seconds
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
                _remove(lock.parent)
        except OSError:
            continue  # in use, or gone meanwhile
