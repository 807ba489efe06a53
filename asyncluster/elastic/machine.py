"""The life of one node: which step comes next, and what becomes of it when a step is over.

A plain table (`STEPS`; drawn in docs/elastic.md).  A step is tried until it succeeds, with growing pauses, for as
long as its state may last; what is *seen* of a node moves it too, and that is `observe`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from asyncluster.elastic import limits
from asyncluster.elastic.actions import Action, Do, Fault, Outcome
from asyncluster.elastic.options import Commands, Options
from asyncluster.elastic.records import Life, NodeRecord, PoolMode, PoolRecord, Steer, Why
from asyncluster.model.supply import Instance, InstanceState

STEPS: Mapping[Life, tuple[Do, Life]] = {
    Life.ACTIVE: (Do.POST_PROVISION, Life.PROVISIONED),
    Life.PROVISIONED: (Do.ADD, Life.ADDED),
    Life.ADDED: (Do.CHECK, Life.READY),
    Life.READY: (Do.RESERVE, Life.RESERVED),
    Life.RESERVED: (Do.ENABLE, Life.ENABLED),
    Life.ENABLED: (Do.POST_ADD, Life.UP),
    Life.RETIRING: (Do.HOLD, Life.HOLDING),
    Life.EMPTY: (Do.REMOVE, Life.REMOVED),
    Life.REMOVED: (Do.POST_REMOVE, Life.DESTROYING),
    Life.DESTROYING: (Do.DESTROY, Life.DESTROYING),
    Life.GONE: (Do.POST_DESTROY, Life.GONE),
}
"""In each state the one step to be taken, and where it leads; the other states wait for what is seen."""

_MAY_BE_KNOWN = frozenset({Life.LAUNCHING, Life.ACTIVE, Life.PROVISIONED, Life.ADDED, Life.READY})

ASKS_SCHEDULER = frozenset({Do.ADD, Do.RESERVE, Do.ENABLE, Do.HOLD, Do.UNHOLD, Do.VACATE, Do.REMOVE})

_HOOKS: Mapping[Do, str] = {
    Do.POST_PROVISION: "post_vm_provision",
    Do.POST_ADD: "post_add_node",
    Do.POST_REMOVE: "post_remove_node",
    Do.POST_DESTROY: "post_vm_destroy",
}

REQUEST, REQUESTED_BY = "request", "requested by "
"""Rule and cause of a node that somebody asked for."""

NOT_READY = "not ready: "
"""How the fault of a node begins that has to wait for something, and with which nothing is wrong."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds between tries of one step; each pause is twice the one before."""


def command(do: Do, commands: Commands) -> tuple[str, ...] | None:
    """The site's command for a step that is a hook, () where it has none; None: the step is no hook."""
    name = _HOOKS.get(do)
    return None if name is None else getattr(commands, name)


def _skip(record: NodeRecord, options: Options, now: float) -> NodeRecord | None:
    """Past the hooks that the site has no command for; None = past the end."""
    while record.life in STEPS and command(STEPS[record.life][0], options.commands) == ():
        if record.life is Life.GONE:
            return None
        record = record.become(STEPS[record.life][1], now, record.cause, fault=record.fault)
    return record


def step(record: NodeRecord, now: float) -> Do | None:
    """What is to be done to a node now; None = nothing runs out, or something is being done, or it is too early."""
    if record.doing or now < record.retry_at:
        return None
    if record.life in STEPS:
        do = STEPS[record.life][0]
        return Do.VACATE if do is Do.HOLD and record.steer is Steer.KILL else do
    if record.life is Life.HOLDING and record.steer is Steer.KILL:  # it was to go anyhow, and is not to be waited for
        return Do.VACATE
    if record.life is Life.UP and record.steer is Steer.HOLD:
        return Do.HOLD
    if record.steer is Steer.VACATE and record.life in {Life.UP, Life.HELD}:
        return Do.VACATE
    if record.life is Life.HELD and record.steer is Steer.NOTHING:
        return Do.UNHOLD
    return None


def next_step(
    record: NodeRecord, options: Options, now: float, silent: bool
) -> tuple[NodeRecord | None, Action | None]:
    """The record past what need not be done, None = past the end, and what is done to it now, if anything is.

    silent: the scheduler cannot be asked.
    """
    after = _skip(record, options, now)
    do = None if after is None else step(after, now)
    if after is None or do is None or (silent and do in ASKS_SCHEDULER) or (do is Do.DESTROY and not after.instance):
        return after, None
    return order(after, do)


