"""A PostgreSQL database as the master's: reached, and locked by the session that uses it.

The lock is an advisory one of the database, so it ends with the connection, however the master ends; each new
connection takes it again.  Durability is the server's: a commit is answered once it is on its disk, also
where the server's default for `synchronous_commit` is off.
"""

from __future__ import annotations

import os
import platform

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from asyncluster.errors import StoreError
from asyncluster.store.address import Address

LOCK_SECONDS = 5
"""How long a master waits for the session of one that was killed to end on the server."""

_KEY = 0x4173796E  # "Asyn"
_LOCKED = "55P03"  # lock_not_available

# Without these a server that vanished would be missed after two hours.  A site's own, in the URL, go before.
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}

_HOLDER = sa.text(
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objid = :key AND l.classid = 0 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@attrs.define(eq=False)
class PostgresServer:
    """The database that `address.url` names."""

    address: Address

    def lock(self) -> None:
        """Each connection takes it for itself."""

    def unlock(self) -> None:
        """It went with the connection."""

    def examine(self) -> None:
        """The server looks after its files."""

    def connect(self) -> sa.Connection:
        """A connection that has the lock.  Raises StoreError where another master has it, or nobody answers."""
        with self.address.telling():
            connection = self._engine().connect()
            try:
                self._take_lock(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def connect_beside(self) -> sa.Connection:
        """One more, beside the one that has the lock.  Raises StoreError where nobody answers."""
        with self.address.telling():
            connection = self._engine().connect()
            with connection.begin():
                self._answer_when_durable(connection)
        return connection

    def set_aside(self) -> str:
        """Raises StoreError: what to do with a damaged server is not for a master to decide."""
        raise StoreError(
            f"{self.address.place} is damaged, and only files are set aside: restore it, or name another database",
            self.address.place,
        )

    def _engine(self) -> sa.Engine:
        url = self.address.url
        arguments: dict[str, int | str] = {key: value for key, value in _CONNECT.items() if key not in url.query}
        # how a second master learns who has the lock
        arguments.setdefault("application_name", f"asyncluster {platform.node()[:30]} pid {os.getpid()}")
        try:
            return sa.create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
        except (ImportError, NoSuchModuleError) as error:
            raise StoreError(
                f"{self.address.place} needs a driver: pip install 'asyncluster[postgresql]' ({error})",
                self.address.place,
            ) from error

    def _take_lock(self, connection: sa.Connection) -> None:
        try:
            with connection.begin():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
                connection.execute(sa.select(sa.func.pg_advisory_lock(_KEY)))
                self._answer_when_durable(connection)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCKED:
                raise
            with connection.begin():
                holder = connection.execute(_HOLDER, {"key": _KEY}).scalar()
            who = f"another master ({holder or 'unknown'})"
            raise StoreError(f"{who} uses {self.address.place}", self.address.place) from None

    def _answer_when_durable(self, connection: sa.Connection) -> None:
        connection.execute(
            sa.text(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        )
