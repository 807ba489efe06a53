"""Which revision a database has, and bringing it to that of this release.

An empty one is given this release's tables at once; Alembic brings an older one there, on a connection that the
caller has; nothing is committed here.  It is imported only where there is work: to import it takes longer than to load
a journal.  A database of a newer release, or of another program, is refused and left as it is.
"""

from __future__ import annotations

import logging
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from twisted.logger import Logger

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.store.tables import REVISION, counters, metadata

if TYPE_CHECKING:
    from alembic.config import Config

_log = Logger()
_FOLDER = Path(__file__).with_name("migrations")
_VERSION_TABLE = "alembic_version"


def migrate(connection: sa.Connection, place: str) -> None:
    """Bring the database up to this release's revision, inside the connection's transaction.

    place: what messages call the database.  Raises StoreError for one that a newer release has written or
    that is not AsynCluster's, StoreDamagedError for one that misses a table.
    """
    present = set(sa.inspect(connection).get_table_names())
    theirs = _revision(connection) if _VERSION_TABLE in present else ""
    if theirs == REVISION:
        missing = set(metadata.tables) - present
        if missing:
            raise StoreDamagedError(f"{place} is damaged: it has no table {', '.join(sorted(missing))}", place)
        return
    if not theirs and present & set(metadata.tables):
        raise StoreError(
            f"{place} has tables of these names that AsynCluster did not make: name another database", place
        )
    if theirs:
        upgrade(connection, theirs, place)
    else:
        _make(connection)


def _make(connection: sa.Connection) -> None:
    """This release's tables in an empty database, as all migrations one after the other would make them."""
    metadata.create_all(connection, checkfirst=False)
    values = {"next job": 1, "group": 0, "opened": 0, "realm": secrets.randbits(62), "usage": 0}
    connection.execute(counters.insert(), [{"name": name, "value": value} for name, value in values.items()])
    version = sa.Table(_VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), nullable=False))
    version.append_constraint(sa.PrimaryKeyConstraint("version_num", name=f"{_VERSION_TABLE}_pkc"))  # as Alembic does
    version.create(connection, checkfirst=False)
    connection.execute(version.insert().values(version_num=REVISION))


def _revision(connection: sa.Connection) -> str:
    version = sa.table(_VERSION_TABLE, sa.column("version_num"))
    return ", ".join(str(row[0]) for row in connection.execute(sa.select(version.c.version_num)))


def upgrade(connection: sa.Connection, theirs: str, place: str) -> None:
    """Every migration that it has not had.  theirs: its revision, "" = none; raises StoreError for an unknown one."""
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config()
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if theirs and theirs not in known:
        raise StoreError(
            f"{place} has the schema {theirs}, which a newer release of AsynCluster made; "
            f"this release knows schemas up to {REVISION}: install the newer one, or name another database",
            place,
        )
    # it says each time that SQLite is SQLite
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    _log.info("{place} is brought to schema {ours}", place=place, ours=REVISION)
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)


def alembic_config() -> Config:
    """Where Alembic finds our migrations."""
    from alembic.config import Config

    config = Config()
    # a percent sign would begin an interpolation
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
