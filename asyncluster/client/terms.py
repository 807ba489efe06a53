"""What a session needs of the world: a link, and what both ends keep to on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from asyncluster.model.messages import Message


class SessionLink(Protocol):
    """What a session needs of a link; `wire.link.Link` is one."""

    received: int  # grows with whatever arrives

    def send_now(self, messages: list[Message], /) -> None:
        """Send messages now, in order."""

    def send(self, *messages: Message) -> None:
        """As `send_all`."""

    def send_all(self, messages: list[Message], /) -> None:
        """Queue messages, in order."""

    def call(self, name: str, *args: object) -> Deferred[Any]:
        """Call a verb of the master."""

    def close(self, reason: str = "") -> None:
        """Send what waits, then disconnect."""

    def abort(self) -> None:
        """Disconnect at once."""


class Return(Protocol):
    """What brings a session's lost link back; `comeback.Comeback` is one."""

    def begin(self, reason: str, /) -> None:
        """The link was lost."""

    def stop(self) -> None:
        """The session is closed while it is away: do not try again."""


Connect = Callable[[Callable[[Any], Any]], Awaitable[SessionLink]]
"""Given a factory of handlers, makes the link."""


@attrs.frozen
class Terms:
    """How master and client watch each other, in seconds."""

    heartbeat: float
    silence: float
