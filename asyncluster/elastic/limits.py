"""How many nodes a pool may begin now, and what says so: its most, its rate, its backlog, its failures, people."""

from __future__ import annotations

import math

import attrs

from asyncluster.elastic.actions import Fault, Outcome
from asyncluster.elastic.options import Options
from asyncluster.elastic.records import Modes, PoolMode, PoolRecord
from asyncluster.model.supply import Pool
from asyncluster.units import count


@attrs.frozen
class Room:
    """count: of nodes that may be begun; rule, text: what bounds it, as a clause about the pool.

    brief: the bound is over within a minute, so that work waits for this pool rather than goes to the next.
    """

    count: int
    rule: str
    text: str
    brief: bool = False


@attrs.frozen
class Tally:
    """A pool's nodes.  all: everything that may exist; starting: on the way up; pending: not begun by the cloud;
    staying: neither on the way out nor strays."""

    all: int = 0
    starting: int = 0
    pending: int = 0
    staying: int = 0


# What happened to a pool


def refill(record: PoolRecord, pool: Pool, now: float) -> PoolRecord:
    """Its spawn rate's tokens as of now; at most those of a minute, and at least one, which is written as -1."""
    if record.tokens < 0.0:
        return record
    tokens = record.tokens + max(0.0, now - record.tokens_at) * pool.spawn_rate / 60.0
    return attrs.evolve(record, tokens=tokens if tokens < burst(pool) else -1.0, tokens_at=now)


def burst(pool: Pool) -> float:
    """How many nodes a pool may begin at once."""
    return max(1.0, pool.spawn_rate)


def spend(record: PoolRecord, pool: Pool, count: int, now: float) -> PoolRecord:
    """So many nodes are begun."""
    had = burst(pool) if record.tokens < 0.0 else record.tokens
    return attrs.evolve(record, tokens=max(0.0, had - count), tokens_at=now)


def unspent(record: PoolRecord) -> PoolRecord:
    """One that was to be begun was not; `refill` sees to the most."""
    return record if record.tokens < 0.0 else attrs.evolve(record, tokens=record.tokens + 1.0)


def begun(record: PoolRecord) -> PoolRecord:
    """The cloud took an order: it has capacity."""
    return record if not record.short else attrs.evolve(record, short=0, retry_at=_kept(record))


def _kept(record: PoolRecord) -> float:
    return record.retry_at if record.failures else 0.0


def succeeded(record: PoolRecord) -> PoolRecord:
    """A node of the pool came up: whatever failed before is mended."""
    if not record.failures and not record.short:
        return record
    return attrs.evolve(record, failures=0, short=0, retry_at=0.0, fault="")


def failed(record: PoolRecord, outcome: Outcome, options: Options, now: float) -> PoolRecord:
    """A launch was refused, or not answered."""
    if outcome.fault is Fault.QUOTA:
        text = outcome.text or "a limit that the cloud does not name"
        return attrs.evolve(record, stopped=text, fault=text, asked=0, asked_by="")
    if outcome.fault is Fault.CAPACITY:
        if now < record.retry_at:  # the same shortage, told to several launches at a time
            return attrs.evolve(record, fault=outcome.text)
        wait = min(options.longest_wait, options.capacity_wait * 2.0 ** min(record.short, 20))
        return attrs.evolve(record, short=record.short + 1, retry_at=now + wait, fault=outcome.text)
    return spoiled(record, outcome.text, options, now)


def spoiled(record: PoolRecord, text: str, options: Options, now: float) -> PoolRecord:
    """One more launch in a row did not give a node; several that were begun together count as one."""
    if now < record.retry_at:
        return attrs.evolve(record, fault=text)
    failures = record.failures + 1
    if failures < options.breaker:
        wait = min(options.breaker_wait, 5.0 * 2.0 ** min(failures - 1, 20))
    else:
        wait = min(options.longest_wait, options.breaker_wait * 2.0 ** min(failures - options.breaker, 20))
    return attrs.evolve(record, failures=failures, fault=text, retry_at=now + wait)


