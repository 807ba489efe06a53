"""A cloud, a scheduler and a book that live in memory: the faces of a `World` as the engine may see it.

Late, with gaps, with lost answers and lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from asyncluster.errors import StoreError
from asyncluster.interfaces import ICloud, INodeBook, IScheduler
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Flavor, Instance, Listing, Order, Reservation
from asyncluster.testing.elastic_world import World

T = TypeVar("T")


def _answer(what: Callable[[], T]) -> Deferred[T]:
    try:
        return succeed(what())
    except Exception as error:
        return fail(error)


@implementer(ICloud)
class FakeCloud:
    """One pool's cloud in a world."""

    def __init__(self, world: World, pool: str) -> None:
        self.pool = pool
        self._world = world

    def flavor(self) -> Deferred[Flavor]:
        """See ICloud; so the others."""
        return succeed(self._world.pools[self.pool].flavor)

    def list(self) -> Deferred[Listing]:
        """Late, and with gaps."""
        return _answer(lambda: self._world.list(self.pool))

    def launch(self, order: Order) -> Deferred[Instance]:
        """Fails as the world's faults have it."""
        return _answer(lambda: self._world.launch(order))

    def destroy(self, instance: Instance) -> Deferred[None]:
        """Notes what must not be in `World.wrongs`."""
        return _answer(lambda: self._world.destroy(instance))


@implementer(IScheduler)
class FakeScheduler:
    """A world's scheduler."""

    name = "fake"
    binds_queues = False

    def __init__(self, world: World) -> None:
        self._world = world

    def snapshot(self) -> Deferred[Demand]:
        """See IScheduler; so the others."""
        return _answer(self._world.snapshot)

    def add_node(self, name: str, address: str, flavor: Flavor) -> Deferred[None]:
        """Held."""
        return self._order(lambda: self._world.add(name, address, flavor.cores))

    def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> Deferred[None]:
        """Nothing."""
        return self._order(lambda: None)

    def enable(self, name: str) -> Deferred[None]:
        """Let go."""
        return self._order(lambda: self._world.hold(name, False))

    def hold(self, name: str, reason: str) -> Deferred[None]:
        """Hold."""
        return self._order(lambda: self._world.hold(name, True))

    unhold = enable

    def vacate(self, name: str, reason: str) -> Deferred[None]:
        """Hold; its jobs wait again."""
        return self._order(lambda: self._world.vacate(name))

    def remove_node(self, name: str, reservation: Reservation) -> Deferred[None]:
        """Forget."""
        return self._order(lambda: self._world.remove(name))

    def _order(self, what: Callable[[], None]) -> Deferred[None]:
        return _answer(lambda: self._world.order(what))


@implementer(INodeBook)
class MemoryBook:
    """Keeps copies.  broken: raised by `save`, None = it works; away: what is saved waits, without a word."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.broken: Exception | None = None
        self.away = False
        self.waits: list[tuple[Mapping[str, dict[str, Any] | None], Deferred[None]]] = []

    def put(self, records: Mapping[str, dict[str, Any] | None]) -> None:
        """All or none."""
        if self.broken is not None:
            raise StoreError(str(self.broken))
        for key, record in records.items():
            if record is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = dict(record)

    def save(self, records: Mapping[str, dict[str, Any] | None]) -> Deferred[None]:
        """See INodeBook."""
        if self.away:
            saved: Deferred[None] = Deferred()
            self.waits.append((records, saved))
            return saved
        return _answer(lambda: self.put(records))

    def come_back(self) -> None:
        """What waits is written, in its order, as a journal does it."""
        self.away, waits, self.waits = False, self.waits, []
        for records, saved in waits:
            _answer(partial(self.put, records)).chainDeferred(saved)

    def load(self) -> Deferred[dict[str, dict[str, Any]]]:
        """See INodeBook."""
        return succeed({key: dict(record) for key, record in self.kept.items()})
