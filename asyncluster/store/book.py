"""The elastic engine's book, in the same database and the same transactions as the journal; or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from asyncluster.interfaces import INodeBook
from asyncluster.store.journal import Journal

LONGEST_KEY = 300


@implementer(INodeBook)
@attrs.define(eq=False)
class NodeBook:
    """Keeps records as notes of the journal.  found: the notes that it had when it was opened."""

    journal: Journal
    found: Mapping[str, bytes]

    def save(self, records: Mapping[str, dict[str, Any] | None]) -> Deferred[None]:
        """Write these, all or none; fires once they are on the disk.  Raises ValueError for a key that is too long."""
        if any(len(key) > LONGEST_KEY for key in records):
            raise ValueError(f"a key of the book has at most {LONGEST_KEY} characters")
        packed = {key: None if record is None else msgspec.msgpack.encode(record) for key, record in records.items()}
        self.journal.note(packed)
        durable: Deferred[None] = Deferred()
        self.journal.when_durable(lambda: durable.callback(None))
        return durable

    def load(self) -> Deferred[dict[str, dict[str, Any]]]:
        """All that had been saved when the journal was opened."""
        return succeed({key: msgspec.msgpack.decode(data) for key, data in self.found.items()})


@implementer(INodeBook)
class NoBook:
    """Of a master whose nodes end with it: there is nobody to read it."""

    def save(self, records: Mapping[str, dict[str, Any] | None]) -> Deferred[None]:
        """Fires at once."""
        return succeed(None)

    def load(self) -> Deferred[dict[str, dict[str, Any]]]:
        """Nothing."""
        return succeed({})
