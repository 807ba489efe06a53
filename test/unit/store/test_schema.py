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
from asyncluster.store.schema import alembic_config, migrate
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
