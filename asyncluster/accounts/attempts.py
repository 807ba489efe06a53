"""How often somebody may try a password: so many wrong ones per user and per node, then a pause.

An attempt counts when it begins, so that many at once are no way around; the one that was right is taken back.
"""

from __future__ import annotations

from collections import deque

import attrs

MOST_KEPT = 20_000
"""Users and nodes that are remembered at once; beyond that the ones that were heard of longest ago are forgotten."""


@attrs.define(eq=False)
class Attempts:
    """Counts by user and by node.  Times are seconds of a steady clock."""

    per_user: int = 5
    per_node: int = 20
    window: float = 300.0
    _tried: dict[tuple[str, str], deque[float]] = attrs.field(factory=dict)

    def begin(self, user: str, node: str, now: float) -> float:
        """One more.  0 to go on; else seconds to wait, and the password is not to be looked at."""
        wait = max(
            self._wait(("user", user), self.per_user, now),
            self._wait(("node", node), self.per_node, now),
        )
        if wait <= 0:
            self._note(("user", user), now)
            self._note(("node", node), now)
        return max(wait, 0.0)

    def take_back(self, user: str, node: str) -> None:
        """Nobody could look at the password after all."""
        for key in (("user", user), ("node", node)):
            tried = self._tried.get(key)
            if tried:
                tried.pop()

    def right(self, user: str, node: str) -> None:
        """The password was right: that user begins anew, and the node has one attempt less."""
        self._tried.pop(("user", user), None)
        node_tries = self._tried.get(("node", node))
        if node_tries:
            node_tries.pop()

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        tried = self._tried.get(key)
        if tried is None:
            return 0.0
        while tried and tried[0] + self.window <= now:
            tried.popleft()
        return tried[0] + self.window - now if len(tried) >= most else 0.0

    def _note(self, key: tuple[str, str], now: float) -> None:
        tried = self._tried.pop(key, None) or deque()
        tried.append(now)
        self._tried[key] = tried  # at the end: the first is the one heard of longest ago
        while len(self._tried) > MOST_KEPT:
            del self._tried[next(iter(self._tried))]
