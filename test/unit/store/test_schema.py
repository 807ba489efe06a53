"""Migrations lead to the tables that the code uses; strange databases are left alone.  Databases in memory only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from asyncluster.errors import StoreError
from asyncluster.store.schema import alembic_config, migrate, upgrade
from asyncluster.store.sqlite import make_engine
from asyncluster.store.tables import REVISION, metadata


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    with make_engine(lambda: sqlite3.connect(":memory:", isolation_level=None)).connect() as connection:
        yield connection


def test_migrations_lead_to_our_tables(connection: sa.Connection) -> None:
    """Alembic finds no difference; a second time nothing happens."""
    for _ in range(2):
        with connection.begin():
            migrate(connection, "here")
            assert ScriptDirectory.from_config(alembic_config()).get_heads() == [REVISION]
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def _content(connection: sa.Connection) -> tuple[dict[str, str], set[str], str]:
    """How each table and index is made, what is counted, and the revision."""
    made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    plain = {name: " ".join(sql.split()).replace("( ", "(").replace(" )", ")") for name, sql in made}
    counted = {name for (name,) in connection.exec_driver_sql("SELECT name FROM counters WHERE value IN (0, 1)")}
    return plain, counted, connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()


def test_a_new_database_is_as_one_that_has_seen_all_migrations(connection: sa.Connection) -> None:
    """Tables, indexes, counters and revision: made at once, or one migration after the other."""
    with make_engine(lambda: sqlite3.connect(":memory:", isolation_level=None)).connect() as old, old.begin():
        upgrade(old, "", "here")
        assert compare_metadata(MigrationContext.configure(old), metadata) == []
        with connection.begin():
            migrate(connection, "here")
            assert _content(connection) == _content(old)
            realms = [
                each.exec_driver_sql("SELECT value FROM counters WHERE name = 'realm'") for each in (connection, old)
            ]
            assert len({realm.scalar_one() for realm in realms}) == 2


def test_half_a_migration_is_none(connection: sa.Connection) -> None:
    """Tables are made inside the transaction, so they go with it."""
    with connection.begin() as transaction:
        migrate(connection, "here")
        transaction.rollback()
    assert sa.inspect(connection).get_table_names() == []


def test_a_newer_schema_is_refused_by_name(connection: sa.Connection) -> None:
    """Both revisions are in the message, and the database is as it was."""
    with connection.begin():
        migrate(connection, "here")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with connection.begin(), pytest.raises(StoreError, match=r"here has the schema 9999, .* up to 0003"):
        migrate(connection, "here")


def test_tables_of_somebody_else_are_not_taken(connection: sa.Connection) -> None:
    """A database that has a table `jobs` without our revision belongs to another program."""
    with connection.begin():
        connection.exec_driver_sql("CREATE TABLE jobs (a INTEGER)")
    with connection.begin(), pytest.raises(StoreError, match="here has tables of these names"):
        migrate(connection, "here")
