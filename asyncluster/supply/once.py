"""One order, one instance.

An order that is given again while it is carried out is carried out once, and all are told.  Where a cloud has made two
for one all the same, the first as `eldest_first` has them is the one that is to stay.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from asyncluster.model.supply import Instance, InstanceState, Order


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


def eldest_first(found: Iterable[Instance]) -> list[Instance]:
    """Those that came to nothing last, so that of two for one order the one that works is kept."""
    return sorted(found, key=lambda one: (one.state is InstanceState.ERROR, one.born, one.id))
