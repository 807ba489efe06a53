"""Ends the links across the network of accounts that may not be used any more, programs' and own nodes' alike.

Each is told why, so that a program need not find out by trying again; who does not go is cut off.  Links over the UNIX
socket stay: the kernel says who asks there, and nobody needs an account.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError
from asyncluster.master.registry import Registry
from asyncluster.master.service import Master
from asyncluster.model.peer import Role
from asyncluster.wire.link import Link

_log = Logger()

GRACE = 1.0
"""Seconds that a peer has to hear the reason; nothing more of it is read meanwhile."""


@attrs.frozen
class Parting:
    """Of one master; `review` is one of the registry's watchers."""

    clock: IReactorTime
    registry: Registry
    master: Master

    def review(self, user: str | None) -> None:
        """Something else holds for a user, or for everybody (None)."""
        for link in self.master.links_of_people():
            if user in (None, link.peer.name) and self._is_over(link):
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
        self.clock.callLater(GRACE, _cut, link)


def _cut(link: Link) -> None:
    if link.connected:
        link.abort()
