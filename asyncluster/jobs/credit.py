"""How many tasks a node is given ahead of its slots, and how a number of tasks is spread over nodes.

A node that must ask for each task stands idle for a round trip between two; a node that is given a thousand
ten-second tasks hoards them.  So credit is *time*: beyond one task a slot, a node is given as many as its
slots will finish in `AHEAD`, at least one, judged by what tasks of the same job and code took so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from math import ceil, inf
from typing import Protocol

from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.placing import Room

AHEAD = 10_000  # microseconds of work that each slot may have waiting
LONG = 100_000  # from this mean on one task waits for the whole node; below, one for each slot at least
MOST = 512  # tasks a slot, however short they are
MEMORY = 0.9  # of the mean, kept at each new result


class Pace:
    """How long tasks of one kind (job and code) take: a mean of `Result.wall` that forgets, in microseconds.

    `mean` is None until the first result: then a node is given one task ahead, not more.  `room` is what each takes,
    None for one slot; `allowance` is what their owner may have.
    """

    __slots__ = ("allowance", "mean", "room")

    def __init__(self, room: Room | None = None, allowance: Allowance | None = None) -> None:
        self.mean: float | None = None
        self.room = room
        self.allowance = Allowance() if allowance is None else allowance

    def learn(self, count: int, wall: int) -> None:
        """`count` tasks took `wall` microseconds together."""
        average = max(1.0, wall / count)
        if self.mean is None:
            self.mean = average
        else:
            self.mean = average + (self.mean - average) * MEMORY**count


def room(slots: int, held: int, kinds: Mapping[Pace, int], pace: Pace) -> int:
    """How many more tasks of this pace a node may be given.

    held: slots' worth of tasks it has, running or ahead; kinds: the same by pace.  For tasks of one kind this is
    slots + max(spare, ceil(slots * AHEAD / mean)) - held, at most slots * MOST - held, where `spare` is one
    task a slot, or one in all when they are long: a slot that runs dry between two 20 ms tasks loses a round
    trip each time.  In a mixture the slowest are taken to be those that run, and the others use up the time
    ahead.
    """
    mean = pace.mean
    if mean is None:
        return max(0, slots + 1 - held)
    budget = slots * (AHEAD if mean >= LONG else max(AHEAD, mean))
    if held > slots:
        budget -= _ahead(slots, kinds)
    more = ceil(budget / mean) if budget > 0 else 0
    if held <= slots:  # then nothing waits, and `more` is at least one
        more += slots - held
    return max(0, min(more, slots * MOST - held))


def _ahead(slots: int, kinds: Mapping[Pace, int]) -> float:
    """Microseconds of work that wait behind the `slots` slowest tasks; infinite where one is of unknown length."""
    if len(kinds) == 1:
        ((pace, count),) = kinds.items()
        return inf if pace.mean is None else (count - slots) * pace.mean
    waiting = 0.0
    means = sorted(((inf if pace.mean is None else pace.mean, count) for pace, count in kinds.items()), reverse=True)
    for mean, count in means:
        running = min(slots, count)
        slots -= running
        if count > running:
            waiting += (count - running) * mean
    return waiting


def worth_refilling(slots: int, held: int, more: int, queued: int) -> bool:
    """Whether to send `more` tasks now or to wait until they make a batch.

    Waiting is right while a quarter of the window is not free yet, enough is queued to fill it later, and
    no slot would run dry.
    """
    window = held + more
    return held <= slots or queued <= window or more * 4 >= window


class Seat(Protocol):
    """What `share_out` looks at."""

    @property
    def slots(self) -> int: ...

    @property
    def held(self) -> int: ...


def share_out(count: int, seats: Sequence[Seat], spaces: Sequence[int]) -> list[int]:
    """Spread `count` tasks so that all seats are equally full in proportion to their slots.

    spaces: how many each can take at most.  Answers one number a seat; they add up to `count`, or to all the
    space where that is less.
    """
    if count >= sum(spaces):
        return list(spaces)
    if len(seats) == 1:
        return [count]
    low, high = 0.0, max((seat.held + space) / seat.slots for seat, space in zip(seats, spaces, strict=True))
    given = [0] * len(seats)
    while (high - low) * max(seat.slots for seat in seats) > 0.5:
        level = (low + high) / 2
        trial = [
            min(space, max(0, int(level * seat.slots) - seat.held)) for seat, space in zip(seats, spaces, strict=True)
        ]
        if sum(trial) <= count:
            low, given = level, trial
        else:
            high = level
    return _top_up(count - sum(given), seats, spaces, given)


def _top_up(rest: int, seats: Sequence[Seat], spaces: Sequence[int], given: list[int]) -> list[int]:
    """Give out the few that are left, one at a time, always to the emptiest."""
    fullness = [
        ((seat.held + done) / seat.slots, index)
        for index, (seat, done, space) in enumerate(zip(seats, given, spaces, strict=True))
        if done < space
    ]
    heapify(fullness)
    for _ in range(rest):
        _, index = fullness[0]
        given[index] += 1
        if given[index] < spaces[index]:
            heapreplace(fullness, ((seats[index].held + given[index]) / seats[index].slots, index))
        else:
            heappop(fullness)
    return given
