"""Seats at nodes: what their daemons ask about sessions, and what they are told.

Decides nothing about hours (`sessions` does).  A node of the site is believed about its seat: it has proven itself, and
whoever owns it has what is typed there anyway.  It can begin a session only with a password, and go on only with one
that this master gave it.  Nodes that are a person's own have no seats, and do not come here (`for_nodes`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from asyncluster.accounts.grant import Refusal
from asyncluster.accounts.visit import LEFT, TIME, VANISHED, Action, End, Say, Tell, Visit
from asyncluster.errors import AsynClusterError, RefusedError
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import Session, check_name
from asyncluster.wire.link import Link

_log = Logger()

MOST_OVER = 1000
"""Ends of sessions that are remembered for nodes that were away."""

UNKNOWN = "the master does not know this session any more"
WAYS = ("pause", "return", "nice", "go on")


@attrs.define(eq=False)
class Seating:
    """links: the link of a node that is here; occupy: tells the board who uses a node, and what becomes of tasks."""

    clock: IReactorTime
    sessions: Sessions
    link_of: Callable[[str], Link | None]
    occupy: Callable[[str, str, str], object]
    _missing: dict[str, IDelayedCall] = attrs.field(factory=dict)  # nodes that are away, with a session
    _over: dict[int, tuple[Session, str]] = attrs.field(factory=dict)  # ended without the node's knowing
    _accounts: dict[int, str] = attrs.field(factory=dict)  # of the nodes at which these sessions are, or were

    def stop(self) -> None:
        """Wait for nobody any more: sessions that are on go on, and the next master waits."""
        for call in self._missing.values():
            call.cancel()
        self._missing.clear()

    # -- what nodes say

    def verb(self, node: str, args: tuple[Any, ...]) -> object:
        """`begin(user, password)`, `left(number, used, reason)`, `claim([(number, user, used)])`, `use(user, way)`."""
        match args:
            case ("begin", str() as user, str() as password):
                return Deferred.fromCoroutine(self._begin(node, user, password))
            case ("left", int() as number, float() | int() as used, str() as reason) if 0 <= used < 1e10:
                self._left(node, number, float(used), reason)
                return None
            case ("claim", []):
                self._reclaim(node, None)
                return None
            case ("claim", [(int() as number, str() as user, float() | int() as used)]) if 0 <= used < 1e10:
                return Deferred.fromCoroutine(self._claim(node, number, user, float(used)))
            case ("use", str() as user, str() as way) if way in WAYS and _is_name(user or "nobody"):
                self.occupy(node, user, way)
                return None
        raise RefusedError("a seat asks for something else")

    async def _begin(self, node: str, user: str, password: str) -> dict[str, Any]:
        link = self.link_of(node)
        answer = await self.sessions.login(user, password, node)
        self._see_that_it_knows(node, link, answer)
        self._keep_account(link, answer)
        return self._plain(answer)

    def _keep_account(self, link: Link | None, answer: Visit | Refusal) -> None:
        """Whoever else has a node of that name some day has none of its sessions."""
        if isinstance(answer, Visit) and link is not None:
            self._accounts[answer.number] = link.peer.name
        while len(self._accounts) > MOST_OVER + len(self.sessions.seats):
            del self._accounts[next(iter(self._accounts))]

    def _is_its_own(self, node: str, number: int) -> bool:
        """Whether the account of that node now is the one with which the session began; unknown after a restart."""
        link, account = self.link_of(node), self._accounts.get(number)
        return link is None or account is None or link.peer.name == account

    def _see_that_it_knows(self, node: str, link: Link | None, answer: Visit | Refusal) -> None:
        """What is answered by a link that has ended does not arrive: of that session the node knows nothing."""
        if isinstance(answer, Refusal) or self.link_of(node) is link is not None:
            return
        if self.link_of(node) is None:
            self.away(node)
        else:  # it is back already, and has said what it has
            self.sessions.vanished(node)

    def _plain(self, answer: Visit | Refusal) -> dict[str, Any]:
        if isinstance(answer, Refusal):
            return {"refused": answer.reason, "rule": answer.rule}
        return {"number": answer.number, "left": answer.left(self.clock.seconds())}

    def _left(self, node: str, number: int, used: float, reason: str) -> None:
        if not self._is_its_own(node, number):
            return
        if self.sessions.seats.claim(node, number, used, self.clock.seconds()):
            self.sessions.end(number, TIME if reason == TIME else LEFT)
            return
        session, _ = self._over.get(number, (None, ""))
        if session is not None and session.node == node and session.reason == VANISHED:
            del self._over[number]
            self.sessions.grow(session, used)

    def _reclaim(self, node: str, number: int | None) -> None:
        """The node is here and has that session: another one that we know of has ended without its saying so."""
        missing = self._missing.pop(node, None)
        if missing is not None:
            missing.cancel()
        visit = self.sessions.seats.at(node)
        if visit is not None and visit.number != number:
            self.sessions.vanished(node)

    async def _claim(self, node: str, number: int, user: str, used: float) -> dict[str, Any]:
        visit = self.sessions.seats.at(node)
        own = self._is_its_own(node, number)
        self._reclaim(node, number if own and visit is not None and visit.user == user else None)
        if own and self.sessions.seats.claim(node, number, used, self.clock.seconds()):
            self.sessions.review(user)  # an opening goes by the clock, not by what was used
            return {"of": number, "number": number}
        session, text = self._over.get(number, (None, UNKNOWN))
        if session is None or not own or (session.user, session.node) != (user, node):
            return {"of": number, "over": UNKNOWN, "reason": VANISHED}
        del self._over[number]
        if session.reason == VANISHED:
            self.sessions.grow(session, used)  # it went on meanwhile, at its seat
            link = self.link_of(node)
            answer = await self.sessions.resume(user, node)
            self._see_that_it_knows(node, link, answer)
            self._keep_account(link, answer)
            if isinstance(answer, Visit):
                return {"of": number} | self._plain(answer)
            text = answer.reason
        return {"of": number, "over": text, "reason": session.reason}

    # -- what nodes are told

    def tell(self, action: Action) -> None:
        """Of a session: the time left, a message, its end.  Of warnings nothing: the node knows when they are due."""
        if isinstance(action, Tell):
            self._call(action.node, "left", action.number, action.left)
        elif isinstance(action, Say):
            self._call(action.node, "say", action.number, action.text, action.who)
        elif isinstance(action, End):
            session = action.session
            if session.reason == VANISHED or self.link_of(session.node) is None:
                self._over[session.number] = session, action.text
                while len(self._over) > MOST_OVER:
                    del self._over[next(iter(self._over))]
            self._call(session.node, "over", session.number, session.reason, action.text)

    def _call(self, node: str, *args: Any) -> None:
        link = self.link_of(node)
        if link is not None:
            link.call("seat", *args).addErrback(_log_failure)

    # -- nodes that come and go

    def beat(self, node: str) -> None:
        """A node was heard."""
        self.sessions.seats.beat(node, self.clock.seconds())

    def away(self, node: str) -> None:
        """A node's link has ended: its session goes on for a while, and is charged until now where it is not back."""
        if self.link_of(node) is not None:
            return  # it is back already: that was the old one
        if self.sessions.seats.at(node) is not None and node not in self._missing:
            self._missing[node] = self.clock.callLater(self.sessions.patience, self._give_up, node)

    def _give_up(self, node: str) -> None:
        del self._missing[node]
        self.sessions.vanished(node)


def _is_name(text: str) -> bool:
    """Whether it may stand in tables and reasons, which others read at their terminals."""
    try:
        check_name(text)
    except ValueError:
        return False
    return True


def _log_failure(failure: Any) -> None:
    if not failure.check(AsynClusterError):  # it is gone, or an older release
        _log.failure("a seat could not be told", failure=failure)
