"""What pools are, and what clouds give: the supply.

A cloud is whatever can provide nodes: OpenStack, AWS, a batch system that is asked for pilots, this machine.
"""

from __future__ import annotations

import attrs

from asyncluster.model.word import Word

CHECK_PREFIX = "check-"
"""Of the names of pilots that only look around: no pool's, so that the engine does not take them for nodes."""

MOST_DESTROYED = 1000
"""Ids of instances that one request to end some may name."""


class InstanceState(Word):
    """Of an instance as its cloud sees it; shown everywhere."""

    PENDING = "pending"  # asked for; the cloud (or a batch queue) has not begun
    STARTING = "starting"
    ACTIVE = "active"  # runs, as far as the cloud can tell
    READY = "ready"  # passed its configuration check
    DELETING = "deleting"
    ERROR = "error"
    UNKNOWN = "unknown"  # the cloud said something else
    GONE = "gone"


@attrs.frozen
class Flavor:
    """What one node of a pool has.  memory: bytes, 0 = not known; price: per hour, in the site's money."""

    cores: int
    memory: int = 0
    gpus: int = 0
    price: float = 0.0


ANY = Flavor(cores=4096, gpus=64)
"""Stands for one that a cloud has not told as yet: whatever somebody asks for may fit."""


@attrs.frozen
class Reservation:
    """Whom a pool's nodes serve; "" = not limited so.

    queue: only jobs of that queue; account: only jobs that name it; property: nodes bear the word, for jobs
    that ask for it (a word is no limit where the scheduler treats it as a mere feature).
    """

    queue: str = ""
    account: str = ""
    property: str = ""


@attrs.frozen
class Pool:
    """One entry under `cloud:`; Dynamic Cluster calls it a resource.

    least, most: nodes, counting queued, starting and running ones; priority: lower goes first; prefix: of the
    names of its instances; lifetime: seconds a node lives at most (a pilot's walltime), 0 = for ever;
    spawn_rate: nodes it may begin in a minute; backlog: so many may be pending at a time, 0 = not limited; bears:
    further words that its nodes bear, which jobs may ask for as for a property; asks: what its nodes have is its
    cloud's to tell; place: where its cloud is, in words, "" = not said: what is in one place, another knows nothing
    of; fingerprint: changes with whatever else the file says of its nodes.
    """

    name: str
    kind: str
    flavor: Flavor
    reservation: Reservation = Reservation()
    least: int = 0
    most: int = 1
    priority: int = 0
    prefix: str = ""
    lifetime: float = 0.0
    spawn_rate: float = 60.0
    backlog: int = 0
    bears: tuple[str, ...] = ()
    asks: bool = False
    place: str = ""
    fingerprint: str = ""

    @property
    def unknown(self) -> bool:
        """Whether its cloud has not said as yet what its nodes will have: none is begun, and nothing refused."""
        return self.asks and (self.flavor.cores, self.flavor.gpus) == (ANY.cores, ANY.gpus)


@attrs.frozen
class Order:
    """One node asked of a cloud.

    name: what it will be called; token: the same order twice, by the same token, makes one instance; pool; lease:
    seconds it lives on without hearing from its master; lifetime: seconds in all, 0 = for ever.
    """

    name: str
    token: str
    pool: str
    lease: float
    lifetime: float = 0.0


@attrs.frozen
class Instance:
    """What a cloud lists.

    id: the cloud's own; name: as ordered; ours: it bears our tag (a mere prefix is no proof); owner: whose tag,
    this master's realm or another's; address: where it may be reached, "" = not known; born: seconds since the
    epoch, 0 = not said; said: the cloud's own words for its state, with its reason; expires: by its tag, when its lease
    is over, seconds since the epoch, 0 = not said; pool: by its tag, "" = not said.
    """

    id: str
    name: str
    state: InstanceState
    ours: bool = True
    owner: str = ""
    token: str = ""
    address: str = ""
    born: float = 0.0
    said: str = ""
    expires: float = 0.0
    pool: str = ""


@attrs.frozen
class Sought:
    """An instance that the book knows and a listing lacks.  id: the cloud's own, "" = not known; else as ordered."""

    name: str
    token: str
    id: str = ""


@attrs.frozen
class Listing:
    """One answer of a cloud: everything that bears our tag or our prefix.

    seen: seconds of the steady clock; gone: names of nodes for whose instances it was asked one by one, and has none;
    None = it cannot be asked so.
    """

    pool: str
    instances: tuple[Instance, ...]
    seen: float
    gone: frozenset[str] | None = None


@attrs.frozen
class Finding:
    """One thing that was looked at before a pool is trusted.

    name: one word; ok: None = it could not be looked at, because of another finding; text: what was found; mend: what
    to set or to do, "" = nothing.
    """

    name: str
    ok: bool | None
    text: str
    mend: str = ""
