"""URLs are understood, and passwords stay in them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.store.address import parse_address


def test_files_and_memory() -> None:
    """A file is called by its real path, whatever the URL; several spellings mean memory."""
    assert parse_address("sqlite:////var/../srv/file").place == "/srv/file"
    assert parse_address("sqlite:///file").path == str(Path.cwd() / "file")
    for text in ("sqlite://", "sqlite:///:memory:", "sqlite://:memory:"):
        assert parse_address(text).path == ""


@pytest.mark.parametrize("kind", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_postgresql_is_ours(kind: str) -> None:
    """There is one driver, whatever the URL says."""
    address = parse_address(f"{kind}://u:sesame@h/base?password=simsim&sslmode=require")
    assert address.path is None
    assert address.url.drivername == "postgresql+psycopg"
    assert address.place == "postgresql://u:***@h/base?sslmode=require"
    assert "sesame" not in repr(address)


@pytest.mark.parametrize("text", ["mysql://u:sesame@h/base", "sesame", "postgresql://u:sesame@h:port/base", ""])
def test_what_is_neither_is_refused_without_being_quoted(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(StoreError) as caught:
        parse_address(text)
    assert "sesame" not in f"{caught.value} {caught.value.__cause__}"
    assert "SQLite" in str(caught.value) or "sqlite:" in str(caught.value)


def test_a_password_in_a_drivers_words_is_masked() -> None:
    """The text names the database, and no cause with the words is kept for a traceback."""
    address = parse_address("postgresql://u:sesame@h/base")
    with pytest.raises(StoreError) as caught, address.telling():
        raise OperationalError("SELECT", {}, RuntimeError("no entry for u with sesame\nDETAIL: sesame\nmore"))
    assert str(caught.value) == "postgresql://u:***@h/base: no entry for u with ***; DETAIL: ***"
    assert caught.value.place == "postgresql://u:***@h/base"
    assert caught.value.__suppress_context__


def test_damage_is_told_from_other_faults() -> None:
    """By the database's own code."""
    address, damaged, full = (
        parse_address("sqlite:////f"),
        sqlite3.DatabaseError("bad"),
        sqlite3.OperationalError("full"),
    )
    damaged.sqlite_errorcode, full.sqlite_errorcode = sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL
    assert isinstance(address.tell(damaged), StoreDamagedError)
    assert not isinstance(address.tell(full), StoreDamagedError)
    assert str(address.tell(full)) == "/f: full"
    assert str(address.tell(PermissionError(13, "Permission denied", "/f"))) == "/f: Permission denied"
