"""The URL of a database: which kind it names, how it is called in messages, which words must not be in any.

Nothing is opened here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from asyncluster.errors import StoreAwayError, StoreDamagedError, StoreError

MASK = "***"
_SECRET_KEYS = ("password", "sslpassword", "passfile")
_MEMORY = ("", ":memory:")
# SQLITE_CORRUPT and SQLITE_NOTADB; PostgreSQL's data_corrupted and index_corrupted
_DAMAGE = (11, 26)
_DAMAGE_STATES = ("XX001", "XX002")
# SQLITE_BUSY and SQLITE_LOCKED; PostgreSQL's connection exceptions, shutdowns, starting up, too many connections
_AWAY = (5, 6)
_READ_ONLY = 8  # SQLITE_READONLY
_AWAY_STATES = ("08", "57P0", "53300")
_MAY_PASS = ("starting up", "shutting down", "recovery", "too many")
"""What a server may say that lets nobody in now; whatever else it says, as of a wrong password, it will say again."""


@attrs.frozen
class Address:
    """Where a database is.

    url: for SQLAlchemy, with its password; path: the file of an SQLite database, "" for one in memory, None
    for PostgreSQL; place: what messages call it.
    """

    url: URL = attrs.field(repr=False)
    path: str | None
    place: str
    _secrets: tuple[str, ...] = attrs.field(repr=False, default=())

    def tell(self, error: Exception) -> StoreError:
        """An error of a driver, of SQLAlchemy or of the system as one of ours: the place, its words, no password."""
        origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        text = origin.strerror if isinstance(origin, OSError) and origin.strerror else str(origin)
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        # PostgreSQL's errors have several lines, the first of which says it
        text = "; ".join(line.strip() for line in text.splitlines()[:2]) or type(origin).__name__
        made = StoreDamagedError if _is_damage(origin) else StoreAwayError if _is_away(origin, text) else StoreError
        return made(f"{self.place}: {text}", self.place)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Whatever goes wrong with the database in here is raised as StoreError or StoreDamagedError."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            # no cause where there is a password: a traceback would print the driver's own words
            raise self.tell(error) from (None if self._secrets else error)
        except ValueError as error:
            raise StoreDamagedError(f"{self.place} is damaged: {error}", self.place) from error


def parse_address(text: str) -> Address:
    """Where `text` points to: "sqlite:////var/lib/file", "sqlite://" for memory, "postgresql://user:password@host/base".

    Raises StoreError for what is neither; the text itself is not in the message, for it may hold a password.
    """
    try:
        url = make_url("sqlite://" if text == "sqlite://:memory:" else text)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the database's URL cannot be read; write sqlite:////path/of/file or postgresql://user@host/base"
        ) from None
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        memory = (url.database or "") in _MEMORY
        path = "" if memory else os.path.realpath(url.database or "")
        return Address(url, path, path or "the database in memory")
    if kind not in ("postgresql", "postgres"):
        raise StoreError(f"there is no way to keep a journal in {kind!r}: SQLite and PostgreSQL are known")
    url = url.set(drivername="postgresql+psycopg")
    return Address(url, None, _masked(url), tuple(_secrets(url)))


def _masked(url: URL) -> str:
    shown = url.difference_update_query(_SECRET_KEYS).set(drivername="postgresql")
    return shown.render_as_string(hide_password=True)


def _secrets(url: URL) -> Iterator[str]:
    for value in (url.password, *(url.query.get(key) for key in _SECRET_KEYS)):
        for secret in (value,) if isinstance(value, str) else value or ():
            if secret:
                yield secret


def cannot_write(error: BaseException) -> bool:
    """Whether it is SQLite's about a connection that only reads.

    One that was opened while the file could not be written stays so when it can be: it has to be opened anew.
    """
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF == _READ_ONLY


def _is_damage(error: object) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return (isinstance(code, int) and code & 0xFF in _DAMAGE) or getattr(error, "sqlstate", None) in _DAMAGE_STATES


def _is_away(error: object, text: str) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in _AWAY
    if type(error).__name__ != "OperationalError":
        return False
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_AWAY_STATES)
    return "FATAL" not in text or any(words in text for words in _MAY_PASS)
