"""All that a plan looks at, as one value: the same situation always gives the same plan."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Modes, NodeRecord, PoolRecord
from asyncluster.model.batch import Demand
from asyncluster.model.supply import Listing, Pool


def silence(now: float, demand: Demand | None, unheard: bool, options: Options) -> str:
    """See `Situation.silence`."""
    if demand is None:
        return "the scheduler has not answered yet"
    age = now - demand.seen
    return f"the scheduler has not answered for {age:.0f} s" if unheard or age > options.max_snapshot_age else ""


@attrs.frozen
class Situation:
    """What was seen, what is in the book, what is set, and the time.

    demand, listings (by pool): the last good answers, each with its time; None or absent = there has been none;
    answering_since: the scheduler has answered without a gap since then; binds_queues: see IScheduler;
    provision: also decide about launches and releases, not only about the next step of nodes that are on their way;
    salt: a word that no earlier book's tokens had; unheard: the scheduler did not answer when last asked;
    unlearned: why the clouds of pools did not say what a node of theirs has.
    """

    now: float
    options: Options
    pools: tuple[Pool, ...]
    demand: Demand | None = None
    listings: Mapping[str, Listing] = attrs.Factory(dict)
    nodes: Mapping[str, NodeRecord] = attrs.Factory(dict)
    pool_records: Mapping[str, PoolRecord] = attrs.Factory(dict)
    modes: Modes = attrs.Factory(Modes)
    answering_since: float = 0.0
    binds_queues: bool = False
    provision: bool = True
    salt: str = ""
    unheard: bool = False
    unlearned: Mapping[str, str] = attrs.Factory(dict)

    @property
    def silence(self) -> str:
        """'' while the scheduler's answer is new enough to decide on, else what is wrong with it."""
        return silence(self.now, self.demand, self.unheard, self.options)

    def listing(self, pool: str) -> Listing | None:
        """What a pool's cloud said, if that is new enough to decide on."""
        listing = self.listings.get(pool)
        return None if listing is None or self.now - listing.seen > self.options.max_listing_age else listing
