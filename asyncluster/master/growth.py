"""Puts the elastic engine together out of asyncluster.yaml: scheduler, clouds, checks and hooks.

What batch systems, pilots and machines need to be made is in `batch_systems.py`, `pilots.py` and `machines.py`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from asyncluster.config.base_conf import Settings
from asyncluster.config.elastic_here import shut_doors
from asyncluster.config.elastic_values import Elastic, PoolSettings
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.options import Commands, Options
from asyncluster.interfaces import ICloud, INodeBook, IReadinessCheck
from asyncluster.jobs.placing import NodeKind
from asyncluster.master.batch_systems import make_scheduler
from asyncluster.master.clouds import CloudMeans, Machine, cloud_of, masters_of, trial, userdata
from asyncluster.master.enlisting import Enlisting
from asyncluster.master.hooks import Hooks
from asyncluster.master.machines import hosts_cloud
from asyncluster.master.own_queue import OwnQueue, Registered
from asyncluster.master.pilots import account as pilot_account
from asyncluster.master.pilots import pilot_cloud
from asyncluster.master.service import Master
from asyncluster.model.elastic_options import ClusterOptions, EngineOptions
from asyncluster.model.supply import Flavor, Order, Pool
from asyncluster.model.supply_options import BatchUnit, CustomUnit, HostsUnit, LocalUnit
from asyncluster.supply.blocking import LIMIT, Blocking
from asyncluster.supply.checks import AllOf, make_checks
from asyncluster.supply.custom import make_cloud
from asyncluster.supply.doctor import OwnTrial, Trial
from asyncluster.supply.local import LocalCloud
from asyncluster.supply.node_conf import NodeConf, node_conf
from asyncluster.supply.userdata import MOST, PACKED

OWN = "asyncluster"
POOLS_FOLDER = "pools"
"""In the state folder: what nodes of this machine, and pilots, need."""

AGE = 3
"""Intervals after which the last answer of a scheduler or a cloud is too old to decide on."""


@attrs.frozen
class Ground:
    """What everything here is made from.  folder: of the master's state; book: of nodes."""

    reactor: Any
    master: Master
    settings: Settings
    elastic: Elastic
    folder: Path
    book: INodeBook


def make_engine(ground: Ground) -> Engine:
    """The engine, not yet started.  Raises ConfigError for what this release cannot serve."""
    elastic, master = ground.elastic, ground.master
    own = elastic.cluster.kind == OWN
    pools = list(elastic.pools)
    helpers: list[Blocking] = []
    scheduler = OwnQueue(master) if own else make_scheduler(ground.reactor, elastic)
    engine = Engine(
        ground.reactor,
        scheduler,
        [pool_for_engine(settings, elastic.cluster.kind) for settings in pools],
        {settings.pool.name: _cloud(ground, settings, helpers) for settings in pools},
        ground.book,
        patient(engine_options(elastic.engine, elastic.cluster, master.realm), pools),
        check=_check(ground, own),
        hooks=Hooks(ground.reactor),
        helpers=helpers,
    )
    engine.tending.trials = {
        settings.pool.name: _trial(ground, settings, own)
        for settings in pools
        if hasattr(settings.unit, "userdata_file")
    }
    if own:
        flavors = {settings.pool.name: settings.pool.flavor for settings in pools}
        engine.tending.learned = partial(_learned, master, pools, flavors)
        _learned(master, pools, flavors)
        master.enlisting = Enlisting(engine)
        master.wanting = engine.wake
        master.attendance.withheld = lambda facts: bool(facts.pool) and engine.withholds(facts.name, facts.pool)
        master.attendance.came, master.attendance.went = engine.arrived, engine.parted
    return engine


def answer_limit(settings: PoolSettings) -> float:
    """Seconds for one answer of a pool's cloud, where its configuration has a word on that; else 0."""
    return float(getattr(settings.unit, "time_limit", 0.0))


def threads_for(reactor: Any, settings: PoolSettings) -> Blocking:
    """Where a pool's cloud is asked: time for an answer, and for the proof of who we are that may go before it."""
    return Blocking(reactor, f"pool {settings.pool.name}", limit=max(LIMIT, 2 * answer_limit(settings)))


def patient(options: Options, pools: Iterable[PoolSettings]) -> Options:
    """The engine waits no shorter than a pool's own `time_limit` asks for; an action takes several answers."""
    longest = max(map(answer_limit, pools), default=0.0)
    return attrs.evolve(
        options,
        action_limit=max(options.action_limit, 4 * longest),
        max_listing_age=options.max_listing_age + max(0.0, 4 * longest - options.action_limit),
    )


def pool_for_engine(settings: PoolSettings, kind: str) -> Pool:
    """A pool as a cluster of that kind has it: the words that its nodes bear beside its property, and its account."""
    kept = settings.pool.reservation
    if kind == "slurm":  # which writes every account small
        kept = attrs.evolve(kept, account=kept.account.lower())
    words = {
        "torque": (kept.queue, kept.account),
        "sge": (f"@{kept.account}" if kept.account else "",),  # a group of hosts, which jobs ask for
        OWN: tuple(getattr(settings.unit, "features", ())),
    }.get(kind, ())
    return attrs.evolve(settings.pool, reservation=kept, bears=tuple(word for word in words if word))


