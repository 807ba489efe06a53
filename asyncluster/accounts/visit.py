"""One session while it lasts: what is left of it, when its user is warned, how it ends and what is charged.

Goes by a steady clock: whatever the time of day is set to, the charge is what was used.  The instant at which it began
is only for the book, and so is its end: the begin and what was used since.

    on --left, time, kicked, disabled, rules-->  over, charged until now
    on --vanished-->                             over, charged until the node was heard last
"""

from __future__ import annotations

import math

import attrs

from asyncluster.model.account import Session

WARNINGS = (600.0, 300.0, 60.0)
"""Seconds before the end at which the user is told."""

LEFT = "left"
TIME = "time"
KICKED = "kicked"
DISABLED = "disabled"
RULES = "rules"
VANISHED = "vanished"
"""Why sessions end: the user went, the time was up, an administrator, the account was disabled, the rules were changed
so that nothing was left, the node was not heard of any more."""


@attrs.frozen
class Tell:
    """Tell the seat how many seconds are left; None: no limit."""

    number: int
    node: str
    left: float | None


@attrs.frozen
class Warn:
    """Warn the user that so many minutes are left, rounded up."""

    number: int
    node: str
    minutes: int


@attrs.frozen
class Say:
    """Show the user a message of an administrator's."""

    number: int
    node: str
    text: str
    who: str


@attrs.frozen
class End:
    """End it at the seat, showing `text`, and write the session down."""

    session: Session
    text: str


Action = Tell | Warn | Say | End


@attrs.define(eq=False)
class Visit:
    """A session that is on.  `now` is always steady seconds; granted: seconds from the begin, None for no limit.

    zero: when nothing had been used; heard: seconds that had been used when the node was heard last.
    """

    number: int
    user: str
    node: str
    begun: float
    granted: float | None
    zero: float
    heard: float = 0.0
    over: bool = False
    limited: bool = True  # by `granted`; else nobody has said yet what is left
    _warned: float = math.inf

    @classmethod
    def again(cls, session: Session, now: float) -> Visit:
        """One that the book has, after a restart: what was used is what the book says, until its node says more.

        Its seat is told nothing of the time left before the rules were asked: the node goes on counting.
        """
        used = session.seconds
        return cls(session.number, session.user, session.node, session.begun, None, now - used, used, limited=False)

    def used(self, now: float) -> float:
        """Seconds since it began."""
        return max(now - self.zero, self.heard)

    def left(self, now: float) -> float | None:
        """Seconds until it ends by itself; None: it does not."""
        return None if self.granted is None else max(self.granted - self.used(now), 0.0)

    def beat(self, now: float) -> None:
        """Its node was heard."""
        if not self.over:
            self.heard = self.used(now)

    def claimed(self, used: float, now: float) -> None:
        """Its node, which never stopped, says how much was used: counts where it is more than we know."""
        if not self.over:
            self.heard = max(self.heard, used)
            self.zero = now - self.heard

    def grant(self, seconds: float | None, now: float) -> None:
        """From now on so many seconds are left."""
        self.granted = None if seconds is None else self.used(now) + seconds
        self.limited = True
        left = self.left(now)
        if left is None or left > WARNINGS[0]:
            self._warned = math.inf

    def tick(self, now: float) -> list[Action]:
        """What is to be done now; to be asked every half minute, and when `due` says."""
        if self.over or not self.limited:
            return []
        left = self.left(now)
        if left is not None and left <= 0:
            return self.end(TIME, "your time is up", now)
        actions: list[Action] = [Tell(self.number, self.node, left)]
        if left is not None and (passed := self._passed(left)):
            self._warned = min(passed)
            actions.append(Warn(self.number, self.node, math.ceil(left / 60)))
        return actions

    def is_due(self, now: float) -> bool:
        """Whether a warning or the end is to come now."""
        left = self.left(now)
        return left is not None and not self.over and (left <= 0 or bool(self._passed(left)))

    def _passed(self, left: float) -> list[float]:
        return [limit for limit in WARNINGS if left <= limit < self._warned]

    def due(self, now: float) -> float | None:
        """Seconds until a warning or the end; None: neither is to come."""
        left = self.left(now)
        if left is None or self.over:
            return None
        return left - max((limit for limit in WARNINGS if limit < min(left, self._warned)), default=0.0)

    def end(self, reason: str, text: str, now: float) -> list[Action]:
        """It is over; nothing where it was already."""
        if self.over:
            return []
        if reason != VANISHED:
            self.heard = self.used(now)
        self.over = True
        return [End(self.session(reason), text)]

    def session(self, reason: str = "") -> Session:
        """What the book is to have."""
        return Session(self.number, self.user, self.node, self.begun, self.begun + self.heard, reason)
