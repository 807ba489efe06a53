"""What goes into the journal and comes out of it: values, their checksums, and how a big one is parted.

Decides nothing about when they are written and knows no database.  What `data` means is the master's
business: it is never decoded here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from asyncluster.model.bulk import LARGE, Parts, Room, in_memory
from asyncluster.model.journal import Entry, StoredJob

PART_BYTES = 4 * 1024 * 1024
"""A longer entry is kept in several rows: SQLite and PostgreSQL both refuse one value of a gigabyte."""

WEIGHT = 64
"""Bytes that anything queued is taken to need besides its data."""

_HEAD = struct.Struct("<qqi")
_MOMENT = struct.Struct("<d")


@attrs.frozen
class Found:
    """What a journal held when it was opened.

    jobs: by number; entries: in the order in which they were appended; next_job: one more than any number
    that was ever used, by jobs that were dropped as well; realm: names this database and no other; set_aside:
    where a damaged file went, "" as a rule; notes: by key.
    """

    jobs: list[StoredJob]
    entries: list[Entry]
    next_job: int = 1
    realm: str = attrs.field(default="", eq=False)  # two databases may hold the same
    set_aside: str = ""
    notes: Mapping[str, bytes] = attrs.Factory(dict)


@attrs.frozen
class OpenJob:
    """Queued: keep this job.  spec: already MessagePack, so that later changes to the dict do not matter."""

    job: int
    owner: str
    spec: bytes
    opened: float


@attrs.frozen
class Rewrite:
    """Queued: these are all entries of the job from now on."""

    job: int
    entries: tuple[Entry, ...]


@attrs.frozen
class DropJob:
    """Queued: forget the job and all its entries."""

    job: int


@attrs.frozen
class Notes:
    """Queued: keep these by their keys, and forget those that are None; all in one transaction."""

    notes: Mapping[str, bytes | None]


@attrs.frozen
class WhenDurable:
    """Queued: call this once all that was queued before it is committed."""

    callback: Callable[[], object]


Order = OpenJob | Entry | Rewrite | DropJob | Notes
"""What changes the database; one transaction carries out several, in their order."""


@attrs.frozen
class Row:
    """One row of the table `journal`, without its id.

    more: how many rows of the same entry follow; `~more` of them in a row that is not the first.
    """

    job: int
    kind: int
    more: int
    data: bytes
    crc: int


def rows_of(entry: Entry, part_bytes: int = PART_BYTES) -> Iterator[Row]:
    """The row of an entry; several, each made when it is asked for, where it is longer than `part_bytes`."""
    data, size = entry.data, len(entry.data)
    if isinstance(data, bytes) and size <= part_bytes:
        yield Row(entry.job, entry.kind, 0, data, checksum(entry.job, entry.kind, 0, data))
        return
    for start in range(0, size, part_bytes):
        stop = min(start + part_bytes, size)
        part = data.cut(start, stop) if isinstance(data, Parts) else bytes(data[start:stop])
        more = (size - start - 1) // part_bytes
        if start:
            more = ~more
        yield Row(entry.job, entry.kind, more, part, checksum(entry.job, entry.kind, more, part))


def entries_of(rows: Iterable[Row], room: Callable[[int], Room] = in_memory) -> Iterator[Entry]:
    """The entries again; `room` takes the data of large ones, about so many bytes.

    Raises ValueError, telling where, for rows that are not what was written; SpillError.
    """
    taken: Room | None = None
    due: tuple[int, int, int] | None = None  # job, kind and `more` of the row that has to come next
    for number, row in enumerate(rows, start=1):
        if checksum(row.job, row.kind, row.more, row.data) != row.crc:
            raise ValueError(f"row {number} of its entries (job {row.job}) is not what was written there")
        if row.more < 0 if due is None else due != (row.job, row.kind, row.more):
            raise ValueError(f"before row {number} of its entries (job {row.job}) a part of one is missing")
        more = row.more if row.more >= 0 else ~row.more
        if more or taken is not None or len(row.data) > LARGE:
            taken = taken or room(len(row.data) * (more + 1))
            taken.put(row.data)
        if more:
            due = (row.job, row.kind, ~(more - 1))
            continue
        yield Entry(row.job, row.kind, row.data if taken is None else taken.done())
        taken, due = None, None
    if due is not None:
        raise ValueError(f"after its last row a part of an entry of job {due[0]} is missing")


def checksum(job: int, kind: int, more: int, data: bytes) -> int:
    """CRC-32 over a whole row, so that a bit that flipped in any column is noticed."""
    return zlib.crc32(data, zlib.crc32(_HEAD.pack(job, more, kind)))


def job_checksum(job: OpenJob) -> int:
    """The same for a row of the table `jobs`."""
    head = _HEAD.pack(job.job, len(job.owner), 0) + _MOMENT.pack(job.opened)
    return zlib.crc32(job.spec, zlib.crc32(job.owner.encode(), zlib.crc32(head)))


def note_checksum(name: str, data: bytes) -> int:
    """The same for a row of the table `notes`."""
    return zlib.crc32(data, zlib.crc32(name.encode()))


def weight(order: Order) -> int:
    """Bytes that an order keeps occupied until it is committed."""
    if isinstance(order, Entry):
        return len(order.data) + WEIGHT
    if isinstance(order, Rewrite):
        return sum(len(entry.data) + WEIGHT for entry in order.entries) + WEIGHT
    if isinstance(order, Notes):
        return sum(len(data or b"") + WEIGHT for data in order.notes.values()) + WEIGHT
    return (len(order.spec) if isinstance(order, OpenJob) else 0) + WEIGHT
