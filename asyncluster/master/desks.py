"""Where clients are served: one desk a job, with what its client sent and what it is owed.

A client's link may break and another one take over (`resume`): what the client sent is counted, so that both
sides know from where to go on, and Results are kept until the client says that it has them.  A detached job needs
no client: its results stay, and any number of links may watch them come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import WireError
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import Message, Outcome, Result
from asyncluster.model.withheld import Withheld
from asyncluster.wire.link import Link

_log = Logger()

KEEP = 7 * 86400.0
"""Seconds for which results of a detached job are kept after its last task ended, where nobody says otherwise."""


SLICE = 5_000
"""Results that a link is given at a time, of many that it has not got."""


@attrs.define(eq=False)
class Watching:
    """A link that gets all results of a job; `rest`: before those that come."""

    rest: deque[Result]
    begun: bool = False


@attrs.define(eq=False)
class Desk:
    """One job's client, present or away."""

    spec: JobSpec
    link: Link | None = None
    received: int = 0  # counted messages of the client since the job was opened
    owed: deque[Result] = attrs.field(factory=deque)  # what the client has not said it has; the first `sent` went out
    sent: int = 0
    taken: int = 0  # on this link
    stays: dict[int, Result] = attrs.field(factory=dict)  # values that are not sent unasked, by number
    wanted: set[int] = attrs.field(factory=set)  # asked for on this link, of tasks that have not ended
    _by_number: dict[int, Result] | None = None  # of `owed`, once somebody asked
    withheld: Withheld | None = None  # what tasks wrote while the client was away: to go before what is owed
    leaving: Any = None  # the call that ends the job: its client stays away, or its results were kept for long enough
    opened: float = 0.0  # seconds since the epoch
    detached: bool = False  # it needs no client
    watchers: dict[Link, Watching] = attrs.field(factory=dict)  # links to which all results go, from the first
    failed: list[Result] = attrs.field(factory=list)  # of what is owed, where the job keeps it: all but values
    cancelled: int = 0  # of `failed`
    detaching: list[tuple[int, Callable[[], object]]] = attrs.field(factory=list)  # once so many messages are here

    @property
    def job(self) -> int:
        """The job's number."""
        return self.spec.job

    def deliver(self, results: Sequence[Result]) -> None:
        """Send results, and keep them."""
        self.owed.extend(results)
        if self._by_number is not None:
            self._by_number.update((result.seq, result) for result in results)
        if self.keeps:
            self._note_failed(results)
        # Else `hand_out` comes first.
        if self.link is not None and self.sent + len(results) == len(self.owed) and not self.withheld:
            self.sent += len(results)
            self.link.send_now(results)
        for link, watching in self.watchers.items():
            if watching.begun and not watching.rest:
                link.send_all(results)
            else:  # behind those that it has not got yet
                watching.rest.extend(results)

    def take(self, count: int) -> list[int]:
        """The client has the first `count` results of this link; which tasks those are that it had not said before.

        Raises WireError for a number that cannot be.
        """
        if self.keeps:  # they stay, whoever has them
            self.taken = count
            return []
        fresh = count - self.taken
        if not 0 <= fresh <= self.sent:
            raise WireError(f"{count} results taken, where {self.taken} to {self.taken + self.sent} can be")
        self.taken = count
        self.sent -= fresh
        gone = [self.owed.popleft() for _ in range(fresh)]
        if self._by_number is not None:
            for result in gone:
                self._by_number.pop(result.seq, None)
        if self.stays:
            return [result.seq for result in gone if result.outcome != Outcome.STAYS]
        return [result.seq for result in gone]

    def keep(self, result: Result) -> Result:
        """The value of a task stays here; what the client is told instead."""
        self.stays[result.seq] = result
        size = str(len(result.payload)).encode()
        return Result(result.job, result.seq, result.attempt, Outcome.STAYS, size, result.wall)

    def forget(self, seqs: Iterable[int]) -> list[int]:
        """The client does not want these values; which of them were here."""
        return [seq for seq in seqs if self.stays.pop(seq, None) is not None]

    def ended(self, seq: int) -> Result | None:
        """How a task ended that the client may still speak of."""
        if self._by_number is None:
            self._by_number = {result.seq: result for result in self.owed}
        return self.stays.get(seq) or self._by_number.get(seq)

    def results(self) -> dict[int, Result]:
        """All that the client has not got or may still ask for, whole, by number."""
        return self.stays | {each.seq: each for each in self.owed if each.outcome != Outcome.STAYS}

    @property
    def keeps(self) -> bool:
        """Whether results stay when somebody has them, and output is kept."""
        return self.detached or self.spec.detached

    def detach(self) -> None:
        """From here on the job needs no client."""
        self.detached = True
        self.owed = deque(self.stays.pop(result.seq, result) for result in self.owed)  # whoever comes gets all of it
        self.owed.extend(self.stays.values())
        self.stays.clear()
        self.withheld = None
        self._by_number = None
        self.failed, self.cancelled = [], 0
        self._note_failed(self.owed)

    def _note_failed(self, results: Iterable[Result]) -> None:
        failed = [result for result in results if result.outcome != Outcome.VALUE]
        self.failed += failed
        self.cancelled += sum(result.outcome == Outcome.CANCELLED for result in failed)

    def serve(self, link: Link) -> None:
        """The client is at this link from now on; nothing was sent on it yet.

        What stays here is told once more, since the client may have said `Forget` to a link that was dead already.
        """
        self.stop_waiting()
        self.link = link
        self.sent = self.taken = 0
        self.wanted.clear()  # the client asks again
        if self.stays:
            told = {each.seq for each in self.owed if each.outcome == Outcome.STAYS}
            self.owed.extendleft([self.keep(each) for seq, each in self.stays.items() if seq not in told])

    def hand_out(self) -> None:
        """Send all that is owed, a slice whenever the link has room, and before it what was written meanwhile."""
        link = self.link
        if link is None:
            return
        if self.withheld:
            link.send_all(self.withheld.take())
        if self.sent >= len(self.owed):
            return
        some = list(islice(self.owed, self.sent, self.sent + SLICE))
        self.sent += len(some)
        link.send_all(some)
        if self.sent < len(self.owed):
            link.when_room(lambda: self.hand_out() if self.link is link else None)

    def watch(self, link: Link) -> None:
        """All results there are, from the first, and all that will come go there once `begin` says so."""
        self.watchers[link] = Watching(deque(self.owed))

    def begin(self, link: Link) -> None:
        """Send them, a slice whenever the link has room; nothing where it does not watch any more."""
        watching = self.watchers.get(link)
        if watching is None:
            return
        watching.begun, rest = True, watching.rest
        link.send_all([rest.popleft() for _ in range(min(SLICE, len(rest)))])
        if rest:
            link.when_room(partial(self.begin, link))

    def stop_waiting(self) -> None:
        """The client is back, or the job is over, or has more to do."""
        if self.leaving is not None and self.leaving.active():
            self.leaving.cancel()
        self.leaving = None


