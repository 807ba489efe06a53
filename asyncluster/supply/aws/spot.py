"""Spot instances: how long one is asked for before the full price is paid; pure.

A spot instance is asked for by RunInstances, which answers at once: there is one at our price, or there is none.  (The
older RequestSpotInstances leaves a request open, which may be filled when nobody wants it any more; AWS advises against
it.)  So the waiting that `spot_timeout` limits is ours: from the first refusal on, while the engine asks again.
"""

from __future__ import annotations

import attrs

FORGET = 3 * 3600.0
"""Seconds after which a refusal says nothing of the present: the engine asks every two hours at least."""


@attrs.define
class Bids:
    """What became of one pool's.

    bid: highest price for an hour, 0 = no spot instances are wanted; patience: seconds of refusals after which others
    will do, 0 = never; on_demand: whether they may be had at the full price at all.
    """

    bid: float
    patience: float = 0.0
    on_demand: bool = False
    since: float | None = attrs.field(default=None, init=False)  # of refusals in a row
    _last: float = attrs.field(default=0.0, init=False)

    @property
    def wanted(self) -> bool:
        """Whether the next instance is asked for as a spot instance: always first, for it may be there again."""
        return self.bid > 0.0

    def taken(self) -> None:
        """There was one."""
        self.since = None

    def refused(self, now: float) -> None:
        """There was none."""
        if self.since is None or now - self._last > FORGET:
            self.since = now
        self._last = now

    def falls_back(self, now: float) -> bool:
        """Whether the order that was refused just now is to be had at the full price."""
        return (
            self.on_demand
            and self.patience > 0.0
            and self.since is not None
            and now - self.since >= self.patience
        )  # fmt: skip

    def outlook(self, now: float) -> str:
        """What comes next, for whoever reads of the refusal."""
        if self.since is None or not self.on_demand or not self.patience:
            return "it is asked for again later, at the same price (spot_on_demand would pay the full one)"
        left = max(0.0, self.patience - (now - self.since))
        return f"refused for {now - self.since:.0f} s; {left:.0f} s more, and the full price is paid (spot_timeout)"
