"""Which revision a database has, and bringing it to that of this release.

Alembic does the work, on a connection that the caller has; nothing is committed here.  It is imported only
where there is work: to import it takes longer than to load a journal.  A database of a newer release, or
of another program, is refused and left as it is.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from twisted.logger import Logger

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.store.tables import REVISION, metadata

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
    _upgrade(connection, theirs, place)


def _revision(connection: sa.Connection) -> str:
    version = sa.table(_VERSION_TABLE, sa.column("version_num"))
    return ", ".join(str(row[0]) for row in connection.execute(sa.select(version.c.version_num)))


def _upgrade(connection: sa.Connection, theirs: str, place: str) -> None:
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
