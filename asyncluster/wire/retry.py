"""When to try the master again, and when to give up: pure (SWAMP's rule).  For nodes and clients."""

from __future__ import annotations

import attrs

FIRST_DELAY = 0.5
EAGER_SECONDS = 3.0
"""For so long delays are FIRST_DELAY at most: a master that is started again is there in one or two seconds."""


@attrs.define
class Retry:
    """Delays double from `first` to `every`, all in seconds; past `give_up_after` seconds without a master it is over.

    In the first EAGER_SECONDS they do not grow beyond FIRST_DELAY.  `give_up_after` = 0 never gives up.
    `lease`: the same for one that a master has taken before, 0 = no other limit.
    A quarter of each delay is jitter, so that a thousand nodes do not come back in the same second.
    """

    every: float
    give_up_after: float
    first: float = FIRST_DELAY
    lease: float = 0.0
    _since: float | None = attrs.field(default=None, init=False)
    _delay: float = attrs.field(init=False)
    _taken: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._delay = self.first

    def registered(self) -> None:
        """The master has taken us: the next failure begins anew."""
        self._since = None
        self._delay = self.first
        self._taken = True

    @property
    def limit(self) -> float:
        """Seconds without a master after which it is over; 0 = never."""
        return self.lease if self._taken and self.lease else self.give_up_after

    def failed(self, now: float, chance: float) -> float | None:
        """An attempt failed at `now`; seconds until the next, or None to give up.  `chance` is in [0, 1)."""
        if self._since is None:
            self._since = now
        if self.limit and now - self._since >= self.limit:
            return None
        delay = self._delay
        eager = now - self._since + delay < EAGER_SECONDS
        self._delay = min(self._delay * 2, max(self.first, FIRST_DELAY) if eager else self.every)
        jittered = delay * (0.75 + 0.5 * chance)
        if self.limit:
            # The last try is at the limit itself, not a whole delay after it.
            jittered = min(jittered, max(self._since + self.limit - now, 0.05))
        return jittered
