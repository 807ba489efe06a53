"""What is said of who does not answer, and of actions: in the log each once, however often a node is waited for."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from asyncluster.elastic.actions import Action, Fault, Outcome
from asyncluster.elastic.machine import not_ready, waits
from asyncluster.elastic.records import NodeRecord, Why

_log = Logger("asyncluster.elastic.engine")


def fault_of(error: Exception, limit: float) -> str:
    """Why there is no answer from who was given `limit` seconds for it."""
    late = isinstance(error, TimeoutError)
    return f"no answer within {limit:g} s" if late else str(error) or type(error).__name__


def begins(action: Action, record: NodeRecord) -> None:
    """An action begins; record: of its node, as it is now."""
    tell = _log.debug if waits(record) else _log.info  # what is tried every second was told
    tell("{do} {node}: {cause}", do=action.do.value, node=action.node, pool=action.pool, cause=action.cause)


def ended(action: Action, record: NodeRecord | None, outcome: Outcome) -> None:
    """One is over; record: of its node, before the outcome changes it."""
    if outcome.fault is not Fault.NONE:
        _log.warn("{do} {node} failed: {text}", do=action.do.value, node=action.node, text=outcome.text)
    elif outcome.missing and record is not None and record.fault != not_ready(outcome):
        _log.info("{node} is not ready: {missing}", node=action.node, missing=outcome.missing)


def given_up(
    before: Mapping[str, NodeRecord], planned: Mapping[str, NodeRecord | None], now: Mapping[str, NodeRecord]
) -> None:
    """Of nodes that a plan has changed, those that go because something is wrong with them: somebody is to know.

    before: as the plan found them; now: what has come of it, as some changed meanwhile and stay as they are.
    """
    for name, record in planned.items():
        if record is None or record.why is not Why.FAULT or now.get(name) is not record:
            continue
        if name not in before or before[name].why is not Why.FAULT:
            _log.warn("{node} of pool {pool} is given up: {cause}", node=name, pool=record.pool, cause=record.cause)
