"""Who has the next turn: so many actions of one line at once, and only a few begun in one turn of the reactor.

Many end as soon as they begin (the own queue takes a node at once, a closed pool bars all launches that wait), and each
may be followed by the next step of its node.  Begun one out of the other they would keep the reactor from everything
else, and nest until the interpreter gives up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from asyncluster.elastic.actions import Action

FEW = 4
"""Actions that are begun in one turn of the reactor: each takes up to a millisecond of it."""


@attrs.define(eq=False)
class _Line:
    """waiting: first come, first served; busy: begun and not over."""

    waiting: deque[Action] = attrs.field(factory=deque)
    busy: int = 0


@attrs.define(eq=False)
class Turns:
    """Of one engine.  most: of one line at once; begin: its Deferred fires when the action is over, and never fails.

    running: what was begun and is not over.
    """

    reactor: IReactorTime
    most: int
    begin: Callable[[Action], Deferred[None]]
    running: set[Deferred[None]] = attrs.field(factory=set, init=False)
    _lines: dict[Hashable, _Line] = attrs.field(factory=dict, init=False)
    _call: IDelayedCall | None = attrs.field(default=None, init=False)

    def put(self, line: Hashable, action: Action) -> None:
        """It has its turn after those before it, and not before the reactor's next one."""
        self._lines.setdefault(line, _Line()).waiting.append(action)
        self._soon()

    def stop(self) -> list[Action]:
        """Nothing is begun any more; those that waited, and wait no longer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        left = [action for line in self._lines.values() for action in line.waiting]
        for line in self._lines.values():
            line.waiting.clear()
        return left

    def _ready(self) -> list[_Line]:
        return [line for line in self._lines.values() if line.waiting and line.busy < self.most]

    def _soon(self) -> None:
        if self._call is None and self._ready():
            self._call = self.reactor.callLater(0.0, self._go)

    def _go(self) -> None:
        self._call = None
        ready, begun = deque(self._ready()), 0
        while ready and begun < FEW:  # one of each line, then again: a long one keeps no other from its turn
            line = ready.popleft()
            begun += 1
            line.busy += 1
            done = self.begin(line.waiting.popleft())
            self.running.add(done)
            done.addBoth(self._over, line, done)
            if line.waiting and line.busy < self.most:
                ready.append(line)
        self._soon()

    def _over(self, _: object, line: _Line, done: Deferred[None]) -> None:
        self.running.discard(done)
        line.busy -= 1
        self._soon()
