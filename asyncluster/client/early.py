"""Handles a link until there is a session for it, which takes over what has come meanwhile."""

from __future__ import annotations

from typing import Any, Protocol

from asyncluster.errors import RefusedError
from asyncluster.model.messages import Message


class Handler(Protocol):
    """As `wire.link.LinkHandler`."""

    def messages(self, messages: list[Message]) -> None:
        """A batch has come, in order."""

    def lost(self, reason: str) -> None:
        """The link has ended; called once."""

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """Answer a call of the other side."""


class Early:
    """A handler that waits for the real one.  gone: why the link has ended already, None while it lives."""

    def __init__(self) -> None:
        self.gone: str | None = None
        self._real: Handler | None = None
        self._waiting: list[Message] = []

    def hand_over(self, link: Any, real: Handler) -> list[Message]:
        """From here on everything is for `real`; returns what came before, which is for `real` too."""
        self._real = real
        if hasattr(link, "handler"):
            link.handler = real  # one call less for each batch
        waiting, self._waiting = self._waiting, []
        return waiting

    def messages(self, messages: list[Message]) -> None:
        """A batch has come."""
        if self._real is not None:
            self._real.messages(messages)
        else:
            self._waiting += messages

    def lost(self, reason: str) -> None:
        """The link has ended."""
        self.gone = reason
        if self._real is not None:
            self._real.lost(reason)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """The master asks nothing so early."""
        if self._real is None:
            raise RefusedError("not yet")
        return self._real.verb(name, args)