def order(record: NodeRecord, do: Do) -> tuple[NodeRecord, Action]:
    """The record with a step begun, and the action that does it."""
    rule = record.why.value or record.life.value
    return attrs.evolve(record, doing=do.name), Action(do, record.name, record.pool, _cause(record, do), rule)


def _cause(record: NodeRecord, do: Do) -> str:
    """Why: what a person asked for comes of no work that waits."""
    if record.life in {Life.UP, Life.HELD} and do in {Do.HOLD, Do.VACATE}:
        return f"asked for by {record.steered or 'a person'}"
    return "a person lets it work again" if record.life is Life.HELD and do is Do.UNHOLD else record.cause


def retire(record: NodeRecord, why: Why, cause: str, now: float, dead: bool = False, known: bool = False) -> NodeRecord:
    """On its way out, by the shortest road on which nothing that runs is lost.

    dead: nothing can run there; known: the scheduler lists it, so that something may run there even where the book,
    which a killed master may have left behind the truth, says that it never got so far.
    """
    if known and not dead and record.life in _MAY_BE_KNOWN:
        life = Life.RETIRING
    elif record.life in {Life.INTENDED, Life.LAUNCHING, Life.ACTIVE, Life.STRAY}:
        life = Life.DESTROYING
    elif dead or record.life in {Life.PROVISIONED, Life.ADDED, Life.READY}:
        life = Life.EMPTY
    elif record.life in {Life.EMPTY, Life.REMOVED, Life.DESTROYING, Life.GONE}:
        return record
    elif record.life is Life.HOLDING:
        return attrs.evolve(record, why=why, cause=cause)
    else:
        life = Life.RETIRING
    return record.become(life, now, cause, why=why)


def back(record: NodeRecord, cause: str, now: float) -> tuple[NodeRecord, Action]:
    """A node that was to go is wanted again: enable it."""
    record = attrs.evolve(record, cause=cause, why=Why.NOTHING)
    return order(record, Do.UNHOLD)


def pause(attempts: int) -> float:
    """Seconds before a step is tried again."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 10))


# What became of an action


@attrs.frozen
class After:
    """The records after an action; node None = dropped."""

    node: NodeRecord | None
    pool: PoolRecord


def finish(
    record: NodeRecord,
    pool: PoolRecord,
    action: Action,
    outcome: Outcome,
    options: Options,
    now: float,
    known: bool = False,
) -> After:
    """What an action's outcome makes of its node and of the pool.  known: see `retire`."""
    record = attrs.evolve(record, doing="")
    if outcome.fault is Fault.NOT_BEGUN:
        return _not_begun(record, pool, action)
    if action.do is Do.LAUNCH:
        return _launched(record, pool, outcome, options, now)
    if outcome.fault is not Fault.NONE:
        return _failed(record, pool, action, outcome, options, now, known)
    if outcome.missing:
        return After(attrs.evolve(record, retry_at=now + options.check_pause, fault=not_ready(outcome)), pool)
    return _succeeded(record, pool, action, options, now)


def not_ready(outcome: Outcome) -> str:
    """The fault of a node with which nothing is wrong, but that has to wait."""
    return f"{NOT_READY}{outcome.missing}"


def waits(record: NodeRecord) -> bool:
    """Whether the node was found not ready when last tried."""
    return record.fault.startswith(NOT_READY)


def _succeeded(record: NodeRecord, pool: PoolRecord, action: Action, options: Options, now: float) -> After:
    life = record.life
    if action.do is Do.UNHOLD and life in {Life.HELD, Life.HOLDING, Life.RETIRING} and record.why is Why.NOTHING:
        return After(record.become(Life.UP, now, record.cause, fault=""), pool)
    if action.do in {Do.HOLD, Do.VACATE} and life in {Life.UP, Life.HELD}:
        if record.steer is Steer.NOTHING:  # let go of while it was being held
            return After(record.become(Life.HELD, now, record.cause, fault=""), pool)
        # vacated once: from now on it is a node that is held
        return After(record.become(Life.HELD, now, record.steered, fault="", steer=Steer.HOLD), pool)
    if life is Life.RETIRING and action.do in {Do.HOLD, Do.VACATE}:
        held = record.become(Life.HOLDING, now, record.cause, fault="")
        return After(held if action.do is Do.HOLD else _again(held, options, now), pool)
    if life is Life.HOLDING and action.do is Do.VACATE:
        return After(_again(record, options, now), pool)
    if life not in STEPS or STEPS[life][0] is not action.do:
        return After(record, pool)  # it has moved on meanwhile
    return _through(record, pool, options, now)


