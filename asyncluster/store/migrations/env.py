"""Alembic runs this file by its path for each command; the connection was put there by `schema.migrate`."""

from __future__ import annotations

from alembic import context

from asyncluster.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column only by making the table anew
)
context.run_migrations()
