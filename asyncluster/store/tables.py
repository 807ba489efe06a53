"""The tables as this release has them.  `migrations` says how a database comes to have them.

An id of `journal` is given by the master, who is the only one to write: so the order is his, the same on
every database, and a compaction can put rows where others were.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy import text as sa_text

REVISION = "0003"
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

# Instants are seconds since the epoch; what they mean is said in model.account.
users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("enabled", Boolean, nullable=False),
    Column("restricted", Boolean, nullable=False),
    Column("daily", Integer),  # seconds
    Column("weekly", Integer),
    Column("slots", Integer),
    Column("queued", Integer),
    Column("argon2", Text, nullable=False),  # "" where there is none
    Column("scram", Text, nullable=False),
    Column("made", Float(53), nullable=False),
)

openings = Table(
    "openings",
    metadata,
    Column("user", Text, primary_key=True),  # "" for everybody
    Column("weekday", SmallInteger, primary_key=True),  # 0 for Monday
    Column("start", SmallInteger, primary_key=True),  # minutes of the local day
    Column("end", SmallInteger, primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("number", _Key, primary_key=True, autoincrement=False),
    Column("user", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("begun", Float(53), nullable=False),
    Column("ended", Float(53), nullable=False),  # as far as is known, where there is no reason yet
    Column("reason", Text, nullable=False),  # "" while it is on
    Index("ix_sessions_user", "user", "ended", "begun"),  # a login asks for nothing else
    Index("ix_sessions_ended", "ended"),
    Index("ix_sessions_begun", "begun"),
)
LONG = "ended - begun > 172800"
"""Of a session of more than two days: there are few, so a report looks through all of them."""

Index("ix_sessions_long", sessions.c.ended, sqlite_where=sa_text(LONG), postgresql_where=sa_text(LONG))
Index(
    "ix_sessions_on", sessions.c.number, sqlite_where=sessions.c.reason == "", postgresql_where=sessions.c.reason == ""
)

# A row for each job, node and hour: a million short tasks are one row, and the dispatch adds up numbers only.
usage = Table(
    "usage",
    metadata,
    Column("hour", Float(53), primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("pool", Text, primary_key=True),
    Column("job", BigInteger, primary_key=True),
    Column("tasks", BigInteger, nullable=False),
    Column("core_seconds", Float(53), nullable=False),
    Column("wall", Float(53), nullable=False),
    Column("memory", BigInteger, nullable=False),  # bytes, the most of any task
)

# Sums of sessions and usage by local month, added to in the transaction that writes these: a year is read from here.
totals = Table(
    "totals",
    metadata,
    Column("axis", Text, primary_key=True),  # "user", "day", "node" or "job"
    Column("month", Integer, primary_key=True),  # year * 12 + month - 1
    Column("key", Text, primary_key=True),
    Column("sessions", BigInteger, nullable=False),
    Column("seat_seconds", Float(53), nullable=False),
    Column("tasks", BigInteger, nullable=False),
    Column("core_seconds", Float(53), nullable=False),
    Column("wall", Float(53), nullable=False),
    Column("memory", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Key, primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("whom", Text, nullable=False),
    Column("detail", Text, nullable=False),
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

USAGE = "usage"
"""Counter: how many batches of usage were added; so one that is tried again is not added twice."""
