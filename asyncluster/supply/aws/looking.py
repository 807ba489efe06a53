"""Looks for instances by name, for many orders at a time: fifty launches that begin together are one question."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from asyncluster.model.supply import Instance


@attrs.define(eq=False)
class Looking:
    """What is asked in one turn of the reactor is asked together.  ask: gives the instances with these names."""

    reactor: Any
    ask: Callable[[Sequence[str]], Coroutine[Any, Any, list[Instance]]]
    _waiting: dict[str, list[Deferred[list[Instance]]]] = attrs.field(factory=dict, init=False, repr=False)

    def at(self, name: str) -> Deferred[list[Instance]]:
        """Those alive with that name, whosever they are; fails as `ask` does."""
        if not self._waiting:
            self.reactor.callLater(0.0, self._go)
        waits: Deferred[list[Instance]] = Deferred()
        self._waiting.setdefault(name, []).append(waits)
        return waits

    def _go(self) -> None:
        waiting, self._waiting = self._waiting, {}
        asked = Deferred.fromCoroutine(self.ask(list(waiting)))
        asked.addCallbacks(lambda found: _tell(waiting, found), lambda failure: _fail(waiting, failure))


def _tell(waiting: dict[str, list[Deferred[list[Instance]]]], found: list[Instance]) -> None:
    for name, all_waits in waiting.items():
        mine = [one for one in found if one.name == name]
        for waits in all_waits:
            waits.callback(mine)


def _fail(waiting: dict[str, list[Deferred[list[Instance]]]], failure: Any) -> None:
    for all_waits in waiting.values():
        for waits in all_waits:
            waits.errback(failure)
