"""What the master is to be asked when its link is back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from asyncluster.client.terms import SessionLink
from asyncluster.errors import AsynClusterError


class Questions:
    """Of one session, while it is away."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Deferred[Any], str, tuple[object, ...]]] = []

    def keep(self, verb: str, args: tuple[object, ...]) -> Deferred[Any]:
        """For later; fires with the answer."""
        answer: Deferred[Any] = Deferred()
        self._waiting.append((answer, verb, args))
        return answer

    def ask(self, link: SessionLink) -> None:
        """It is back."""
        waiting, self._waiting = self._waiting, []
        for answer, verb, args in waiting:
            link.call(verb, *args).chainDeferred(answer)

    def fail(self, why: AsynClusterError) -> None:
        """It does not come back."""
        waiting, self._waiting = self._waiting, []
        for answer, _verb, _args in waiting:
            answer.errback(type(why)(*why.args))
