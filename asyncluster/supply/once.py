"""Orders that are being carried out: one that is given again meanwhile is carried out once, and all are told."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from asyncluster.model.supply import Instance, Order


@attrs.define(eq=False)
class Once:
    """What one cloud is at."""

    _waiting: dict[str, list[Deferred[Instance]]] = attrs.field(factory=dict, init=False, repr=False)  # by token

    def launch(self, order: Order, begin: Callable[[Order], Coroutine[Any, Any, Instance]]) -> Deferred[Instance]:
        """The instance that `begin` gives, or its failure.  Who gives up waiting stops neither it nor the others."""
        result: Deferred[Instance] = Deferred()
        waiting = self._waiting.setdefault(order.token, [])
        waiting.append(result)
        if len(waiting) == 1:
            Deferred.fromCoroutine(begin(order)).addBoth(self._done, order.token)
        return result

    def _done(self, answer: Any, token: str) -> None:
        for waiting in self._waiting.pop(token):
            waiting.callback(answer)
