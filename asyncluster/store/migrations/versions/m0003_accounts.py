"""Accounts, openings, sessions, usage and audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the counter of usage."""
    _people()
    _sums()
    op.execute("INSERT INTO counters (name, value) VALUES ('usage', 0)")


def _people() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "users",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("restricted", sa.Boolean, nullable=False),
        sa.Column("daily", sa.Integer),
        sa.Column("weekly", sa.Integer),
        sa.Column("slots", sa.Integer),
        sa.Column("queued", sa.Integer),
        sa.Column("argon2", sa.Text, nullable=False),
        sa.Column("scram", sa.Text, nullable=False),
        sa.Column("made", sa.Float(53), nullable=False),
    )
    op.create_table(
        "openings",
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("weekday", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("start", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("end", sa.SmallInteger, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "sessions",
        sa.Column("number", key, primary_key=True, autoincrement=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("begun", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_sessions_user", "sessions", ["user", "ended", "begun"])
    op.create_index("ix_sessions_ended", "sessions", ["ended"])
    op.create_index("ix_sessions_begun", "sessions", ["begun"])
    long = sa.text("ended - begun > 172800")
    op.create_index("ix_sessions_long", "sessions", ["ended"], sqlite_where=long, postgresql_where=long)
    on = sa.text("reason = ''")
    op.create_index("ix_sessions_on", "sessions", ["number"], sqlite_where=on, postgresql_where=on)
    op.create_table(
        "audit",
        sa.Column("id", key, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("whom", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _sums() -> None:
    op.create_table(
        "usage",
        sa.Column("hour", sa.Float(53), primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("pool", sa.Text, primary_key=True),
        sa.Column("job", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tasks", sa.BigInteger, nullable=False),
        sa.Column("core_seconds", sa.Float(53), nullable=False),
        sa.Column("wall", sa.Float(53), nullable=False),
        sa.Column("memory", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "totals",
        sa.Column("axis", sa.Text, primary_key=True),
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("sessions", sa.BigInteger, nullable=False),
        sa.Column("seat_seconds", sa.Float(53), nullable=False),
        sa.Column("tasks", sa.BigInteger, nullable=False),
        sa.Column("core_seconds", sa.Float(53), nullable=False),
        sa.Column("wall", sa.Float(53), nullable=False),
        sa.Column("memory", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("totals", "usage", "audit", "sessions", "openings", "users"):
        op.drop_table(table)
    op.execute("DELETE FROM counters WHERE name = 'usage'")
