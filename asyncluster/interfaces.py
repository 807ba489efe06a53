"""What parts expect of each other across packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from twisted.internet.defer import Deferred

    from asyncluster.model.batch import Demand
    from asyncluster.model.supply import Finding, Flavor, Instance, Listing, Order, Reservation, Sought


class IReactor(IReactorTime, IReactorThreads, IReactorTCP, IReactorUNIX, IReactorPluggableNameResolver):
    """The reactor where sockets are made; take a narrower interface wherever one will do."""


class IScheduler(Interface):
    """Whose queue is served: one that others may write an adapter for.  `testing.contracts` proves an adapter.

    Each method gives a Deferred that fails with SchedulerError: NoAnswerError where the scheduler could not
    be asked (which never means an empty queue), CommandFailedError where it said no.  Doing a thing twice is no
    fault: what is already so is success, and every adapter looks at the state rather than trust an exit code.
    """

    name: str = Attribute("'asyncluster', 'torque', 'sge', 'slurm' or the adapter's own.")
    binds_queues: bool = Attribute("Whether nodes serve only the queues that they name.")

    def snapshot() -> Deferred[Demand]:
        """All jobs and nodes at one moment, with one bulk query each, however many there are."""

    def add_node(name: str, address: str, flavor: Flavor) -> Deferred[None]:
        """Make a node known, held: it gets no job before `enable`."""

    def reserve(name: str, flavor: Flavor, reservation: Reservation) -> Deferred[None]:
        """Keep a node for a queue, an account or a property; an empty reservation lets everybody in."""

    def enable(name: str) -> Deferred[None]:
        """Let a node that was added have jobs; the same as `unhold` for most."""

    def hold(name: str, reason: str) -> Deferred[None]:
        """A node gets no new job; those that run go on."""

    def unhold(name: str) -> Deferred[None]:
        """A held node gets jobs again."""

    def vacate(name: str, reason: str) -> Deferred[None]:
        """Hold, and have the jobs that run there begin anew elsewhere, or end where they cannot."""

    def remove_node(name: str, reservation: Reservation) -> Deferred[None]:
        """Forget a node that is held and empty, or dead; with all that `reserve` made for it."""


class ICloud(Interface):
    """What provides the nodes of one pool: one that others may write.  `testing.cloud_contract` proves it.

    Each method gives a Deferred that fails with CloudError: CapacityError where there is none to be had now, QuotaError
    with the limit's name, NoAnswerError where it could not be asked.
    """

    pool: str = Attribute("The name of the pool.")

    def flavor() -> Deferred[Flavor]:
        """What a node will have, as far as the cloud can tell before one exists."""

    def list() -> Deferred[Listing]:
        """What bears our tag, or only our prefix (`Instance.ours` tells); dead ones as long as the cloud does."""

    def launch(order: Order) -> Deferred[Instance]:
        """Begin one node.  The same order again, by its token, gives the same instance."""

    def destroy(instance: Instance) -> Deferred[None]:
        """Begin to end one; what is gone already is success.  It is over when `list` says so."""


class ILeasing(Interface):
    """What an ICloud gives besides where its instances bear the time at which their lease is over (`Instance.expires`).

    A node of ours ends itself when its lease is over.  A batch system's node does not know of leases: its instance
    bears one all the same, so that it, or anybody, can tell that it has outlived its master.
    """

    def renew(instances: Sequence[Instance], expires: float) -> Deferred[None]:
        """Have them bear another time, seconds since the epoch; one that is gone is no fault.  Fails as ICloud does."""


class ILooking(Interface):
    """What an ICloud gives besides where it can be asked for one instance that its listing does not show.

    Listings have gaps, come late or old.  With this a node's record goes when the cloud, asked for that very instance,
    says that there is none; without it, when several listings in a row lack it.
    """

    def look(sought: Sequence[Sought]) -> Deferred[Sequence[Instance]]:
        """Those of these that there are: by id; where that is "", by token.  Fails as ICloud does: nothing is known."""


class IAccount(Interface):
    """What an ICloud gives besides where several pools, and several masters, may have instances in one account."""

    def everything() -> Deferred[Listing]:
        """What bears a tag of any pool and any master, and what bears only our prefix.  Fails as ICloud does."""


class ICloudDoctor(Interface):
    """What an ICloud gives besides so that `asyncluster cloud check` can say what is to be mended."""

    def check() -> Deferred[list[Finding]]:
        """Look at all that a launch will need; makes nothing that stays.  Never fails: what goes wrong is a finding."""


class IReadinessCheck(Interface):
    """Whether a node that its cloud calls active has been set up: one that others may write."""

    def check(name: str, address: str) -> Deferred[str]:
        """'' when it is ready, else what is missing as yet.  Fails only where it never will be."""


class INodeBook(Interface):
    """Where the elastic engine's records outlive the master: basic types under short keys, nothing else."""

    def save(records: Mapping[str, dict[str, Any] | None]) -> Deferred[None]:
        """Write these durably, all or none, and before the Deferred fires; None = the key is forgotten.

        A key is "node/NAME", "pool/NAME" or "modes", at most 300 characters.  Fails with StoreError; where the
        database is away it may fire only once that is back, however long that takes.
        """

    def load() -> Deferred[dict[str, dict[str, Any]]]:
        """All that was saved."""


class IHooks(Interface):
    """Runs a site's own commands when something happened to a node."""

    def run(argv: tuple[str, ...], environment: Mapping[str, str], limit: float) -> Deferred[None]:
        """One try, ended with its children after `limit` seconds.  Fails with CommandFailedError."""
