"""The seat of this node: free, somebody logs in, or a session is on.  Events in, what is to be done out.

    free --ask--> asking --answered: granted--> on --gone, over, no time left--> free
                  asking --answered: refused--> free

A session goes on while the link to the master is broken: time is counted here by the same rules (`accounts.visit`), and
the master is told how much was used when it is back.  `now` is steady seconds.  Knows no password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from asyncluster.accounts.visit import LEFT, TIME, Tell, Visit, Warn
from asyncluster.accounts.visit import End as VisitEnd
from asyncluster.model.seat import Granted, Left, Linked, Notice, Over, Refused, SeatStatus, Told, Warned
from asyncluster.node.identity import Identity

MOST_UNSAID = 100
"""Sessions that ended while the master was away; beyond that the oldest is not told of."""


@attrs.frozen
class Say:
    """Tell the program at the seat."""

    notice: Notice


@attrs.frozen
class ToMaster:
    """Call the master's verb `seat` with these; what fails with the link is to come back by `unsaid`."""

    args: tuple[Any, ...]


@attrs.frozen
class Begins:
    """Somebody uses the machine from now on."""

    user: str


@attrs.frozen
class Ends:
    """Nobody does."""


Action = Say | ToMaster | Begins | Ends


def may_begin(peer: int, daemon: int, user: str, name_of: Callable[[int], str], known: Identity | None) -> str:
    """Why the process of user id `peer` may not begin a session for that user; "" when it may.

    daemon: the user id of the daemon; known: what the machine knows under that name.  Whoever cannot become the user
    cannot run anything for him: so root's program may ask for anybody, and everybody else for himself.
    """
    if daemon != 0 and peer not in (0, daemon):
        return f"this node belongs to {name_of(daemon)}, and serves nobody else"
    if daemon != 0 and user != name_of(daemon):
        return f"this node belongs to {name_of(daemon)}, who alone can have a session here"
    if known is None:
        return "this machine knows no user of that name"
    if known.uid == 0 and daemon == 0 and peer == 0:
        return "root has no sessions; name a user of this machine"
    if peer not in (0, known.uid):
        return f"{name_of(peer)} can begin sessions for {name_of(peer)} only; root's programs can for others"
    return ""


