"""The journal of jobs: the first schema."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables, with the counters at their beginning."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "jobs",
        sa.Column("job", key, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.Column("opened", sa.Float(53), nullable=False),
        sa.Column("crc", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "journal",
        sa.Column("id", key, primary_key=True, autoincrement=False),
        sa.Column("job", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("more", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("crc", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_journal_job", "journal", ["job"])
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(
        counters,
        [
            {"name": "next job", "value": 1},
            {"name": "group", "value": 0},
            {"name": "opened", "value": 0},
            {"name": "realm", "value": secrets.randbits(62)},
        ],
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("counters")
    op.drop_table("journal")
    op.drop_table("jobs")
