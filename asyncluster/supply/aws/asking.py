"""Asks EC2 in threads, and again where it does not answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from asyncluster import collecting
from asyncluster.errors import NoAnswerError

_log = Logger()
P = ParamSpec("P")
T = TypeVar("T")

TRIES = 4
"""How often one thing is asked before it counts as not answered."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two tries, twice as long each time, and scattered."""


@attrs.define(eq=False)
class Asking:
    """reactor: counts time; call: runs something in a thread; open: what has to be done there once, before all else."""

    reactor: Any
    call: Callable[..., Deferred[Any]]
    open: Callable[[], Any]
    _opened: bool = False

    async def once(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One call."""
        if not self._opened:
            with collecting.paused():  # very many values are made when boto3 reads what EC2 is
                await self.call(self.open)
            self._opened = True
        got: T = await self.call(function, *args, **kwargs)
        return got

    async def patiently(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Something that may be asked twice, until there is an answer."""
        for tried in range(1, TRIES):
            try:
                return await self.once(function, *args, **kwargs)
            except NoAnswerError as error:
                _log.debug("{error}; asked again", error=error)
                await self.pause(tried)
        return await self.once(function, *args, **kwargs)

    async def pause(self, tried: int) -> None:
        """Wait before the next try, after so many."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tried - 1))
        await deferLater(self.reactor, pause * (0.5 + random.random()))  # noqa: S311 - no secret
