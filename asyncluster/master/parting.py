"""Ends the links across the network of accounts that may not be used any more, programs' and own nodes' alike.

Each is told why, so that a program need not find out by trying again; who does not go is cut off.  Links over the UNIX
socket stay: the kernel says who asks there, and nobody needs an account.
"""

from __future__ import annotations

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError
from asyncluster.master.registry import Registry
from asyncluster.master.service import Master
from asyncluster.model.peer import Role
from asyncluster.wire.link import Link

_log = Logger()

GRACE = 1.0
"""Seconds that a peer has to hear the reason; nothing more of it is read meanwhile."""


@attrs.define(eq=False)
class Parting(Service):
    """Of one master."""

    clock: IReactorTime
    registry: Registry
    master: Master
    _ending: dict[Link, IDelayedCall] = attrs.field(factory=dict)  # those that were told, and what will cut them off

    def startService(self) -> None:
        """Hear of all changes."""
        super().startService()
        self.registry.watchers.append(self.review)

    def stopService(self) -> None:
        """Cut nobody off any more: the master ends all links."""
        super().stopService()
        self.registry.watchers.remove(self.review)
        for call in self._ending.values():
            call.cancel()
        self._ending.clear()

    def review(self, user: str | None) -> None:
        """Something else holds for a user, or for everybody (None).  Who was told is not told again."""
        for link in self.master.links_of_people():
            if user in (None, link.peer.name) and link not in self._ending and self._is_over(link):
                self._end(link)

    def _is_over(self, link: Link) -> bool:
        return self.registry.find(link.peer.name, link.peer.role.value) is None

    def _end(self, link: Link) -> None:
        name = link.peer.name
        why = f"the account {name} is disabled; an administrator can `asyncluster user enable {name}`"
        if name not in self.registry.accounts:
            why = f"there is no account {name} any more"
        what = "node" if link.peer.role is Role.NODE else "program"
        _log.info("a {what} at {address} is cut off: {why}", what=what, address=link.peer.address, why=why)
        link.hold_reading()
        told: Deferred[object] = link.call("cut", why)
        told.addErrback(lambda failure: failure.trap(AsynClusterError) and None)  # it is gone, or an older release
        self._ending[link] = self.clock.callLater(GRACE, self._cut, link)

    def _cut(self, link: Link) -> None:
        del self._ending[link]
        if link.connected:
            link.abort()
