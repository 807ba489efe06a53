"""Verbs about clouds: what they have that nobody looks after, and whether a pool's could launch anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.elastic import places
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.orphans import Leased, Orphan, Seen, leased, orphans
from asyncluster.elastic.telling import fault_of
from asyncluster.interfaces import IAccount
from asyncluster.master.aside import aside
from asyncluster.model.peer import Peer
from asyncluster.model.supply import MOST_DESTROYED, Finding, Instance, Listing
from asyncluster.units import clip

_log = Logger()

LONGEST = 180.0
"""Seconds for all that is asked of one cloud when it is checked; the list of what it has takes `action_limit`."""

FORCE = "--force WHY ends it all the same"


def cloud_verb(engine: Engine, peer: Peer, args: tuple[Any, ...]) -> Deferred[Any] | None:
    """The answer to ("orphans", pool), ("destroy", pool, ids, why) or ("doctor", pool); None: it is none of these.

    pool: "" = all of them; why: what may be at work is ended too, "" = it is not.  The rights are checked already.
    """
    match args:
        case ("orphans", str() as pool):
            return Deferred.fromCoroutine(look(engine, pool))
        case ("destroy", str() as pool, [*ids], str() as why) if len(ids) <= MOST_DESTROYED and all(
            type(id) is str for id in ids
        ):
            _log.info("{who} has {count} instances ended that nobody looks after", who=peer.name, count=len(ids))
            if why:
                _log.warn("{who} has them ended even if they are at work: {why}", who=peer.name, why=clip(why, 200))
            return Deferred.fromCoroutine(destroy(engine, pool, frozenset(ids), bool(why)))
        case ("doctor", str() as pool):
            return Deferred.fromCoroutine(doctor(engine, pool))
    return None


async def look(engine: Engine, pool: str) -> dict[str, Any]:
    """What nobody looks after: "orphans", one mapping each, and "faults", by pools whose clouds did not answer.

    "force" of an orphan: why it is ended with a sentence only, "" = it needs none.
    "unasked": a sentence for the nodes of each place that no pool is in now, where no cloud that was asked shows them.
    "leased": how many are other masters' whose leases are not over, see `Leased`.
    """
    found, leases, faults = await _orphans(engine, pool)
    away = [record for record in engine.elsewhere() if pool in {"", record.pool}]
    pools = {name: engine.configured(name) for name in engine.pool_names()}
    at_work = engine.at_work((instance for orphan, instance in found if orphan.may), engine.means[0].seconds())

    def tell() -> dict[str, Any]:
        busy = at_work()
        told = [attrs.asdict(orphan) | {"force": busy.get(orphan.id, "")} for orphan, _ in found]
        shown = {(orphan.of, orphan.id) for orphan, _ in found}
        unasked = places.reports((each for each in away if (each.pool, each.instance) not in shown), pools)
        others = [attrs.asdict(each) for each in leases]
        return {"orphans": told, "faults": faults, "unasked": unasked, "leased": others}

    return await aside(engine, tell)


async def destroy(engine: Engine, pool: str, ids: Collection[str], force: bool = False) -> dict[str, Any]:
    """End those of these that nobody looks after still, and that bear our tag: "destroyed" and "faults", by id.

    force: also what runs jobs, or may do so: the scheduler is silent, or is another master's.
    """
    found, _, faults = await _orphans(engine, pool)
    done: list[str] = []
    problems: dict[str, str] = {}

    async def end(orphan: Orphan, instance: Instance) -> None:
        _log.warn("{name} ({id}) is ended: {why}", name=orphan.name, id=orphan.id, why=orphan.why)
        reactor, options = engine.means
        try:
            await engine.cloud(orphan.pool).destroy(instance).addTimeout(options.action_limit, reactor)
        except Exception as error:  # the others are ended all the same
            problems[orphan.id] = fault_of(error, options.action_limit)
        else:
            done.append(orphan.id)

    chosen = [(orphan, instance) for orphan, instance in found if orphan.may and orphan.id in ids]
    if not force:
        now = engine.means[0].seconds()
        busy = await aside(engine, engine.at_work((instance for _, instance in chosen), now))
        problems |= {id: f"{text} ({FORCE})" for id, text in busy.items()}
    await gatherResults([Deferred.fromCoroutine(end(*each)) for each in chosen if each[1].id not in problems])
    known = {orphan.id for orphan, _ in chosen}
    problems |= {id: "it is not there any more, or somebody looks after it" for id in ids if id not in known}
    return {"destroyed": sorted(done), "faults": problems, "silent": faults}


async def doctor(engine: Engine, pool: str) -> dict[str, Any]:
    """The findings, by pool."""
    from asyncluster.supply.doctor import examine  # with what most masters need not

    reactor = engine.means[0]
    names = _asked(engine, pool)

    def ask(name: str) -> Deferred[list[Finding]]:
        trial = engine.tending.trials.get(name)
        asked = examine(reactor, engine.configured(name), engine.cloud(name), trial)
        return _within(reactor, Deferred.fromCoroutine(asked))

    found = await gatherResults([ask(name) for name in names], consumeErrors=True)
    return {name: [attrs.asdict(each) for each in some] for name, some in zip(names, found, strict=True)}


def _within(reactor: IReactorTime, asked: Deferred[list[Finding]]) -> Deferred[list[Finding]]:
    """What is found, or that nothing was in time: what was asked goes on then, with a limit for each question."""
    told: Deferred[list[Finding]] = Deferred()
    late = Finding("cloud", False, f"no answer within {LONGEST:.0f} s", "look at the cloud, and at the way to it")
    timer = reactor.callLater(LONGEST, told.callback, [late])

    def ended(result: Any) -> None:
        if timer.active():
            timer.cancel()
            told.callback(result)  # a failure, too

    asked.addBoth(ended)
    return told


def _asked(engine: Engine, pool: str) -> list[str]:
    if pool:
        engine.cloud(pool)  # says which there are
    return [pool] if pool else engine.pool_names()


async def _orphans(engine: Engine, pool: str) -> tuple[list[tuple[Orphan, Instance]], list[Leased], dict[str, str]]:
    reactor, options = engine.means
    names = _asked(engine, pool)
    faults: dict[str, str] = {}

    async def ask(name: str) -> Listing | None:
        cloud = engine.cloud(name)
        try:
            account = IAccount(cloud) if IAccount.providedBy(cloud) else None
            asked = cloud.list() if account is None else account.everything()
            return await asked.addTimeout(options.action_limit, reactor)
        except Exception as error:  # a loop's rim: one cloud's fault does not hide what others have
            faults[name] = fault_of(error, options.action_limit)
        return None

    listings = await gatherResults([Deferred.fromCoroutine(ask(name)) for name in names])
    pools = {name: engine.configured(name) for name in engine.pool_names()}
    seen = Seen(pools, _among(*engine.known()), options.realm, time.time(), _among(*engine.moved()))
    return *await aside(engine, partial(_of_all, seen, names, listings)), faults


def _among(ids: Collection[tuple[str, str]], tokens: Collection[tuple[str, str]]) -> Callable[[str, Instance], bool]:
    return lambda of, one: (of, one.id) in ids or (of, one.token) in tokens


def _of_all(
    seen: Seen, names: Iterable[str], listings: Sequence[Listing | None]
) -> tuple[list[tuple[Orphan, Instance]], list[Leased]]:
    """Each once, where several pools have one account."""
    found: list[tuple[Orphan, Instance]] = []
    told: set[str] = set()
    for name, listing in zip(names, listings, strict=True):
        if listing is not None:
            by_id = {instance.id: instance for instance in listing.instances}
            found += [(orphan, by_id[orphan.id]) for orphan in orphans(seen, name, listing.instances, told)]
            told |= by_id.keys()
    return found, leased(seen, (one for listing in listings if listing is not None for one in listing.instances))