def _through(record: NodeRecord, pool: PoolRecord, options: Options, now: float, fault: str = "") -> After:
    """The step of its state is over."""
    if record.life is Life.GONE:
        return After(None, pool)
    if record.life is Life.DESTROYING:
        return After(_again(record, options, now), pool)
    after = record.become(STEPS[record.life][1], now, record.cause, fault=fault)
    return After(after, limits.succeeded(pool) if after.life is Life.UP else pool)


def _again(record: NodeRecord, options: Options, now: float) -> NodeRecord:
    """What was taken has to be seen as well; should it not be, it is asked for again."""
    at = now + min(600.0, options.destroy_retry * 2.0 ** min(record.attempts, 6))
    return attrs.evolve(record, attempts=record.attempts + 1, retry_at=at, fault="")


def _not_begun(record: NodeRecord, pool: PoolRecord, action: Action) -> After:
    """As if it had not been decided: a node that nobody was asked for is none, and who wished for it still does."""
    if action.do is not Do.LAUNCH or record.instance:
        return After(record, pool)
    pool = limits.unspent(pool)
    if action.rule == REQUEST and record.life is Life.INTENDED and pool.mode is PoolMode.OPEN and not pool.stopped:
        by = pool.asked_by or record.cause.removeprefix(REQUESTED_BY)
        pool = attrs.evolve(pool, asked=pool.asked + 1, asked_by=by)
    return After(None, pool)


def _launched(record: NodeRecord, pool: PoolRecord, outcome: Outcome, options: Options, now: float) -> After:
    if outcome.fault is Fault.NONE:
        if record.life is not Life.INTENDED:  # a listing was quicker, or it is not wanted any more
            instance = outcome.instance.id if outcome.instance and not record.instance else record.instance
            return After(attrs.evolve(record, instance=instance), limits.begun(pool))
        return After(taken(record, outcome.instance, now), limits.begun(pool))
    if outcome.fault is not Fault.GIVEN_UP:
        pool = limits.failed(pool, outcome, options, now)
    if outcome.fault in {Fault.UNSURE, Fault.GIVEN_UP}:
        return After(attrs.evolve(record, fault=outcome.text, since=now, missed=0), pool)
    if record.life is not Life.INTENDED:  # it said no, and is there all the same
        return After(attrs.evolve(record, fault=outcome.text), pool)
    return After(None, pool)


def taken(record: NodeRecord, instance: Instance | None, now: float) -> NodeRecord:
    """The cloud has the order."""
    if instance is None:
        return attrs.evolve(record, since=now)
    started = None if instance.state is InstanceState.PENDING else now
    more = {"instance": instance.id, "address": instance.address, "started": started, "fault": ""}
    runs = instance.state in {InstanceState.ACTIVE, InstanceState.READY}
    return record.become(Life.ACTIVE if runs else Life.LAUNCHING, now, record.cause, **more)


def _failed(
    record: NodeRecord,
    pool: PoolRecord,
    action: Action,
    outcome: Outcome,
    options: Options,
    now: float,
    known: bool,
) -> After:
    attempts = record.attempts + (outcome.fault is not Fault.GIVEN_UP)
    fault = f"{action.do.value} failed: {outcome.text}"
    tried = command(action.do, options.commands) is not None and attempts >= options.commands.tries
    if tried and record.life in STEPS and STEPS[record.life][0] is action.do:
        # A site's own command that fails is shown and keeps no node from its way.
        return _through(record, pool, options, now, fault)
    if action.do is Do.CHECK and outcome.fault is Fault.NEVER and record.life is Life.ADDED:
        return After(retire(record, Why.FAULT, fault, now, known=known), limits.spoiled(pool, fault, options, now))
    unwished = action.do in {Do.HOLD, Do.VACATE} and record.life is Life.UP and record.steer is Steer.NOTHING
    life = Life.HELD if unwished else record.life  # it may be held all the same: let it go
    after = attrs.evolve(record, life=life, attempts=attempts, retry_at=now + pause(attempts), fault=fault)
    return After(after, pool)
