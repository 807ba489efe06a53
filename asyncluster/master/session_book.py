"""What the book of sessions is still to be told: ends, and what turned out to have been used later.

Whatever the database does, it is kept here until it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

import attrs

from asyncluster.accounts.report import totals_of_session
from asyncluster.model.account import Session, Total
from asyncluster.store.people import People

Owed = tuple[Session, list[Total]]


@attrs.define(eq=False)
class SessionBook:
    """zone: of the days that sums are of."""

    people: People
    zone: tzinfo
    writing: bool = False
    _ended: dict[int, Owed] = attrs.field(factory=dict)  # by number
    _grown: dict[tuple[int, float], Owed] = attrs.field(factory=dict)  # by number and end

    @property
    def owes(self) -> bool:
        """Whether something is to be written."""
        return bool(self._ended or self._grown)

    @property
    def owes_hours(self) -> bool:
        """Whether it is more than that some never began."""
        return bool(self._grown) or any(session.seconds for session, _ in self._ended.values())

    def end(self, session: Session) -> None:
        """It is over.  What it adds to the sums is made now: a thousand that end at once come a few in a turn."""
        self._ended[session.number] = session, totals_of_session(self.zone, session)

    def grow(self, before: Session, after: Session) -> None:
        """One that is over was used for longer than is booked."""
        more = attrs.evolve(after, begun=before.ended)
        self._grown[after.number, after.ended] = after, totals_of_session(self.zone, more)

    def unwritten(self, user: str) -> dict[float, float]:
        """Sessions of a user that are over, and may not be in the book so yet: begins with ends."""
        found: dict[float, float] = {}
        for session, _ in (*self._ended.values(), *self._grown.values()):
            if session.user == user:
                found[session.begun] = max(session.ended, found.get(session.begun, session.ended))
        return found

    async def write(self, running: Sequence[Session]) -> None:
        """With how far these have come.  Raises StoreError; then all of it is kept."""
        ended, grown = dict(self._ended), dict(self._grown)
        self.writing = True
        try:
            await self.people.save(running, list(ended.values()), list(grown.values()))
        finally:
            self.writing = False
        for number in ended:
            self._ended.pop(number, None)
        for key in grown:
            self._grown.pop(key, None)
