"""What the engine does for its clouds beside the plan: it completes listings, renews leases that stand in a
cloud, and learns flavors.

The last two follow from what a cloud lists: a lease is renewed because the listing shows that half of it is over, so
nothing is remembered, and what failed is done with the next listing, by this master or by one that came after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.elastic import seeking
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.options import Options
from asyncluster.elastic.telling import fault_of
from asyncluster.interfaces import ICloud, ILeasing, ILooking
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing

_log = Logger()

PATIENCE = 30.0
"""Seconds in which a cloud has to say what it has of the instances that its listing lacks."""

_FLAVOR = "flavor"
_OVER = frozenset({InstanceState.GONE, InstanceState.DELETING})


class Tending:
    """Of one engine.  helpers: services that its clouds work with, and that start and stop with it."""

    def __init__(
        self,
        reactor: IReactorTime,
        clouds: Mapping[str, ICloud],
        desk: Desk,
        options: Options,
        wall: Callable[[], float],
        helpers: Sequence[IService] = (),
    ) -> None:
        self.learned: Callable[[str, Flavor], None] = lambda pool, flavor: None
        """Told what a pool's nodes will have, once its cloud has said it."""
        self.trials: dict[str, Callable[[], Deferred[str]]] = {}
        """By pools that are told by user data: renders it for nobody, and gives a sentence about it."""
        self._reactor = reactor
        self._clouds = clouds
        self._desk = desk
        self._options = options
        self._wall = wall
        self._helpers = helpers
        self._under_way: dict[tuple[str, str], Deferred[None]] = {}  # by the pool, and what is asked
        self._told: dict[tuple[str, str], str] = {}  # the last fault of each that was logged

    def start(self) -> None:
        """The helpers begin."""
        for helper in self._helpers:
            helper.startService()

    def stop(self) -> None:
        """Nothing more is asked; the helpers end."""
        for asked in list(self._under_way.values()):
            asked.cancel()
        for helper in self._helpers:
            helper.stopService()

    def list(self, pool: str) -> Deferred[Listing]:
        """What a pool's cloud has; what it should have and does not list is asked for one by one."""
        return Deferred.fromCoroutine(self._list(self._clouds[pool]))

    async def _list(self, cloud: ICloud) -> Listing:
        listing = await cloud.list()
        if not ILooking.providedBy(cloud):
            return listing
        asked = seeking.sought(listing, self._desk.nodes_of(listing.pool), self._options)
        key = (listing.pool, "look")
        try:
            looking: ILooking = ILooking(cloud)
            found = await looking.look(asked).addTimeout(PATIENCE, self._reactor) if asked else ()
        except CancelledError:
            raise
        except Exception as error:  # a loop's rim: what was listed is true, and of the others nothing is known
            self._tell(key, "missing nodes could not be asked for", error, PATIENCE)
            asked, found = (), ()
        else:
            self._told.pop(key, None)
        return seeking.answered(listing, asked, found)

    def listed(self, listing: Listing) -> None:
        """A cloud has answered."""
        pool, cloud = listing.pool, self._clouds[listing.pool]
        if self._desk.configured_as(pool).unknown:
            self._ask(pool, _FLAVOR, lambda: Deferred.fromCoroutine(self._learn(pool, cloud)))
        if ILeasing.providedBy(cloud):
            now = self._wall()
            due = due_for_renewal(listing, self._desk, self._options.lease, now)
            if due:
                leasing: ILeasing = ILeasing(cloud)
                self._ask(pool, "lease", lambda: leasing.renew(due, now + self._options.lease))

    def _ask(self, pool: str, what: str, begin: Callable[[], Deferred[None]]) -> None:
        key = (pool, what)
        if key in self._under_way:
            return
        asked = self._under_way[key] = Deferred.fromCoroutine(self._asked(key, begin))
        asked.addBoth(lambda _: self._over(key))

    def _over(self, key: tuple[str, str]) -> None:
        self._under_way.pop(key, None)

    async def _asked(self, key: tuple[str, str], begin: Callable[[], Deferred[None]]) -> None:
        try:
            await begin().addTimeout(self._options.action_limit, self._reactor)
            self._told.pop(key, None)
        except CancelledError:  # the master stops
            return
        except Exception as error:  # a loop's rim: the next listing tries again
            self._tell(key, f"its {key[1]} could not be had or renewed", error, self._options.action_limit)

    def _tell(self, key: tuple[str, str], what: str, error: Exception, limit: float) -> None:
        """The same only once; what kept a flavor from being learned keeps its pool from beginning nodes as well."""
        told = fault_of(error, limit)
        if key[1] == _FLAVOR:
            self._desk.unlearned[key[0]] = told
        if self._told.get(key) != told:
            _log.warn("pool {pool}: {what}: {told}", pool=key[0], what=what, told=told)
        self._told[key] = told

    async def _learn(self, pool: str, cloud: ICloud) -> None:
        found = await cloud.flavor()
        self._desk.learn(pool, found)
        self.learned(pool, found)


def due_for_renewal(listing: Listing, desk: Desk, lease: float, now: float) -> tuple[Instance, ...]:
    """Those in the book, and to stay, whose lease has less than half of its time left.  now: the time of day.

    One that has much more than there ever is was written by a clock that was ahead: by the right one it is over at any
    time, for all that we know.
    """
    ours = {
        record.instance for record in desk.nodes.values() if record.pool == listing.pool and desk.renews(record.name)
    }
    return tuple(
        instance
        for instance in listing.instances
        if instance.id in ours
        and instance.state not in _OVER
        and instance.expires > 0.0
        and not now + lease / 2 <= instance.expires <= now + 2 * lease
    )
