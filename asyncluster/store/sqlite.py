"""An SQLite file as the master's database: made, locked, examined, opened, moved aside.

Durability.  WAL with synchronous=FULL: each commit is on the disk before it is acknowledged.  With NORMAL a
kill of the master would lose nothing either, but a power failure would take the last commits, which
clients had been told were safe; a commit of a group costs one fsync, however many tasks are in it.

Torn ends.  SQLite writes no half transactions: a frame of the WAL counts only when its checksum is right and
a commit follows it, and what was not synced when the power went was acknowledged to nobody.  So a row whose
own checksum is wrong is never the trace of a crash, not even the last one: it is damage and is called so.

The file is examined each time: `quick_check` reads it once, as loading does, and takes less time than that.
So nothing depends on whether the last master ended well.

A file gets its name only once its tables are in it, so an empty one is damage too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import urllib.parse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.pool import NullPool
from twisted.logger import Logger

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.store.address import Address
from asyncluster.store.schema import migrate

_log = Logger()

BUSY_SECONDS = 5.0
"""How long a commit waits for somebody who reads or copies the file with a tool of SQLite's."""

CHECKPOINT_PAGES = 4000
"""The WAL is brought into the file about every 16 MiB: rarely enough that a burst of tasks is not held up."""

WAL_BYTES = 64 * 1024 * 1024
"""A WAL that grew beyond this is cut back."""

READING = "asyncluster_reading"
"""Option of a connection: nothing is written in the transactions that follow."""

_MAGIC = b"SQLite format 3\0"
_TAILS = ("", "-wal", "-shm")


@attrs.define(eq=False)
class SqliteFile:
    """The file at `address.path`, and the lock on it that keeps other masters away."""

    address: Address
    _lock: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.address.path or "")

    def lock(self) -> None:
        """Make the folder, take the lock.  Raises StoreError where another master has it."""
        with self.address.telling():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StoreError(f"another master (pid {pid}) uses {self.path}", str(self.path)) from None
        self._lock = lock
        with contextlib.suppress(OSError):  # a full disk: it is only for the message above
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def unlock(self) -> None:
        """Let others have it.  The lock's file stays: to remove it would let two masters lock two files."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def examine(self) -> None:
        """Make the file where there is none; raises StoreDamagedError for one that SQLite finds fault with."""
        with self.address.telling():
            if not self.path.exists():
                if self._beside("-wal").exists():
                    raise self._damaged("it is gone, and its -wal is still there")
                self._make()
                return
            with self.path.open("rb") as file:
                head = file.read(len(_MAGIC))
            if head != _MAGIC:
                raise self._damaged("it is no SQLite database" if head else "it is empty")
            connection = self._raw(self.path)
            try:
                faults = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
            finally:
                connection.close()
        if faults != ["ok"]:
            raise self._damaged("; ".join(faults).replace("\n", " "))

    def connect(self) -> sa.Connection:
        """A connection to the file, which must be there.  To be used in this thread only."""
        return self._engine(self.path).connect()

    def connect_beside(self) -> sa.Connection:
        """One more; SQLite keeps those who write apart."""
        return self.connect()

    def set_aside(self) -> str:
        """Give the damaged file, with its -wal and -shm, another name; returns it."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        aside = f"{self.path}.damaged-{stamp}"
        number = 1
        while any(os.path.lexists(aside + tail) for tail in _TAILS):
            number += 1
            aside = f"{self.path}.damaged-{stamp}-{number}"
        with self.address.telling():
            for tail in _TAILS:
                if self._beside(tail).exists():
                    self._beside(tail).rename(aside + tail)
            _sync_folder(self.path.parent)
        return aside

    def _make(self) -> None:
        fresh = self._beside(".new")
        for tail in _TAILS:
            Path(f"{fresh}{tail}").unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with self._engine(fresh).connect() as connection, connection.begin():
            migrate(connection, self.address.place)
        fresh.rename(self.path)
        _sync_folder(self.path.parent)

    def _engine(self, path: Path) -> sa.Engine:
        return make_engine(lambda: self._raw(path), _SameFile(path))

    def _raw(self, path: Path) -> sqlite3.Connection:
        # mode=rw: a file that somebody has removed is missed, not made anew
        connection = sqlite3.connect(
            f"file:{urllib.parse.quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_SECONDS
        )
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        except BaseException:
            connection.close()
            raise
        if mode != "wal":
            _log.warn("{path} is where SQLite cannot have a WAL ({mode} is used): slower", path=str(path), mode=mode)
        return connection

    def _beside(self, tail: str) -> Path:
        return Path(f"{self.path}{tail}")

    def _damaged(self, what: str) -> StoreDamagedError:
        return StoreDamagedError(f"{self.path} is damaged: {what}", str(self.path))


@attrs.define(eq=False)
class SqliteMemory:
    """A database that lasts as long as its only connection."""

    address: Address
    _used: bool = False

    def lock(self) -> None:
        """Nobody else can see it."""

    def unlock(self) -> None:
        """Nobody else can see it."""

    def examine(self) -> None:
        """It is new."""

    def connect(self) -> sa.Connection:
        """The connection.  Raises StoreError for a second one: it would find nothing of what was there."""
        if self._used:
            raise StoreError(f"{self.address.place} is lost", self.address.place)
        self._used = True
        return make_engine(lambda: sqlite3.connect(":memory:", isolation_level=None)).connect()

    def connect_beside(self) -> sa.Connection:
        """The only one there is."""
        return self.connect()

    def set_aside(self) -> str:
        """Never called: it cannot be damaged when it is opened."""
        raise StoreError(f"{self.address.place} cannot be set aside", self.address.place)


@attrs.define(eq=False)
class _SameFile:
    """Whether the file that a connection has open is still the one of that name: SQLite would go on without."""

    path: Path
    _known: tuple[int, int] | None = None

    def note(self) -> None:
        """It was opened just now."""
        self._known = self._found()

    def check(self) -> None:
        """Raises StoreError.  The connection stays as it is: should the file have been moved, it can be moved back."""
        if self._found() != self._known:
            raise StoreError(
                f"{self.path} was removed, or another file put in its place, while it is in use: put that very file "
                "back, or stop the master and restore a copy",
                str(self.path),
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def make_engine(creator: Any, same: _SameFile | None = None) -> sa.Engine:
    """An engine whose transactions are SQLite's own, also around changes of tables.

    same: looks at the begin of each whether the file is there.  Python's driver begins none before CREATE TABLE when
    left to itself; so its hand is taken off.
    """
    engine = sa.create_engine("sqlite+pysqlite://", creator=creator, poolclass=NullPool, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def connected(_connection: object, _record: object) -> None:
        if same is not None:
            same.note()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if same is not None:
            same.check()
        # who only reads need not wait for who writes
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READING) else "BEGIN IMMEDIATE")

    return engine


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
