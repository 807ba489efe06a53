"""The one reason for each node and each pool, from what a plan decided."""

from __future__ import annotations

from collections.abc import Mapping

from asyncluster.elastic.actions import Reason
from asyncluster.elastic.bins import Bin
from asyncluster.elastic.launching import unlisted
from asyncluster.elastic.limits import Room, Tally, room
from asyncluster.elastic.records import STARTING, STAYING, Life, NodeRecord, PoolMode, PoolRecord, Why
from asyncluster.elastic.serving import Supply
from asyncluster.elastic.situation import Situation
from asyncluster.model.batch import BatchNode, BatchState
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Pool
from asyncluster.units import count as many

_AT_WORK = frozenset({BatchState.RUNNING, BatchState.ENDING})
_HELD = frozenset({NodeState.HELD, NodeState.HOLDING})


def node(record: NodeRecord, seen: BatchNode | None, bin: Bin | None, situation: Situation) -> Reason:
    """Why a node is as it is."""
    if record.life is Life.UP:
        return _up(record, seen, bin, situation)
    text = record.cause or record.life.value
    if record.life is Life.HELD:
        text = f"held by {record.steered or 'a person'}"
    if record.fault:
        text += f"; {record.fault}"
    if record.life in STARTING and record.started is not None:
        waited = situation.now - max(record.started, situation.answering_since)
        left = max(0.0, situation.options.max_launch_time - waited)
        text += f"; it is waited for {left:.0f} s more (max_launch_time)"
    if record.missed:
        text += f"; its cloud has left it out of {many(record.missed, 'listing')}"
    if record.life is Life.HOLDING and seen is not None and (seen.jobs or seen.used):
        text += f"; waits for {_jobs(seen)}"
    if record.life is Life.DESTROYING and record.attempts > 0:
        text += f"; its cloud was asked {_times(record.attempts)} to end it" + (
            "" if record.missed else " and lists it"
        )
    rule = record.why.value if record.why is not Why.NOTHING and record.life not in STAYING else record.life.value
    return Reason(rule, text)


def _up(record: NodeRecord, seen: BatchNode | None, bin: Bin | None, situation: Situation) -> Reason:
    now, options = situation.now, situation.options
    if situation.silence:
        return Reason("silent", situation.silence)
    if record.down_since is not None:
        down = now - record.down_since
        return Reason(
            "down", f"not heard for {down:.0f} s; it goes after {options.max_down_time:.0f} s (max_down_time)"
        )
    if seen is not None and (seen.jobs or seen.used):
        return Reason("busy", f"runs {_jobs(seen)}")
    if seen is not None and seen.state in _HELD:
        said = f" ({seen.said})" if seen.said else ""
        return Reason("outside", f"held in its scheduler{said}, which was not asked for here: let it go there")
    if bin is not None and bin.wanted:
        return Reason("wanted", "has room for work that waits")
    if record.idle_since is None:
        return Reason("up", record.cause or "up")
    idle = now - record.idle_since
    if idle < options.max_idle_time:
        text = f"idle for {idle:.0f} s; it goes after {options.max_idle_time:.0f} s (max_idle_time)"
        return Reason("idle", text)
    pool = situation.pool_records.get(record.pool)
    if not situation.modes.auto:
        why = "automatic mode is off"
    elif pool is not None and pool.mode is PoolMode.FROZEN:
        why = f"pool {record.pool} is frozen"
    else:
        why = f"pool {record.pool} keeps its least (quantity: min), or it goes when that is decided next"
    return Reason("kept", f"idle for {idle:.0f} s, and kept: {why}")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _jobs(seen: BatchNode) -> str:
    if not seen.jobs:
        return f"something on {many(seen.used, 'core')}"
    return ", ".join(seen.jobs[:3]) + (f" and {len(seen.jobs) - 3} more" if len(seen.jobs) > 3 else "")


def pool(
    pool: Pool, record: PoolRecord, count: Tally, supply: Supply | None, going: int, situation: Situation
) -> Reason:
    """Why a pool does what it does.  supply: None = nothing was decided about launches; going: released now."""
    reason = _pool(pool, record, count, supply, going, situation)
    if not record.lacks:
        return reason
    text = (
        f"its nodes turned out not to bear {', '.join(record.lacks)}, which its configuration promises, so none is "
        f"begun for jobs that ask for it: see that they bear it, then `asyncluster pool restore {pool.name}`"
    )
    return Reason(reason.rule, f"{reason.text}; {text}")


def _pool(
    pool: Pool, record: PoolRecord, count: Tally, supply: Supply | None, going: int, situation: Situation
) -> Reason:
    if record.mode is PoolMode.DRAINING:
        return Reason("drained", f"is being drained ({record.mode_cause}): {many(count.all, 'node')} left")
    if situation.silence:
        return Reason("silent", f"launches and releases nothing: {situation.silence}")
    if supply is not None and supply.begun:
        reason = supply.begun[0][1]
        return Reason(reason.rule, f"begins {len(supply.begun)}: {reason.text}")
    if going:
        return Reason("release", f"gives up {going} that nobody needs")
    if supply is not None and supply.left <= 0:
        return Reason(supply.room.rule, supply.room.text)
    if supply is None:  # what kept it from launching when that was last decided may keep it still
        left = _room(pool, record, count, situation)
        if left.count <= 0 and not left.brief:
            return Reason(left.rule, left.text)
    if record.failures and record.fault:
        return Reason(
            "failed", f"has {many(count.staying, 'node')}; what was launched last came to nothing: {record.fault}"
        )
    if count.staying <= pool.least:
        return Reason("least", f"has its least, {many(pool.least, 'node')}, and no work needs more")
    return Reason("enough", f"has {many(count.staying, 'node')}, and no work needs more")


def _room(pool: Pool, record: PoolRecord, count: Tally, situation: Situation) -> Room:
    listed = unlisted(situation, pool.name)
    return room(pool, record, count, situation.modes, situation.options, listed, situation.now)


def engine(situation: Situation, launches: int, releases: int) -> Reason:
    """What the whole is about."""
    modes = situation.modes
    if situation.silence:
        return Reason("silent", f"launches and releases nothing: {situation.silence}")
    does = f"begins {many(launches, 'node')}, gives up {releases}"
    if modes.sleep:
        return Reason("sleep", f"sleeps: launches nothing; gives up {releases}")
    if not modes.auto:
        return Reason("manual", f"automatic mode is off: {does}")
    return Reason("passive", f"nodes only on request: {does}") if modes.passive else Reason("auto", does)


def unserved(situation: Situation, silence: str) -> Mapping[str, Reason]:
    """The reason of all that waits while the scheduler does not answer."""
    reason = Reason("silent", silence)
    if situation.demand is None:
        return {}
    return {job.id: reason for job in situation.demand.jobs if job.state not in _AT_WORK}
