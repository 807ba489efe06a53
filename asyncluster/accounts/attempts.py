"""How often somebody may try a password: so many wrong ones per user and per place, then a pause.

An attempt counts when it begins, so that many at once are no way around; the one that was right is taken back.  A place
is a node where people type, or the neighbourhood of an address across the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from asyncluster.model.peer import Role

MOST_KEPT = 20_000
"""Users and places that are remembered at once; beyond that the ones heard of longest ago are forgotten."""

LONGEST_NAME = 128
"""Characters of a name that count; no account has more."""


MOST_OF_MACHINES = 1000
"""Wrong passwords of an account that machines share: its password is made by one and is long."""

MOST_OF_ADDRESS = 200
"""Wrong passwords of persons from one address, behind which there may be a whole login host."""

MOST_OF_OWN_NODES = 3
"""Wrong passwords of a person's own nodes, of those that are looked at: one that has an old password tries for ever."""


@attrs.define(eq=False)
class Attempts:
    """Counts by user and by place.  Times are seconds of a steady clock.

    everywhere: a user's wrong ones count together wherever they are tried.  Where strangers can try, that would let
    them shut a user out, so there each place counts for itself.
    """

    per_user: int = 5
    per_place: int = 20
    window: float = 300.0
    everywhere: bool = True
    _tried: dict[tuple[str, ...], deque[float]] = attrs.field(factory=dict)

    def begin(self, user: str, place: str, now: float) -> float:
        """One more.  0 to go on; else seconds to wait, and the password is not to be looked at."""
        of_user, of_place = self._keys(user, place)
        wait = max(self._wait(of_user, self.per_user, now), self._wait(of_place, self.per_place, now))
        if wait <= 0:
            self._note(of_user, now)
            self._note(of_place, now)
        return max(wait, 0.0)

    def take_back(self, user: str, place: str) -> None:
        """Nobody could look at the password after all."""
        for key in self._keys(user, place):
            self._pop(key)

    def right(self, user: str, place: str) -> None:
        """The password was right: that user begins anew, and the place has one attempt less."""
        of_user, of_place = self._keys(user, place)
        self._tried.pop(of_user, None)
        self._pop(of_place)

    def _keys(self, user: str, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        name = user[:LONGEST_NAME]
        return ("user", name) if self.everywhere else ("user", name, place), ("place", place)

    def _wait(self, key: tuple[str, ...], most: int, now: float) -> float:
        tried = self._tried.get(key)
        if tried is None:
            return 0.0
        while tried and tried[0] + self.window <= now:
            tried.popleft()
        return tried[0] + self.window - now if len(tried) >= most else 0.0

    def _note(self, key: tuple[str, ...], now: float) -> None:
        tried = self._tried.pop(key, None) or deque()
        tried.append(now)
        self._tried[key] = tried  # at the end: the first is the one heard of longest ago
        while len(self._tried) > MOST_KEPT:
            del self._tried[next(iter(self._tried))]

    def _pop(self, key: tuple[str, ...]) -> None:
        tried = self._tried.get(key)
        if tried:
            tried.pop()
        if tried is not None and not tried:
            del self._tried[key]


class NetworkAttempts:
    """Wrong passwords across the network: by account and address, so that nobody shuts out who is elsewhere.

    A person's password is good for programs and for nodes, so there is one count for both; of the nodes' another one
    beside it.  is_shared: whether machines share that account.  All nodes may be behind one address, and one of them
    with an old password tries for ever: that must not shut out the others.
    """

    def __init__(self, is_shared: Callable[[str], bool]) -> None:
        self._is_shared = is_shared
        self._people = Attempts(per_place=MOST_OF_ADDRESS, everywhere=False)
        self._own_nodes = Attempts(MOST_OF_OWN_NODES, MOST_OF_ADDRESS, everywhere=False)
        self._machines = Attempts(MOST_OF_MACHINES, 10 * MOST_OF_MACHINES, everywhere=False)

    def begin(self, role: str, name: str, place: str, now: float) -> float:
        """See `Attempts.begin`."""
        if self._is_shared(name):
            return self._machines.begin(f"{role} {name}", place, now)
        if role != Role.NODE.value:
            return self._people.begin(name, place, now)
        wait = self._own_nodes.begin(name, place, now)
        if wait <= 0 and (wait := self._people.begin(name, place, now)) > 0:
            self._own_nodes.take_back(name, place)
        return wait

    def right(self, role: str, name: str, place: str) -> None:
        """See `Attempts.right`."""
        if self._is_shared(name):
            self._machines.right(f"{role} {name}", place)
            return
        self._people.right(name, place)
        if role == Role.NODE.value:
            self._own_nodes.right(name, place)