class Desks:
    """All desks.  `end(job)` is called for a job whose client stays away for too long, or whose results were kept
    for `keep` seconds.
    """

    def __init__(self, clock: IReactorTime, longest: float, end: Callable[[int], object], keep: float = KEEP) -> None:
        self._clock, self._longest, self._end, self._keep = clock, longest, end, keep
        self._desks: dict[int, Desk] = {}

    def add(self, desk: Desk) -> None:
        """A job was opened, or was found in the journal."""
        self._desks[desk.job] = desk

    def get(self, job: int) -> Desk | None:
        """The desk of that job."""
        return self._desks.get(job)

    def count(self, owner: str) -> int:
        """How many jobs of that owner are open."""
        return sum(desk.spec.owner == owner for desk in self._desks.values())

    def pop(self, job: int) -> Desk | None:
        """The job is over."""
        desk = self._desks.pop(job, None)
        if desk is not None:
            desk.stop_waiting()
        return desk

    def left(self, job: int, link: Link) -> None:
        """The client's link has ended: wait for it, as long as the job asked for and this master allows."""
        desk = self._desks.get(job)
        if desk is not None and desk.link is link:
            desk.link = None
            desk.detaching.clear()
            if not desk.detached:
                self.wait(desk)

    def wait(self, desk: Desk) -> None:
        """The client is away."""
        patience = min(desk.spec.reconnect, self._longest)
        if patience <= 0:
            self._end(desk.job)
            return
        _log.info("the client of job {job} is away; its job waits {patience} s", job=desk.job, patience=patience)
        desk.leaving = self._clock.callLater(patience, self._end, desk.job)

    def expire(self, desk: Desk) -> None:
        """All tasks of a detached job have ended: its results are kept for so long, from now."""
        desk.stop_waiting()
        desk.leaving = self._clock.callLater(self._keep, self._expired, desk.job)

    def _expired(self, job: int) -> None:
        _log.info("the results of job {job} were kept for {keep} s: forgotten", job=job, keep=self._keep)
        self._end(job)

    def send(self, job: int, messages: Sequence[Message]) -> None:
        """To the client of a job, where it is present."""
        desk = self._desks.get(job)
        if desk is not None and desk.link is not None:
            desk.link.send_all(messages)
