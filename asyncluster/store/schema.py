"""Which revision a database has, and bringing it to that of this release.

Alembic does the work on a connection that the caller has; nothing is committed here.  A database of a
newer release, or of another program, is refused and left as it is.
"""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from twisted.logger import Logger

from asyncluster.errors import StoreDamagedError, StoreError
from asyncluster.store.tables import metadata

_log = Logger()
_FOLDER = Path(__file__).with_name("migrations")


def migrate(connection: sa.Connection, place: str) -> None:
    """Bring the database up to this release's revision, inside the connection's transaction.

    place: what messages call the database.  Raises StoreError for one that a newer release has written or
    that is not AsynCluster's, StoreDamagedError for one that misses a table.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    ours = script.get_current_head()
    theirs = MigrationContext.configure(connection).get_current_heads()
    if theirs == (ours,):
        _check_whole(connection, place)
        return
    known = {revision.revision for revision in script.walk_revisions()}
    strange = [revision for revision in theirs if revision not in known]
    if strange:
        raise StoreError(
            f"{place} has the schema {', '.join(strange)}, which a newer release of AsynCluster made; "
            f"this release knows schemas up to {ours}: install the newer one, or name another database",
            place,
        )
    if not theirs and set(sa.inspect(connection).get_table_names()) & set(metadata.tables):
        raise StoreError(
            f"{place} has tables of these names that AsynCluster did not make: name another database", place
        )
    config.attributes["connection"] = connection
    _log.info("{place} is brought to schema {ours}", place=place, ours=ours)
    command.upgrade(config, "head")


def _check_whole(connection: sa.Connection, place: str) -> None:
    missing = set(metadata.tables) - set(sa.inspect(connection).get_table_names())
    if missing:
        raise StoreDamagedError(f"{place} is damaged: it has no table {', '.join(sorted(missing))}", place)


def _config() -> Config:
    # which says at each opening that SQLite is SQLite
    logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
    config = Config()
    # a percent sign would begin an interpolation
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
