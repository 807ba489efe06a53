"""Owns the connection to the database: opens it, commits groups of orders, opens it anew when it was lost.

For one thread, which may wait.  Decides what a commit is worth whose answer never came: each group bears a
number that is written along with it, so a group that is tried again is not written twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import sqlalchemy as sa
from twisted.logger import Logger

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.model.bulk import Room, in_memory
from asyncluster.store import rows
from asyncluster.store.address import Address, cannot_write, parse_address
from asyncluster.store.records import Found, Order
from asyncluster.store.schema import migrate
from asyncluster.store.tables import GROUP, OPENED

_log = Logger()


class Backend(Protocol):
    """What differs between databases."""

    address: Address

    def lock(self) -> None:
        """Keep other masters away.  Raises StoreError where one is there already."""

    def unlock(self) -> None:
        """Let them come."""

    def examine(self) -> None:
        """Make what is missing; raises StoreDamagedError for what is broken."""

    def connect(self) -> sa.Connection:
        """A new connection that is ready for use."""

    def connect_beside(self) -> sa.Connection:
        """One more, for somebody beside the keeper; after the keeper's own was opened."""

    def set_aside(self) -> str:
        """Move what is damaged out of the way; returns where it is now."""


@attrs.define(eq=False)
class Keeper:
    """One database, between `open` and `close`."""

    address: Address
    _backend: Backend
    _connection: sa.Connection | None = None
    _next_id: int = 1
    _group: int = 0
    _opened: int = 0

    def open(self, set_aside: bool = False, room: Callable[[int], Room] = in_memory) -> Found:
        """Lock, check, migrate, load; `room` takes what is large.

        set_aside: a damaged file is renamed and a new one begun.  Raises StoreError, StoreDamagedError; then
        nothing is held and the database is as it was.
        """
        self._backend.lock()
        try:
            try:
                return self._load(room)
            except StoreDamagedError as error:
                self._disconnect()
                if not set_aside:
                    raise
                aside = self._backend.set_aside()
                _log.error("{error}. It is {aside} now, and a new one is begun", error=str(error), aside=aside)
                return attrs.evolve(self._load(room), set_aside=aside)
        except BaseException:
            self.close()
            raise

    def commit(self, orders: Sequence[Order], again: bool = False) -> None:
        """Carry out all orders in one transaction, or none; returns once they are on the disk.

        again: this very group was tried before, and nobody knows what came of it.  Raises StoreError.
        """
        with self.address.telling():
            connection = self._connection
            if connection is None:
                connection = self._connection = self._reconnect()
            try:
                with connection.begin():
                    if not (again and rows.read_counter(connection, GROUP) > self._group):
                        next_id = rows.carry_out(connection, orders, self._next_id)
                        rows.write_counter(connection, GROUP, self._group + 1)
                        # Never back: should this attempt have taken effect unseen, its ids are in use.
                        self._next_id = next_id
            except BaseException as error:
                self._lose(error)
                raise
            self._group += 1

    def close(self) -> None:
        """Let go of the database.  Raises nothing."""
        self._disconnect()
        self._backend.unlock()

    def _load(self, room: Callable[[int], Room]) -> Found:
        self._backend.examine()
        with self.address.telling():
            connection = self._connection = self._backend.connect()
            with connection.begin():
                migrate(connection, self.address.place)
                found = rows.load(connection, room)
                self._next_id = rows.last_id(connection) + 1
                self._group = rows.read_counter(connection, GROUP)
                self._opened = rows.read_counter(connection, OPENED) + 1
                rows.write_counter(connection, OPENED, self._opened)
        return found

    def _reconnect(self) -> sa.Connection:
        connection = self._backend.connect()
        try:
            with connection.begin():
                self._check_still_ours(rows.read_counter(connection, OPENED))
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_still_ours(self, opened: int) -> None:
        if opened != self._opened:
            place = self.address.place
            raise StoreError(
                f"{place} was taken by another master while this one was cut off from it: stop one of the two", place
            )

    def _lose(self, error: BaseException) -> None:
        """After a failure: keep the connection only where it is as good as new."""
        connection = self._connection
        assert connection is not None
        if connection.invalidated or connection.in_transaction() or cannot_write(error):
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            # it may be gone already, and nothing is pending on it
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None


def keeper_for(url: str) -> Keeper:
    """The keeper of the database at `url`; nothing is opened yet.  Raises StoreError for a URL that is none."""
    address = parse_address(url)
    return Keeper(address, backend_for(address))


def backend_for(address: Address) -> Backend:
    """What knows that kind of database; nothing is opened yet."""
    if address.path is None:
        from asyncluster.store.postgresql import PostgresServer

        return PostgresServer(address)
    from asyncluster.store.sqlite import SqliteFile, SqliteMemory

    return SqliteFile(address) if address.path else SqliteMemory(address)
