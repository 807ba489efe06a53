"""Verbs about pools and the nodes that they provide.  Everybody may look; only administrators steer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from asyncluster.elastic.actions import Plan, Reason, action_to_plain
from asyncluster.elastic.engine import Engine
from asyncluster.elastic.misspelt import near
from asyncluster.errors import RefusedError
from asyncluster.jobs.explaining import Explanation
from asyncluster.master.aside import aside
from asyncluster.model.pages import to_pages
from asyncluster.model.peer import Peer
from asyncluster.units import silence
from asyncluster.version import VERSION

_log = Logger()

MOST_LAUNCHED = 10_000
"""Nodes that one request may ask for; the pool's own limit holds as well."""

LONGEST_CHECK = 86400.0
"""Seconds that a check may wait for its job's turn."""

Steering = Callable[[Engine, str], Deferred[Any]]


def elastic_verb(engine: Engine | None, peer: Peer, args: tuple[Any, ...]) -> object:
    """The answer to one question, `args` = ("status",), ("plan",), ("explain", kind, name), ("check", pool, seconds),
    one of `cloud_verbs`, or a steering word.

    Raises RefusedError where there are no pools, no right, or no such thing.
    """
    if engine is None and args[:2] == ("explain", "job"):
        job = str(args[-1])[:20]
        raise RefusedError(
            f"this master has no pools, so no job waits for a node of one; why a task waits is told by `asyncluster "
            f"explain task {job}.0`"
        )
    if engine is None:
        raise RefusedError(
            "this master has no pools: no asyncluster.yaml with a section `cloud` lies beside its configuration"
        )
    match args:
        case ("status",):
            return _aside(engine, engine.look())
        case ("plan",):
            shown = engine.means[1].shown
            return engine.preview().addCallback(lambda plan: _aside(engine, partial(plan_to_plain, plan, shown)))
        case ("jobs",):
            return _aside(engine, engine.look_at_jobs())
        case ("explain", str() as kind, str() as name):
            return aside(engine, partial(_explain, engine, kind, name))
        case ("check", str() as pool, int() | float() as wait):
            _only_administrators(peer)
            return check_pool(engine, pool, min(float(wait), LONGEST_CHECK))
        case ("orphans" | "doctor", _) | ("destroy", _, _, _):
            from asyncluster.master.cloud_verbs import cloud_verb  # with what most masters need not

            _only_administrators(peer)
            asked = cloud_verb(engine, peer, args)
            if asked is not None:
                return asked.addCallback(lambda found: aside(engine, lambda: to_pages(found)))
    steering = _steering(args)
    if steering is None:
        raise RefusedError(f"the elastic engine is not asked for {' '.join(map(str, args))[:60]}")
    _only_administrators(peer)
    _log.info("{who} asks the elastic engine: {what}", who=peer.name, what=" ".join(map(str, args)))
    return steering(engine, peer.name)


def _aside(engine: Engine, make: Callable[[], object]) -> Deferred[list[bytes]]:
    """Make and write an answer in a thread: of thousands of nodes it takes longer than the reactor may stand still."""
    return aside(engine, lambda: to_pages(make()))


def _only_administrators(peer: Peer) -> None:
    if not peer.admin:
        raise RefusedError("only administrators steer pools and their nodes")


def check_pool(engine: Engine, pool: str, wait: float) -> Deferred[list[dict[str, Any]]]:
    """Walk the road of a pool of pilots; one mapping for each step.  wait: seconds for the job's turn."""
    from asyncluster.supply.batch import BatchCloud  # with what most masters need not
    from asyncluster.supply.rehearsal import rehearse
    from asyncluster.supply.road import steps

    cloud = engine.cloud(pool)
    if not isinstance(cloud, BatchCloud):
        raise RefusedError(f"pool {pool} is none of batch jobs: only the roads of those are checked")
    reactor, options = engine.means
    python = f"{sys.version_info.major}.{sys.version_info.minor}"

    async def check() -> list[dict[str, Any]]:
        seen = await rehearse(reactor, cloud, python, VERSION, options.lease, wait)
        return [attrs.asdict(step) for step in steps(seen)]

    return Deferred.fromCoroutine(check())


