"""What a row says is checked before it is believed, and huge entries come back whole."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.model.journal import Entry
from asyncluster.store.records import DropJob, OpenJob, Rewrite, Row, entries_of, job_checksum, rows_of, weight

entries = st.builds(Entry, st.integers(0, 2**62), st.integers(0, 100), st.binary(max_size=40))


@given(st.lists(entries), st.integers(1, 50))
def test_entries_come_back_whatever_the_size_of_a_part(written: list[Entry], part_bytes: int) -> None:
    """Parted into rows and put together again they are what they were, in their order."""
    rows = [row for entry in written for row in rows_of(entry, part_bytes)]
    assert all(len(row.data) <= part_bytes for row in rows)
    assert list(entries_of(rows)) == written


@pytest.mark.parametrize(
    "spoil",
    [
        lambda row: attrs.evolve(row, job=row.job ^ 1),
        lambda row: attrs.evolve(row, kind=row.kind ^ 1),
        lambda row: attrs.evolve(row, more=row.more ^ 1),
        lambda row: attrs.evolve(row, data=b"dada"),
        lambda row: attrs.evolve(row, data=b""),
        lambda row: attrs.evolve(row, crc=row.crc ^ 1),
    ],
)
def test_a_row_that_changed_in_any_column_is_noticed(spoil: Callable[[Row], Row]) -> None:
    """The message tells which row and whose."""
    (row,) = rows_of(Entry(6, 1, b"data"))
    with pytest.raises(ValueError, match=r"row 2 of its entries \(job [67]\) is not what was written"):
        list(entries_of([row, spoil(row)]))


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_part_that_is_missing_is_noticed(missing: int) -> None:
    """The first, one between, and the last of three."""
    rows = list(rows_of(Entry(6, 1, b"aaabbbccc"), 3))
    del rows[missing]
    with pytest.raises(ValueError, match=r"a part of .* is missing"):
        list(entries_of(rows))


def test_all_that_is_known_of_a_job_is_in_its_checksum() -> None:
    """Another number, owner, spec or moment is another checksum."""
    job = OpenJob(1, "me", b"spec", 2.5)
    others = [
        attrs.evolve(job, job=2),
        attrs.evolve(job, owner="m"),
        attrs.evolve(job, spec=b""),
        attrs.evolve(job, opened=2),
    ]
    assert len({job_checksum(each) for each in (job, *others)}) == 5


def test_every_order_weighs_something() -> None:
    """So that nothing waiting weighs nothing only where nothing waits."""
    assert weight(Entry(1, 1, b"")) > 0
    assert weight(DropJob(1)) > 0
    assert weight(Rewrite(1, ())) > 0
    assert weight(Rewrite(1, (Entry(1, 1, b"12"),))) > weight(Rewrite(1, ())) + 2
    assert weight(OpenJob(1, "", b"123", 0)) == weight(DropJob(1)) + 3