@attrs.define(eq=False)
class Seat:
    """One node's."""

    node: str
    niceness: int
    visit: Visit | None = None
    asking: str = ""  # who logs in
    linked: bool = False
    _abandoned: bool = False  # whoever asked has gone
    _unsaid: list[tuple[Any, ...]] = attrs.field(factory=list)

    # -- the program at the seat

    def ask(self, user: str) -> list[Action]:
        """Somebody wants to begin a session; the master is to be asked when this gives nothing."""
        if self.visit is not None:
            return [Say(Refused("seat", f"{self.visit.user} has a session at {self.node} already"))]
        if self.asking:
            return [Say(Refused("seat", f"somebody logs in at {self.node} already"))]
        if not self.linked:
            text = f"node {self.node} has no link to its master, so nobody can be let in; try again in a minute"
            return [Say(Refused("master", text))]
        self.asking, self._abandoned = user, False
        return []

    def answered(self, answer: Mapping[str, Any], now: float) -> list[Action]:
        """What the master says; a WireError's cause where it makes no sense: ValueError."""
        user, self.asking = self.asking, ""
        if "refused" in answer:
            return [Say(Refused(str(answer.get("rule", "")), str(answer["refused"])))]
        number, left = answer.get("number"), _seconds(answer.get("left"))
        if type(number) is not int:
            raise ValueError("the master gave a session no number")
        self.visit = Visit(number, user, self.node, 0.0, left, now)
        if self._abandoned:
            return self._end(LEFT, "", now)
        granted = Granted(number, user, self.node, left, self.niceness)
        return [Say(granted), Begins(user), *self.tick(now)]

    def failed(self, reason: str) -> list[Action]:
        """The master could not answer."""
        self.asking = ""
        return [Say(Refused("master", reason))]

    def gone(self, now: float) -> list[Action]:
        """The user at the seat goes, or its program has ended."""
        self._abandoned = True
        return self._end(LEFT, "", now)

    def stop(self, now: float) -> list[Action]:
        """The daemon stops."""
        self._abandoned = True
        return self._end(LEFT, "the node daemon of this machine stops", now, shown="node")

    def status(self, in_use: str, now: float) -> SeatStatus:
        """Who sits here."""
        visit = self.visit
        if visit is None:
            return SeatStatus(self.node, self.linked, in_use)
        return SeatStatus(
            self.node, self.linked, in_use, visit.user, visit.number, round(visit.used(now), 3), visit.left(now)
        )

    # -- the master

    def link_broke(self) -> list[Action]:
        """The session goes on."""
        was, self.linked = self.linked, False
        return [Say(Linked(False))] if was and self.visit is not None else []

    def link_is_there(self, now: float) -> list[Action]:
        """Say what the master has missed, and whose session goes on."""
        self.linked = True
        unsaid, self._unsaid = self._unsaid, []
        claims = [] if self.visit is None else [(self.visit.number, self.visit.user, self.visit.used(now))]
        actions: list[Action] = [ToMaster(args) for args in unsaid]
        actions.append(ToMaster(("claim", claims)))
        return [*actions, Say(Linked(True))] if self.visit is not None else actions

    def unsaid(self, args: tuple[Any, ...]) -> None:
        """The link broke before the master had taken this."""
        if args[0] == "left":
            self._unsaid = [*self._unsaid, args][-MOST_UNSAID:]

    def claimed(self, answer: Mapping[str, Any], now: float) -> list[Action]:
        """What the master says of our session after the link was broken."""
        visit = self.visit
        if visit is None or answer.get("of") != visit.number:
            return []
        if "over" in answer:
            return self._over(str(answer.get("reason", "vanished")), str(answer["over"]))
        number = answer.get("number")
        if type(number) is int and number != visit.number:  # it counts as another one from now on
            self.visit = Visit(number, visit.user, self.node, 0.0, _seconds(answer.get("left")), now)
            return self.tick(now)
        return []

    def order(self, args: tuple[Any, ...], now: float) -> list[Action]:
        """The master's word about a session: of another one than ours it means nothing.  ValueError for nonsense."""
        visit = self.visit
        if visit is None or len(args) < 2 or args[1] != visit.number:
            return []
        match args:
            case ("left", _, left):
                visit.grant(_seconds(left), now)
                return self._obey(visit.tick(now))
            case ("say", _, str() as text, str() as who):
                return [Say(Told(text, who))]
            case ("over", _, str() as reason, str() as text):
                return self._over(reason, text)
        return []

    # -- time

    def tick(self, now: float) -> list[Action]:
        """Half a minute has passed, or `due`."""
        return [] if self.visit is None else self._obey(self.visit.tick(now))

    def due(self, now: float) -> float | None:
        """Seconds until somebody is to be warned, or the session ends; None: neither is to come."""
        return None if self.visit is None else self.visit.due(now)

    def _obey(self, actions: list[Any]) -> list[Action]:
        told: list[Action] = []
        for action in actions:
            if isinstance(action, Tell):
                told.append(Say(Left(action.left)))
            elif isinstance(action, Warn):
                told.append(Say(Warned(action.minutes)))
            elif isinstance(action, VisitEnd):
                told += [ToMaster(("left", action.session.number, action.session.seconds, TIME))]
                told += self._over(TIME, action.text)
        return told

    def _end(self, reason: str, text: str, now: float, shown: str = "") -> list[Action]:
        if self.visit is None:
            return []
        left = ToMaster(("left", self.visit.number, self.visit.used(now), reason))
        return [left, *self._over(shown or reason, text)]

    def _over(self, reason: str, text: str) -> list[Action]:
        self.visit = None
        return [Say(Over(reason, text)), Ends()]


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise ValueError("the master granted what is no time")
    return float(value)
