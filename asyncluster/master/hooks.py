"""Runs a site's own commands when something happened to a node: argument lists, with a time limit, never a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from asyncluster.errors import CommandFailedError, NoAnswerError
from asyncluster.interfaces import IHooks
from asyncluster.schedulers.run import Runner

TAIL = 300
"""Characters of what a command said last that are told."""

MOST = 16 * 1024**2
"""Bytes that a command may print."""

LINGER = 1.0
"""Seconds after its end in which its last words may still come, where it left something behind that could say more."""

INHERITED = frozenset({"PATH", "HOME", "LANG", "TZ"})
"""Variables of the master's that a command gets."""


@implementer(IHooks)
class Hooks:
    """Commands as processes of this machine."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def run(self, argv: tuple[str, ...], environment: Mapping[str, str], limit: float) -> Deferred[None]:
        """One try.  Cancelling ends it, with its children; what a command that has ended left behind stays."""
        return Deferred.fromCoroutine(self._run(argv, environment, limit))

    async def _run(self, argv: tuple[str, ...], environment: Mapping[str, str], limit: float) -> None:
        runner = Runner(self._reactor, limit, MOST, environment, inherited=INHERITED, linger=LINGER)
        try:
            answer = await runner.run(argv)
        except NoAnswerError as error:  # its arguments are a site's own, and may be nobody else's business
            raise CommandFailedError(str(error).replace(shlex.join(argv), argv[0], 1), argv, -1) from None
        if answer.code:
            said = answer.said.strip()
            words = f": {said[-TAIL:]}" if said else ""
            raise CommandFailedError(f"{argv[0]} ended with {answer.code}{words}", argv, answer.code, said[-TAIL:])
