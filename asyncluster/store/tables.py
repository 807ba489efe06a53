"""The tables as this release has them.  `migrations` says how a database comes to have them.

An id of `journal` is given by the master, who is the only one to write: so the order is his, the same on
every database, and a compaction can put rows where others were.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, SmallInteger, Table, Text

REVISION = "0002"
"""The newest of `migrations`: the one that leads to these tables."""

metadata = MetaData()

# SQLite has a key without a B-tree of its own only where the column is called INTEGER.
_Key = BigInteger().with_variant(Integer(), "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("job", _Key, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),  # MessagePack of a dict of basic types
    Column("opened", Float(53), nullable=False),  # seconds since the epoch
    Column("crc", BigInteger, nullable=False),  # records.job_checksum
)

journal = Table(
    "journal",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=False),
    Column("job", BigInteger, nullable=False, index=True),
    Column("kind", SmallInteger, nullable=False),
    Column("more", Integer, nullable=False),  # records.Row.more; 0 but for huge entries
    Column("data", LargeBinary, nullable=False),
    Column("crc", BigInteger, nullable=False),  # records.checksum
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

notes = Table(
    "notes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("crc", BigInteger, nullable=False),  # records.note_checksum
)

NEXT_JOB = "next job"
"""Counter: one more than any job number ever used."""

REALM = "realm"
"""Counter that never counts: a random number by which nodes and clients know this database again."""

GROUP = "group"
"""Counter: the number of the last group that was committed.

Tells whether a commit took effect whose answer was lost together with the connection."""

OPENED = "opened"
"""Counter: how often the database was opened; tells a master that another one came while it was cut off."""