def restored(record: PoolRecord) -> PoolRecord:
    """A person says that the pool is well, or its configuration has changed."""
    return attrs.evolve(
        record, mode=PoolMode.OPEN, mode_cause="", failures=0, short=0, retry_at=0.0, fault="", stopped="",
        cores=0, memory=0, gpus=-1, lacks=(),
    )  # fmt: skip


# What a pool may do


def room(
    pool: Pool, record: PoolRecord, tally: Tally, modes: Modes, options: Options, listed: str, now: float,
    requested: bool = False,
) -> Room:  # fmt: skip
    """How many nodes may be begun.

    record: refilled; listed: '' or why the pool's cloud is not known well enough; requested: by a person or from
    outside, which neither automatic mode nor passive mode keeps from being served.
    """
    barred = _barred(record, modes, options, listed, now, requested)
    if barred is not None:
        return barred
    rooms = [Room(pool.most - tally.all, "most", f"has {tally.all} of at most {count(pool.most, 'node')}")]
    if record.failures >= options.breaker:
        text = f"tries one node after {record.failures} launches in a row that failed ({record.fault})"
        rooms.append(Room(1 - tally.starting, "breaker", text))
    if pool.backlog > 0:
        text = f"has {count(tally.pending, 'node')} that its cloud has not begun, of at most {pool.backlog} at a time"
        rooms.append(Room(pool.backlog - tally.pending, "backlog", text))
    text = f"may begin {_rate(pool)} a minute, and has"
    rooms.append(
        Room(math.floor((record.tokens if record.tokens >= 0.0 else burst(pool)) + 1e-6), "rate", text, brief=True)
    )
    least = min(rooms, key=lambda room: room.count)  # of equals the first: what lasts longest
    return least if least.count >= 0 else attrs.evolve(least, count=0)


def _rate(pool: Pool) -> str:
    return "1 node" if pool.spawn_rate == 1.0 else f"{pool.spawn_rate:g} nodes"


def _barred(
    record: PoolRecord, modes: Modes, options: Options, listed: str, now: float, requested: bool
) -> Room | None:
    """What keeps a pool from beginning any node at all."""
    shut = _shut(record, modes)
    if shut is not None:
        return shut
    if not requested and not modes.auto:
        return Room(0, "manual", "begins none by itself: automatic mode is off")
    if not requested and modes.passive:
        return Room(0, "passive", "begins nodes only on request (passive mode)")
    if not record.stopped and listed:
        return Room(0, "unlisted", listed)
    return _spent(record, options, now)


def closed(record: PoolRecord, modes: Modes, options: Options, now: float) -> Room | None:
    """What keeps a pool even from beginning what has been decided; None = nothing."""
    return _shut(record, modes) or _spent(record, options, now)


def _shut(record: PoolRecord, modes: Modes) -> Room | None:
    """What people do not want."""
    if record.mode is PoolMode.FROZEN:
        return Room(0, "frozen", f"is frozen ({record.mode_cause})")
    if record.mode is PoolMode.DRAINING:
        return Room(0, "drained", f"is being drained ({record.mode_cause})")
    return Room(0, "sleep", "begins none in sleep mode") if modes.sleep else None


def _spent(record: PoolRecord, options: Options, now: float) -> Room | None:
    """What the cloud does not give."""
    if record.stopped:
        return Room(0, "quota", f"is stopped by a limit of its cloud, until it is restored: {record.stopped}")
    return _waiting(record, options, now) if now < record.retry_at else None


def _waiting(record: PoolRecord, options: Options, now: float) -> Room:
    left = f"for {math.ceil(record.retry_at - now)} s more"
    if record.failures >= options.breaker:
        text = f"is paused {left} after {record.failures} launches in a row that failed ({record.fault})"
        return Room(0, "breaker", text)
    if record.short:
        return Room(0, "capacity", f"is passed over {left}: no capacity ({record.fault})")
    return Room(0, "failure", f"is passed over {left} after a launch that failed ({record.fault})")
