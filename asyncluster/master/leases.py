"""Leases of nodes that were launched: the elastic engine renews them, and who is not renewed is sent away.

A node that hears nothing of its master ends itself when its lease is over.  One that does hear it, and that no engine
looks after (its pool is no longer in the configuration or has another place now, its order was given up), would stay
for ever: it is dismissed when it has not been renewed for as long.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.master.ticking import Ticking

_log = Logger()

LOOKS = 10
"""In the time of a lease."""

LONGEST = 60.0
"""Seconds between two looks."""


class Leases(Service):
    """Looks at the nodes that are here now and then."""

    def __init__(
        self,
        reactor: IReactorTime,
        launched: Callable[[], list[tuple[str, str]]],
        renews: Callable[[str], bool],
        dismiss: Callable[[str, str], None],
        lease: float,
    ) -> None:
        """What it works with.

        launched: the nodes here that were launched for a pool, with its name; renews: see `Engine.renews`;
        dismiss: called with a node and why; lease: seconds.
        """
        self._reactor = reactor
        self._launched = launched
        self._renews = renews
        self._dismiss = dismiss
        self._lease = lease
        self._since: dict[str, float] = {}
        self._ticking = Ticking(reactor, min(LONGEST, lease / LOOKS), self._look, "a look at the leases of nodes")

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._ticking.start()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._ticking.stop()

    def _look(self) -> None:
        now = self._reactor.seconds()
        unknown = {name: pool for name, pool in self._launched() if not self._renews(name)}
        self._since = {name: self._since.get(name, now) for name in unknown}
        for name, since in self._since.items():
            if now - since < self._lease:
                continue
            text = f"its lease was not renewed for {now - since:.0f} s: pool {unknown[name]} does not look after it"
            try:
                self._dismiss(name, text)
            except Exception:  # the others are looked at all the same
                _log.failure("node {node} could not be dismissed", node=name)
