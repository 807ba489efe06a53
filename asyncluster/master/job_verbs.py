"""Verbs about jobs by their number, which need not have been opened on the link that asks.

Only the owner and administrators are answered; to anybody else there is no such job.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Any, Final

import attrs
import msgspec
from twisted.internet.defer import Deferred

from asyncluster.errors import RefusedError
from asyncluster.master.desks import Desk
from asyncluster.master.service import Master
from asyncluster.master.spool import Pieces
from asyncluster.model.messages import Result
from asyncluster.wire.link import Link

UNKNOWN: Final = object()
"""The answer to a verb that is none of these."""

MOST_RANGES = 4096
"""Ranges of task numbers in one answer."""

MOST_ENDS = 1000
"""Ends of tasks in one answer; and their payloads are cut off where they come to more bytes than this:"""
ENDS_BYTES = 256 * 1024
LONGEST_END = 16 * 1024
MOST_NEEDS = 20
MOST_CANCELLED = 100_000
SAFE_SECONDS = 5.0
"""How long one who cancels waits until it is written down."""


@attrs.define(eq=False)
class JobVerbs:
    """What one link may ask about jobs."""

    master: Master
    link: Link
    _watched: list[Desk] = attrs.field(factory=list)
    _ranges: dict[int, Ranges] = attrs.field(factory=dict)  # of jobs of which not all pages were asked for

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """The answer, or UNKNOWN.  Raises RefusedError."""
        match name, args:
            case "detach", (int() as job, int() as count):
                return self.master.reception.detach_job(job, count, self.link.peer)
            case "attach", (int() as job,):
                return self._attach(job)
            case "job_tasks", (int() as job, int() as after):
                return self._page(self._desk(job), after)
            case "job_info", (int() as job,):
                return self._info(self._desk(job))
            case "job_failed", (int() as job, int() as start):
                return _failed(self._desk(job).failed, start)
            case "cancel_job", (int() as job, list() as seqs):
                return self._cancel(self._desk(job), seqs)
            case "drop_tasks", (int() as job, list() as seqs):
                return self._drop(self._desk(job), seqs)
            case "forget_job", (int() as job,):
                self._forget(job)
                return None
            case "job_output", (int() as job, int() as seq, int() as stream, int() as file, int() as offset):
                return self._output(self._desk(job), seq, stream, (file, offset))
            case "pause", (int() as job,):
                return self.master.reception.pause_job(job, self.link.peer, True)
            case "unpause", (int() as job,):
                return self.master.reception.pause_job(job, self.link.peer, False)
            case "explain", (int() as job, int() as seq):
                return self._explain(job, seq)
        return UNKNOWN

    def lost(self) -> None:
        """The link has ended."""
        for desk in self._watched:
            desk.watchers.discard(self.link)

    def _desk(self, job: int) -> Desk:
        return self.master.reception.of(job, self.link.peer)

    def _attach(self, job: int) -> dict[str, object]:
        desk = self.master.reception.of(job, self.link.peer, detached=True)
        if self.link in desk.watchers:
            raise RefusedError(f"this connection is attached to job {job} already")
        theirs = {"owner": desk.spec.owner, "yours": desk.spec.owner == self.link.peer.name}
        answer = {**self._page(desk, -1), **self.master.terms(), **theirs, "kept": 0}
        desk.watch(self.link)
        self._watched.append(desk)
        return answer

    def _page(self, desk: Desk, after: int) -> dict[str, object]:
        """Which tasks above that number there are: those that have not ended, and those whose results are here."""
        known = self._ranges.get(desk.job) if after >= 0 else None
        if known is None:
            numbers = self.master.board.alive_numbers(desk.job)
            numbers.update(result.seq for result in desk.owed)
            known = Ranges.of(numbers)
        found, more = known.page(after)
        if more:  # for the next pages; what comes meanwhile is for whoever asks from the beginning
            self._ranges[desk.job] = known
        else:
            self._ranges.pop(desk.job, None)
        return {"tasks": found, "more": more}

    def _info(self, desk: Desk) -> dict[str, object]:
        view = self.master.board.job_view(desk.job)
        if view is None:
            raise RefusedError(f"job {desk.job} is being closed")
        spec = desk.spec
        spool = self.master.reception.spool
        kept, dropped = spool.kept(desk.job) if spool is not None else (0, 0)
        asked = ("niceness", "priority", "crash_limit", "python", "folder", "durable")
        return {
            **attrs.asdict(self.master.reception.view(desk, view)),
            **{name: getattr(spec, name) for name in asked},
            "needs": [msgspec.structs.asdict(need) for need in self.master.board.needs(desk.job)[:MOST_NEEDS]],
            "output": kept,
            "output_dropped": dropped,
            "yours": spec.owner == self.link.peer.name,
        }

    def _cancel(self, desk: Desk, seqs: list[Any]) -> Deferred[int]:
        """Cancel these tasks, or all where none is named, and end what runs of them; how many were cancelled.

        Fires when that is safe; where the disk is full it is told without.
        """
        _check_numbers("cancel_job", seqs)
        for seq in seqs:
            self._check_task(desk.job, seq)
        count = self._cancelled(desk.job, seqs or None, cut=True)
        safe: Deferred[int] = Deferred()
        self.master.reception.ledger.safe(desk.job, partial(safe.callback, count))
        return safe.addTimeout(SAFE_SECONDS, self.master.reactor, lambda *_: count)

    def _drop(self, desk: Desk, seqs: list[Any]) -> int:
        """These are wanted by nobody, as a client's `Cancel` says: what runs goes on; how many were cancelled."""
        _check_numbers("drop_tasks", seqs)
        return self._cancelled(desk.job, seqs, cut=False)

    def _cancelled(self, job: int, seqs: list[int] | None, cut: bool) -> int:
        before = self.master.board.counters.cancelled
        self.master.act(self.master.board.cancel(job, seqs, cut))
        return self.master.board.counters.cancelled - before

    def _explain(self, job: int, seq: int) -> dict[str, object]:
        told = self.master.explain(job, seq, self.link.peer)
        if told.state == "unknown":  # it is over and told; or there is none
            self._check_task(job, seq)
        return attrs.asdict(told)

    def _check_task(self, job: int, seq: int) -> None:
        """Raises RefusedError for a task that never was."""
        highest = self.master.board.highest(job)
        if 0 <= seq <= highest:
            return
        there = {-1: "it has none", 0: "its only task is 0"}.get(highest, f"its tasks are 0 to {highest}")
        raise RefusedError(f"job {job} has no task {seq}: {there}")

    def _forget(self, job: int) -> None:
        desk = self._desk(job)
        if not desk.detached:
            raise RefusedError(
                f"job {job} is not detached: it ends with the program that opened it; "
                f"`asyncluster job cancel {job}` cancels its tasks"
            )
        desk.watchers.discard(self.link)  # it is told by the answer
        self.master.reception.close_job(job)

    def _output(self, desk: Desk, seq: int, stream: int, position: tuple[int, int]) -> Deferred[dict[str, object]]:
        spool = self.master.reception.spool
        if spool is None or not desk.keeps:
            raise RefusedError(f"the output of job {desk.job} is not kept: it went to the program that opened it")
        if not (-1 <= seq < 2**63 and stream in (0, 1, 2) and all(0 <= each < 2**62 for each in position)):
            raise RefusedError("job_output takes a task's number or -1, a stream or 0, and a position that it gave")
        if seq >= 0:
            self._check_task(desk.job, seq)
        return spool.read(desk.job, seq, stream, position).addCallback(_words)


