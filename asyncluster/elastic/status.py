"""What the engine knows, as basic types for the command line, REST and the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from asyncluster.elastic.actions import Reason
from asyncluster.elastic.desk import Desk
from asyncluster.elastic.launching import tally
from asyncluster.elastic.records import STARTING, Life, NodeRecord
from asyncluster.model.batch import BatchNode, BatchState, Demand
from asyncluster.model.node import NodeState

_AT_WORK = frozenset({BatchState.RUNNING, BatchState.ENDING})
_NOTHING = Reason("new", "nothing has been decided yet")


def shown(record: NodeRecord, seen: BatchNode | None) -> NodeState:
    """The state of a node that we launched, in the words that are shown everywhere."""
    if record.life in STARTING or record.life is Life.STRAY:
        return NodeState.STARTING
    if record.life is Life.UP:
        return seen.state if seen is not None else NodeState.ERROR
    if record.life is Life.HELD:
        return NodeState.HELD
    return NodeState.HOLDING if record.life in {Life.RETIRING, Life.HOLDING} else NodeState.DELETING


def status(desk: Desk, now: float, fault: str, faults: Mapping[str, str]) -> dict[str, Any]:
    """now: steady seconds; fault: of the book, "" = none; faults: of the sources, "" = it answers.

    Keys: engine (modes, reason, fault, reports), scheduler and clouds (age in seconds or None, fault), pools, nodes
    (state, life, pool, address, since and ordered as ages, cause, reason, fault).
    """
    demand = desk.demand
    seen = {node.name: node for node in demand.nodes} if demand is not None else {}
    engine = {**attrs.asdict(desk.modes), **_plain(desk.reasons.engine), "fault": fault, "reports": list(desk.reports)}
    return {
        "engine": engine,
        "scheduler": {"age": None if demand is None else now - demand.seen, "fault": faults.get("scheduler", "")},
        "clouds": {
            pool.name: {
                "age": now - desk.listings[pool.name].seen if pool.name in desk.listings else None,
                "fault": faults.get(pool.name, ""),
            }
            for pool in desk.configured
        },
        "pools": _pools(desk),
        "nodes": {name: _node(desk, record, seen.get(name), now) for name, record in sorted(desk.nodes.items())},
    }


def waiting(demand: Demand | None, reasons: Mapping[str, Reason], shown: int) -> dict[str, Any]:
    """The first jobs that wait, by id with "rule" and "text", and how many there are: "jobs" and "waiting"."""
    jobs = () if demand is None else demand.jobs
    ids = [job.id for job in jobs if job.state not in _AT_WORK]
    first = {name: attrs.asdict(reasons.get(name, _NOTHING)) for name in ids[:shown]}
    return {"jobs": first, "waiting": len(ids)}


def _plain(reason: Reason) -> dict[str, str]:
    return {"rule": reason.rule, "reason": reason.text}


def _pools(desk: Desk) -> dict[str, Any]:
    by_pool: dict[str, list[NodeRecord]] = {}
    for record in desk.nodes.values():
        if desk.is_here(record):
            by_pool.setdefault(record.pool, []).append(record)
    pools = {}
    for pool in desk.configured:
        known, count = desk.pools[pool.name], tally(by_pool.get(pool.name, []))
        pools[pool.name] = {
            "kind": pool.kind,
            "mode": known.mode.value,
            "nodes": count.all,
            "starting": count.starting,
            "least": pool.least,
            "most": pool.most,
            "priority": pool.priority,
            "asked": known.asked,
            "failures": known.failures,
            "fault": desk.unlearned.get(pool.name, "") or known.fault,
            "stopped": known.stopped,
            **_plain(desk.reasons.pools.get(pool.name, _NOTHING)),
        }
    return pools


def _node(desk: Desk, record: NodeRecord, seen: BatchNode | None, now: float) -> dict[str, Any]:
    return {
        "state": shown(record, seen).value,
        "life": record.life.value,
        "pool": record.pool,
        "address": record.address,
        "instance": record.instance,
        "since": now - record.since,
        "ordered": now - record.ordered,
        "jobs": list(seen.jobs) if seen is not None else [],
        "cause": record.cause,
        "fault": record.fault,
        **_plain(desk.reasons.nodes.get(record.name, _NOTHING)),
    }
