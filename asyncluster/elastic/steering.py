"""What people may ask of the engine: each wish is in the book before its Deferred fires.

RefusedError: there is no such thing, or it cannot be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from asyncluster.elastic.desk import Desk
from asyncluster.elastic.records import Steer
from asyncluster.elastic.requesting import Promise

T = TypeVar("T")


class Steering(Service):
    """The half of the engine that takes wishes."""

    _desk: Desk

    def _steered(self, change: Callable[[], T]) -> Deferred[T]:
        """Make a change of the book, keep it, and plan anew; gives what the change gives."""
        raise NotImplementedError  # the engine has it

    def _now(self) -> float:
        """Seconds of the steady clock."""
        raise NotImplementedError  # the engine has it

    def set_auto(self, on: bool) -> Deferred[None]:
        """Off: nodes are launched and released only by people."""
        return self._steered(lambda: self._desk.set_modes(auto=on))

    def set_sleep(self, on: bool) -> Deferred[None]:
        """On: nothing is launched; what is idle still goes."""
        return self._steered(lambda: self._desk.set_modes(sleep=on))

    def set_passive(self, on: bool) -> Deferred[None]:
        """On: nodes are launched only on request."""
        return self._steered(lambda: self._desk.set_modes(passive=on))

    def launch(self, pool: str, count: int, by: str) -> Deferred[Promise]:
        """So many nodes, whatever waits: from a person, a prologue or a submit filter.  by: who asks.

        Gives how many come of it, and what is to be told.
        """
        return self._steered(lambda: self._desk.request(pool, count, by, self._now()))

    def freeze(self, pool: str, by: str) -> Deferred[None]:
        """The pool neither launches nor releases."""
        return self._steered(lambda: self._desk.freeze(pool, by))

    def drain(self, pool: str, by: str) -> Deferred[None]:
        """All nodes of the pool are held, and go when they are empty."""
        return self._steered(lambda: self._desk.drain(pool, by))

    def restore(self, pool: str) -> Deferred[None]:
        """Ends freeze, drain, and whatever its failures or its cloud's limits stopped."""
        return self._steered(lambda: self._desk.restore(pool))

    def hold(self, node: str, by: str) -> Deferred[None]:
        """A node that we launched gets no new job, and stays."""
        return self._steered(lambda: self._desk.steer(node, Steer.HOLD, by))

    def unhold(self, node: str) -> Deferred[None]:
        """It gets jobs again."""
        return self._steered(lambda: self._desk.steer(node, Steer.NOTHING, ""))

    def vacate(self, node: str, by: str) -> Deferred[None]:
        """Hold, and its jobs go elsewhere."""
        return self._steered(lambda: self._desk.steer(node, Steer.VACATE, by))

    def delete(self, node: str, by: str, force: bool = False) -> Deferred[None]:
        """It goes when it is empty; force: it is vacated first."""
        return self._steered(lambda: self._desk.steer(node, Steer.KILL if force else Steer.DELETE, by))