def _steering(args: tuple[Any, ...]) -> Steering | None:
    """What an order means; None for one that is none."""
    match args:
        case ("auto", bool() as on):
            return lambda engine, _: engine.set_auto(on)
        case ("sleep", bool() as on):
            return lambda engine, _: engine.set_sleep(on)
        case ("passive", bool() as on):
            return lambda engine, _: engine.set_passive(on)
        case ("launch", str() as pool, int() as count) if 0 < count <= MOST_LAUNCHED:
            return lambda engine, who: engine.launch(pool, count, who).addCallback(attrs.asdict)
        case ("freeze", str() as pool):
            return lambda engine, who: engine.freeze(pool, who)
        case ("drain", str() as pool):
            return lambda engine, who: engine.drain(pool, who)
        case ("restore", str() as pool):
            return lambda engine, _: engine.restore(pool)
        case ("hold", str() as node):
            return lambda engine, who: engine.hold(node, who)
        case ("unhold", str() as node):
            return lambda engine, _: engine.unhold(node)
        case ("vacate", str() as node):
            return lambda engine, who: engine.vacate(node, who)
        case ("delete", str() as node, bool() as force):
            return lambda engine, who: engine.delete(node, who, force)
    return None


def _explain(engine: Engine, kind: str, name: str) -> dict[str, str]:
    asked = {"job": engine.explain_job, "node": engine.explain_node, "pool": engine.explain_pool}.get(kind)
    if asked is None:
        raise RefusedError(f"there is no {kind[:20]} to be explained; there are job, node and pool")
    reason = asked(name)
    if reason is None and kind == "pool":
        engine.cloud(name[:60])  # says which there are
    if reason is None and kind == "job":
        reason = _of_groups(engine.explain_groups(name))
    if reason is None:
        known = {"job": engine.waiting_jobs, "node": lambda: list(engine.nodes), "pool": list}[kind]()
        raise RefusedError(_UNKNOWN[kind].format(name[:60]) + near(name[:60], known))
    record = engine.nodes.get(name) if kind == "node" else None
    machine = {} if record is None else {"instance": record.instance, "address": record.address}
    return _plain(reason) | machine


_UNKNOWN = {
    "job": "no job {0} waits for nodes: it runs, is over, was not looked at yet, or never was; of jobs of this master "
    "`asyncluster job info` and `asyncluster explain task` tell more",
    "node": "no node {0} of a pool is there now: it was given up, of which the master's log has the reason, or never "
    "launched; `asyncluster cluster nodes` lists those that are there",
    "pool": "of pool {0} nothing has been decided yet",
}


def _of_groups(groups: Mapping[str, Reason]) -> Reason | None:
    """One reason for all; each by its name where there are several."""
    if len(groups) < 2:
        return next(iter(groups.values()), None)
    first = next(iter(groups.values()))
    return Reason(first.rule, "; ".join(f"{name}: {reason.text}" for name, reason in groups.items()))


def joined(engine: Engine, wanted: str, told: Explanation) -> Explanation:
    """Why a task waits, with one sentence more: what the engine does about it.  wanted: its batch job, see `demand`."""
    return attrs.evolve(told, reason=with_pools(engine, wanted, told.reason))


def with_pools(engine: Engine, wanted: str, told: str) -> str:
    """The same of a sentence; where nothing comes as a cloud does not answer, with what that cloud said last."""
    reason = engine.explain_job(wanted)
    if reason is not None and reason.rule == "free":
        return told  # there is a node for it, of which the board knows more
    text = "has not looked at it yet" if reason is None else f"says: {reason.text}"
    comes = reason is not None and reason.rule in {"recalled", "starting", "launch"}
    silent = [] if comes else [silence(*each) for each in engine.silent().items()]
    return f"{told}. The elastic engine {'; '.join([text, *silent])}"


def _plain(reason: Reason) -> dict[str, str]:
    return attrs.asdict(reason)


def plan_to_plain(plan: Plan, shown: int) -> dict[str, Any]:
    """A plan as basic types: what it would do, and one reason for everything, but for jobs after so many."""
    reasons = plan.reasons
    return {
        "actions": [action_to_plain(action) | {"does": action.do.value} for action in plan.actions],
        "jobs": {job: _plain(reason) for job, reason in islice(reasons.jobs.items(), shown)},
        "waiting": len(reasons.jobs),
        "nodes": {node: _plain(reason) for node, reason in reasons.nodes.items()},
        "pools": {pool: _plain(reason) for pool, reason in reasons.pools.items()},
        "engine": _plain(reasons.engine),
        "reports": list(plan.reports),
    }