def engine_options(given: EngineOptions, cluster: ClusterOptions, realm: str) -> Options:
    """What the file says of the engine, as the engine has it."""
    hooks, own, limit = given.hooks, cluster.kind == OWN, cluster.time_limit
    return Options(
        max_idle_time=given.max_idle,
        max_down_time=given.max_down,
        max_launch_time=given.max_launch,
        # the own queue is asked without a command or a connection
        cluster_poller_interval=min(1.0, given.cluster_interval) if own else given.cluster_interval,
        cloud_poller_interval=given.cloud_interval,
        auto_provision_interval=given.provision_interval,
        auto_mode=given.auto,
        passive_mode=given.passive,
        # three questions unanswered, and what one of them may take
        max_snapshot_age=AGE * given.cluster_interval + limit,
        max_listing_age=AGE * given.cloud_interval + limit,
        queues=cluster.queues,
        realm=realm,
        lease=given.lease,
        cancel_after=min(Options().cancel_after, given.max_idle),  # what is queued is worth no more than what runs
        at_once=given.workers,
        check_pause=1.0 if own else min(Options().check_pause, given.cluster_interval),
        end_with_master=given.end_with_master,
        shown=cluster.shown,
        commands=Commands(
            post_vm_provision=_words(hooks.post_vm_provision),
            post_vm_destroy=_words(hooks.post_vm_destroy),
            post_add_node=_words(hooks.post_add_node),
            post_remove_node=_words(hooks.post_remove_node),
            limit=hooks.time_limit,
            tries=hooks.retries + 1,
        ),
    )


def _words(command: str) -> tuple[str, ...]:
    return tuple(shlex.split(command))


def _check(ground: Ground, own: bool) -> IReadinessCheck | None:
    registered: list[IReadinessCheck] = [Registered(ground.master)] if own else []
    checks = [*registered, *make_checks(ground.elastic.engine.check, ground.reactor)]
    return AllOf(checks) if len(checks) > 1 else next(iter(checks), None)


def _cloud(ground: Ground, settings: PoolSettings, helpers: list[Blocking]) -> ICloud:
    unit, pool = settings.unit, settings.pool
    folder = ground.folder / POOLS_FOLDER / pool.name
    if isinstance(unit, LocalUnit):
        text = partial(_local_conf, ground, unit)
        drain, realm = ground.settings.client.drain_limit, ground.master.realm
        helpers.append(Blocking(ground.reactor, f"pool {pool.name}", threads=1))
        return LocalCloud(pool.name, folder, realm, ground.reactor, helpers[-1].call, text, pool.flavor, drain)
    if isinstance(unit, BatchUnit):
        master, cluster = ground.master, ground.elastic.cluster
        return pilot_cloud(ground.reactor, ground.settings, settings, unit, master.port, master.realm, folder, cluster)
    if isinstance(unit, HostsUnit):
        master = ground.master
        return hosts_cloud(ground.reactor, ground.settings, settings, unit, master.port, master.realm, folder)
    if isinstance(unit, CustomUnit):
        told = userdata(pool.name, _machine(ground, settings, unit)) if unit.userdata_file else None
        return make_cloud(unit, ground.reactor, pool, ground.master.realm, folder, told)
    helpers.append(threads_for(ground.reactor, settings))
    told = userdata(pool.name, _machine(ground, settings, unit))
    return cloud_of(CloudMeans(ground.reactor, pool, unit, ground.master.realm, folder, helpers[-1], told))


def _trial(ground: Ground, settings: PoolSettings, own: bool) -> Trial:
    """What `cloud check` looks at of what a pool's nodes will be told."""
    pool, machine = settings.pool, _machine(ground, settings, settings.unit)
    render = trial(pool.name, machine, MOST.get(pool.kind, 1 << 30), pool.kind in PACKED)
    if not own or not machine.file:  # an image that is a node by itself knows where its master is
        return render
    return OwnTrial(render, masters_of(machine), shut_doors(ground.settings.server))


def _machine(ground: Ground, settings: PoolSettings, unit: Any) -> Machine:
    """What the virtual machines of a pool are told."""
    master, word = ground.master, settings.pool.reservation.property
    features = tuple(dict.fromkeys((*unit.features, *([word] if word else []))))

    def issue(order: Order) -> Deferred[tuple[str, str]]:
        assert master.enlisting is not None
        return master.enlisting.issue(order)

    own = ground.elastic.cluster.kind == OWN
    told = pilot_account(ground.settings, master.port)
    notice = getattr(unit, "spot_metadata", "")
    return Machine(unit.userdata_file, unit.masters, features, told, master.realm, issue if own else None, notice)


def _local_conf(ground: Ground, unit: LocalUnit, order: Order, folder: Path) -> str:
    """The configuration of one node on this machine."""
    features = _property(ground, order.pool)
    what = NodeConf(
        "127.0.0.1", str(unit.cores), features, order.lease, order.lease, 1.0, order.name, str(folder / "state")
    )
    return node_conf(pilot_account(ground.settings, ground.master.port), what)


def _property(ground: Ground, pool: str) -> str:
    return next(each.pool.reservation.property for each in ground.elastic.pools if each.pool.name == pool)


def _learned(
    master: Master, pools: list[PoolSettings], flavors: dict[str, Flavor], pool: str = "", flavor: Flavor | None = None
) -> None:
    """What nodes may come, with what a cloud has just said of its own."""
    flavors |= {pool: flavor} if flavor is not None else {}
    master.board.expect(kind for settings in pools for kind in _kinds(settings, flavors[settings.pool.name]))


def _kinds(settings: PoolSettings, flavor: Flavor) -> list[NodeKind]:
    """What nodes of this pool will be able to run."""
    unit = settings.unit
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    features = {settings.pool.reservation.property, *getattr(unit, "features", ())} - {""}
    memory = flavor.memory or 2**62  # not said: any amount may be there
    return [NodeKind("*", python, flavor.cores, memory, flavor.gpus, frozenset(features))]
