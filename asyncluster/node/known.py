"""What the machine said of owners lately, so that it need not be asked again at the start of each worker.

That takes half a millisecond where users and their limits stand in files, and as long as it likes where a server has
them; nothing else is done meanwhile.  So what was found is good for a minute.  Who was not found is looked for each
time: the next moment somebody may have made that user.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from asyncluster.node.identity import Identity
from asyncluster.node.limits import Limit

FRESH = 60.0
"""Seconds: a change of somebody's groups or limits holds for workers that are started so much later."""

MOST = 1000
"""Owners that are remembered at once."""


@attrs.define(eq=False)
class KnownOwners:
    """identify: whose process a worker for that owner is, or why there is none; limits: what it may use."""

    identify: Callable[[str], Identity | str]
    limits: Callable[[Identity], tuple[Limit, ...]]
    _known: dict[str, tuple[float, Identity, tuple[Limit, ...]]] = attrs.field(factory=dict)

    def of(self, owner: str, now: float) -> tuple[Identity, tuple[Limit, ...]] | str:
        """As whom that owner's tasks run, with which limits; or the sentence that refuses them.

        now: steady seconds.
        """
        known = self._known.get(owner)
        if known is not None and now - known[0] < FRESH:
            return known[1:]
        self._known.pop(owner, None)
        identity = self.identify(owner)
        if isinstance(identity, str):
            return identity
        limits = self.limits(identity)
        self._known[owner] = now, identity, limits
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        return identity, limits
