"""Handles a link until there is a session for it, which takes over what has come meanwhile.

That may be the results of a million tasks: the session gets them in pieces, one a turn of the reactor, so that it can
beat and be asked meanwhile.  What comes until then is put behind them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from asyncluster.errors import RefusedError
from asyncluster.model.messages import Message

PIECE = 1000
"""Messages that are handed over in one turn of the reactor; most are results, some hundredth of a second's worth."""

Later = Callable[[Callable[[], None]], object]
"""Has a function called in a later turn of the reactor."""


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

    def __init__(self, later: Later) -> None:
        self.gone: str | None = None
        self._later = later
        self._link: Any = None
        self._real: Handler | None = None
        self._waiting: deque[Message] = deque()
        self._through = False  # all that waited was handed over

    def hand_over(self, link: Any, real: Handler) -> None:
        """From here on everything is for `real`, beginning with what came before."""
        self._link, self._real = link, real
        self._next()

    def _next(self) -> None:
        assert self._real is not None
        piece = list(islice(self._waiting, PIECE))
        for _ in piece:
            self._waiting.popleft()
        try:
            if piece:
                self._real.messages(piece)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        assert self._real is not None
        if self._waiting:
            self._later(self._next)
            return
        self._through = True
        if hasattr(self._link, "handler"):
            self._link.handler = self._real  # one call less for each batch
        if self.gone is not None:
            self._real.lost(self.gone)

    def messages(self, messages: list[Message]) -> None:
        """A batch has come."""
        if self._real is not None and self._through:
            self._real.messages(messages)
        else:
            self._waiting += messages

    def lost(self, reason: str) -> None:
        """The link has ended; what came before is handed over first."""
        self.gone = reason
        if self._real is not None and self._through:
            self._real.lost(reason)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """The master asks nothing so early."""
        if self._real is None:
            raise RefusedError("not yet")
        return self._real.verb(name, args)


async def turn(later: Later) -> None:
    """Let the reactor do what else there is."""
    done: Deferred[None] = Deferred()
    later(lambda: done.callback(None))
    await done
