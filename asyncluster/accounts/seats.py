"""All sessions that are on: one a user, one a seat; a login that is under way keeps both places.

`now` is steady seconds everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from asyncluster.accounts.grant import Grant, Refusal
from asyncluster.accounts.visit import DISABLED, RULES, VANISHED, Action, Say, Visit
from asyncluster.model.account import Session


@attrs.define(eq=False)
class Seats:
    """Who sits where.  Methods that change something give what is to be done."""

    _visits: dict[int, Visit] = attrs.field(factory=dict)
    _by_user: dict[str, Visit | None] = attrs.field(factory=dict)  # None: a login is under way
    _by_node: dict[str, Visit | None] = attrs.field(factory=dict)
    _where: dict[str, str] = attrs.field(factory=dict)  # user -> node of a login under way
    _unclaimed: set[int] = attrs.field(factory=set)

    def __iter__(self) -> Iterator[Visit]:
        return iter(list(self._visits.values()))

    def __len__(self) -> int:
        return len(self._visits)

    def of_user(self, user: str) -> Visit | None:
        """The session of a user."""
        return self._by_user.get(user)

    def at(self, node: str) -> Visit | None:
        """The session at a seat."""
        return self._by_node.get(node)

    # -- logins

    def reserve(self, user: str, node: str) -> Refusal | None:
        """Keep both places for a login, which ends by `begin` or `release`; or why not."""
        if node in self._by_node:
            visit = self._by_node[node]
            who = "somebody logs in" if visit is None else f"{visit.user} has a session"
            return Refusal("seat", f"{who} at {node} already")
        if user in self._by_user:
            visit = self._by_user[user]
            where = self._where[user] if visit is None else visit.node
            what = "logs in" if visit is None else "has a session"
            return Refusal("session", f"{user} {what} at {where} already")
        self._by_user[user] = self._by_node[node] = None
        self._where[user] = node
        return None

    def release(self, user: str, node: str) -> None:
        """That login came to nothing."""
        if self._by_user.get(user, self) is None and self._where.get(user) == node:
            del self._by_user[user], self._by_node[node], self._where[user]

    def begin(self, number: int, user: str, node: str, begun: float, grant: Grant, now: float) -> Visit:
        """That login has led to a session; begun: the instant."""
        self._where.pop(user, None)
        visit = Visit(number, user, node, begun, grant.seconds, now)
        self._put(visit)
        return visit

    # -- a restart

    def restore(self, sessions: Iterable[Session], now: float) -> list[Action]:
        """Sessions that a former master had: their nodes have to say that they go on.

        There is one a user and a seat.  Of two the earlier is over: the answer to its begin was lost, and nobody sat
        there.
        """
        actions: list[Action] = []
        for session in sorted(sessions, key=lambda each: each.number):
            for earlier in (self._by_user.get(session.user), self._by_node.get(session.node)):
                if earlier is not None:
                    actions += self.end(earlier.number, VANISHED, "", now)
            visit = Visit.again(session, now)
            self._put(visit)
            self._unclaimed.add(visit.number)
        return actions

    def claim(self, node: str, number: int, used: float, now: float) -> bool:
        """A node says that a session goes on, and how many seconds of it were used; whether we know of it."""
        visit = self._visits.get(number)
        if visit is None or visit.node != node:
            return False
        self._unclaimed.discard(number)
        visit.claimed(used, now)
        return True

    def give_up(self, now: float) -> list[Action]:
        """What nobody has claimed by now ended when it was heard last."""
        lost = sorted(self._unclaimed)
        return [action for number in lost for action in self.end(number, VANISHED, "", now)]

    # -- while they last

    def tick(self, now: float, numbers: Iterable[int] | None = None) -> list[Action]:
        """Half a minute has passed, or `is_due`; numbers: of these sessions only."""
        some = self if numbers is None else (self._visits[each] for each in numbers if each in self._visits)
        return [action for visit in some for action in self._after(visit, visit.tick(now))]

    def due(self, now: float) -> float | None:
        """Seconds until somebody is to be warned or sent away; None: nobody."""
        return min((due for visit in self if (due := visit.due(now)) is not None), default=None)

    def beat(self, node: str, now: float) -> None:
        """A node was heard."""
        visit = self._by_node.get(node)
        if visit is not None and visit.number not in self._unclaimed:
            visit.beat(now)

    def vanished(self, node: str, now: float) -> list[Action]:
        """A node is gone: its session ended when it was heard last."""
        visit = self._by_node.get(node)
        return [] if visit is None else self.end(visit.number, VANISHED, "the node was not heard of any more", now)

    def review(self, user: str, answer: Grant | Refusal, now: float) -> list[Action]:
        """The rules for a user were changed: what they say of the time from now on."""
        visit = self._by_user.get(user)
        if visit is None:
            return []
        if isinstance(answer, Refusal):
            return self.end(visit.number, DISABLED if answer.rule == DISABLED else RULES, answer.reason, now)
        visit.grant(answer.seconds, now)
        return self._after(visit, visit.tick(now))

    def say(self, user: str, text: str, who: str) -> list[Action]:
        """A message for a user's seat; nothing where he has no session."""
        visit = self._by_user.get(user)
        return [] if visit is None else [Say(visit.number, visit.node, text, who)]

    def end(self, number: int, reason: str, text: str, now: float) -> list[Action]:
        """End a session; nothing where it is over."""
        visit = self._visits.get(number)
        return [] if visit is None else self._after(visit, visit.end(reason, text, now))

    def _put(self, visit: Visit) -> None:
        self._visits[visit.number] = self._by_user[visit.user] = self._by_node[visit.node] = visit

    def _after(self, visit: Visit, actions: list[Action]) -> list[Action]:
        if visit.over and self._visits.pop(visit.number, None) is not None:
            self._unclaimed.discard(visit.number)
            if self._by_user.get(visit.user) is visit:
                del self._by_user[visit.user]
            if self._by_node.get(visit.node) is visit:
                del self._by_node[visit.node]
        return actions