def _check_numbers(verb: str, seqs: list[Any]) -> None:
    if len(seqs) > MOST_CANCELLED or not all(isinstance(seq, int) for seq in seqs):
        raise RefusedError(f"{verb} takes at most {MOST_CANCELLED:,} numbers of tasks")


def _words(found: Pieces) -> dict[str, object]:
    return {"pieces": found.pieces, "position": found.position, "more": found.more}


def _failed(failed: list[Result], start: int) -> dict[str, object]:
    """Tasks that gave no value, from the so-manyth on: (number, outcome, payload), where that is short."""
    ends: list[tuple[int, int, bytes]] = []
    size = 0
    for result in failed[max(0, start) : max(0, start) + MOST_ENDS]:
        payload = result.payload if len(result.payload) <= LONGEST_END else b""
        size += len(payload)
        if size > ENDS_BYTES:
            break
        ends.append((result.seq, int(result.outcome), payload))  # an enumeration is no basic type
    return {"ends": ends, "count": len(failed)}


@attrs.frozen
class Ranges:
    """Numbers of tasks, as the first and the last of each unbroken run."""

    firsts: list[int]
    lasts: list[int]

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Ranges:
        """Of these numbers, in any order."""
        line = sorted(numbers)
        firsts = [high for low, high in pairwise(line) if high - low != 1]
        lasts = [low for low, high in pairwise(line) if high - low != 1]
        return cls(line[:1] + firsts, lasts + line[-1:])

    def page(self, after: int) -> tuple[list[list[int]], bool]:
        """Those above a number as [[first, last], ...], and whether there are more than fit into one answer."""
        begin = bisect_right(self.lasts, after)
        end = begin + MOST_RANGES
        found = [list(pair) for pair in zip(self.firsts[begin:end], self.lasts[begin:end], strict=True)]
        if found:
            found[0][0] = max(found[0][0], after + 1)
        return found, end < len(self.lasts)
