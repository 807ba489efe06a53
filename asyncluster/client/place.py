"""Where a master is: the values that `find` makes and `connect` goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs


@attrs.frozen
class UnixPlace:
    """A master's UNIX socket; slots: what an embedded master of ours will offer soon, 0 when not ours."""

    path: str
    slots: int = 0


@attrs.frozen
class TcpPlace:
    """A master across a network, and what to prove to it and have proven by it."""

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=lambda _: "***")
    server_password: str | None = attrs.field(default=None, repr=lambda value: "None" if value is None else "***")


class OwnPlace(Protocol):
    """A way of one's own to a master, given instead of an address; tests have one in memory."""

    async def connect(self, reactor: Any, handler: Callable[[Any], Any]) -> Any:
        """Make the link (`session.SessionLink`) with the handler (`wire.link.LinkHandler`) that the function gives."""


Place = UnixPlace | TcpPlace | OwnPlace
