"""The journal as statements: loads it, carries out orders, reads and writes counters.

Works on a connection inside a transaction of the caller's; what is committed when is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice

import msgspec
import sqlalchemy as sa

from asyncluster.model.bulk import Room, in_memory
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.store.records import (
    PART_BYTES,
    DropJob,
    Found,
    Notes,
    OpenJob,
    Order,
    Rewrite,
    Row,
    entries_of,
    job_checksum,
    note_checksum,
    rows_of,
)
from asyncluster.store.tables import NEXT_JOB, OPENED, REALM, counters, jobs, journal, notes

_AT_ONCE = 8
"""Rows fetched at a time; each may be of `PART_BYTES`."""


def load(connection: sa.Connection, room: Callable[[int], Room] = in_memory) -> Found:
    """All that is there; `room` takes what is large.

    Raises ValueError, saying which, where a row is not what was written; SpillError.
    """
    found = [_job(*row) for row in connection.execute(sa.select(jobs).order_by(jobs.c.job))]
    entries = list(entries_of(_rows(connection), room))
    # both are checked against each other: this counter is the only value here without a checksum
    highest = max((job.job for job in found), default=0)
    next_job = read_counter(connection, NEXT_JOB)
    if next_job <= highest:
        raise ValueError(f"its counter says that the next job is {next_job}, and job {highest} is there")
    realm = f"{read_counter(connection, REALM):016x}"
    return Found(found, entries, next_job, realm, notes=_notes(connection))


def read_counter(connection: sa.Connection, name: str) -> int:
    """The value of a counter.  Raises ValueError where it is missing."""
    value = connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar()
    if value is None:
        raise ValueError(f"its counter of {name!r} is missing")
    return int(value)


def write_counter(connection: sa.Connection, name: str, value: int) -> None:
    """Set a counter that is there."""
    connection.execute(sa.update(counters).where(counters.c.name == name).values(value=value))


def touch(connection: sa.Connection) -> None:
    """Write what is there already: whether that can be done is what the caller wants to know.

    In one statement, or the mark of another master, who takes the database in between, would be undone.
    """
    connection.execute(sa.update(counters).where(counters.c.name == OPENED).values(value=counters.c.value))


def last_id(connection: sa.Connection) -> int:
    """The highest id in use, 0 when there is none."""
    return int(connection.execute(sa.select(sa.func.max(journal.c.id))).scalar() or 0)


def carry_out(connection: sa.Connection, orders: Sequence[Order], next_id: int) -> int:
    """Carry out orders as they come; new rows get ids from `next_id` on.  Returns the next one that is free."""
    for kind, run in groupby(orders, type):
        if kind is Entry:
            next_id = _append(connection, (row for entry in run for row in rows_of(entry)), next_id)  # type: ignore[arg-type]  # of that kind all are
            continue
        for order in run:
            if isinstance(order, OpenJob):
                _open(connection, order)
            elif isinstance(order, Rewrite):
                next_id = _rewrite(connection, order, next_id)
            elif isinstance(order, DropJob):
                connection.execute(sa.delete(journal).where(journal.c.job == order.job))
                connection.execute(sa.delete(jobs).where(jobs.c.job == order.job))
            elif isinstance(order, Notes):
                _note(connection, order)
    return next_id


def _open(connection: sa.Connection, order: OpenJob) -> None:
    connection.execute(sa.delete(jobs).where(jobs.c.job == order.job))
    connection.execute(
        sa.insert(jobs).values(
            job=order.job, owner=order.owner, spec=order.spec, opened=order.opened, crc=job_checksum(order)
        )
    )
    connection.execute(
        sa.update(counters)
        .where(counters.c.name == NEXT_JOB, counters.c.value <= order.job)
        .values(value=order.job + 1)
    )


def _note(connection: sa.Connection, order: Notes) -> None:
    connection.execute(
        sa.delete(notes).where(notes.c.name == sa.bindparam("key")), [{"key": key} for key in order.notes]
    )
    rows = [
        {"name": name, "data": data, "crc": note_checksum(name, data)}
        for name, data in order.notes.items()
        if data is not None
    ]
    if rows:
        connection.execute(sa.insert(notes), rows)


def _notes(connection: sa.Connection) -> dict[str, bytes]:
    found = {}
    for name, data, crc in connection.execute(sa.select(notes.c.name, notes.c.data, notes.c.crc)):
        if note_checksum(name, bytes(data)) != crc:
            raise ValueError(f"its note {name!r} is not what was written there")
        found[name] = bytes(data)
    return found


def _rewrite(connection: sa.Connection, order: Rewrite, next_id: int) -> int:
    theirs = journal.c.job == order.job
    old = list(connection.execute(sa.select(journal.c.id).where(theirs).order_by(journal.c.id)).scalars())
    connection.execute(sa.delete(journal).where(theirs))
    rows = (row for entry in order.entries for row in rows_of(entry))
    reused = 0
    for some in _portions(islice(rows, len(old))):
        _insert(connection, some, old[reused : reused + len(some)])
        reused += len(some)
    return _append(connection, rows, next_id)


def _append(connection: sa.Connection, rows: Iterable[Row], next_id: int) -> int:
    for some in _portions(rows):
        _insert(connection, some, range(next_id, next_id + len(some)))
        next_id += len(some)
    return next_id


def _portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """So many rows that they are no burden to memory."""
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.data)
        if size >= PART_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _insert(connection: sa.Connection, rows: Sequence[Row], ids: Iterable[int]) -> None:
    if rows:
        connection.execute(
            sa.insert(journal),
            [
                {"id": id_, "job": row.job, "kind": row.kind, "more": row.more, "data": row.data, "crc": row.crc}
                for id_, row in zip(ids, rows, strict=True)
            ],
        )


def _rows(connection: sa.Connection) -> Iterator[Row]:
    columns = (journal.c.job, journal.c.kind, journal.c.more, journal.c.data, journal.c.crc)
    # A stream, so that a big journal is not in memory twice.
    statement = sa.select(*columns).order_by(journal.c.id).execution_options(yield_per=_AT_ONCE)
    for job, kind, more, data, crc in connection.execute(statement):
        yield Row(job, kind, more, bytes(data), crc)


def _job(job: int, owner: str, spec: bytes, opened: float, crc: int) -> StoredJob:
    stored = OpenJob(job, owner, bytes(spec), opened)
    if job_checksum(stored) != crc:
        raise ValueError(f"what it says of job {job} is not what was written there")
    return StoredJob(job, owner, msgspec.msgpack.decode(spec), opened)
