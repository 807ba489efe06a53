"""Which instances a listing lacks so often that their cloud is asked for each of them, and what that makes of it: pure.

A listing has gaps, comes late or old, three times in a row if it must be: an instance that lives and is taken for gone
is replaced, and there is one more than there may be until somebody ends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from asyncluster.elastic import reconcile
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Life, NodeRecord
from asyncluster.model.supply import Instance, Listing, Sought

MOST = 50
"""Instances that a cloud is asked for after one listing; the next ones wait for the next."""


def sought(listing: Listing, records: Iterable[NodeRecord], options: Options) -> tuple[Sought, ...]:
    """Those that could be taken for gone by this listing.  records: of its pool, in its place."""
    ours = tuple(records)
    if not any(_near(record, options) for record in ours):
        return ()  # as nearly always; matching is for a plan's thread, and this is the reactor's
    there = reconcile.match(listing, ours, frozenset(), options.realm, listing.seen).of
    return tuple(
        Sought(record.name, record.token, record.instance)
        for record in ours
        if record.name not in there and _near(record, options)
    )[:MOST]


def _near(record: NodeRecord, options: Options) -> bool:
    """Whether one more listing without it could end it."""
    return record.missed + 1 >= options.misses and not _open(record)


def _open(record: NodeRecord) -> bool:
    """Whether it has no instance any more, or may just be getting one."""
    return record.life is Life.GONE or (record.life is Life.INTENDED and bool(record.doing))


def answered(listing: Listing, asked: Sequence[Sought], found: Sequence[Instance]) -> Listing:
    """The listing with what it lacked, and with who is gone for certain."""
    ids, tokens = {each.id for each in found}, {each.token for each in found}
    gone = (each.name for each in asked if (each.id not in ids if each.id else each.token not in tokens))
    listed = {each.id for each in listing.instances}
    more = tuple(each for each in found if each.id not in listed)
    return attrs.evolve(listing, instances=listing.instances + more, gone=frozenset(gone))
