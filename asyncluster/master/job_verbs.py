"""Verbs about jobs by their number, which need not have been opened on the link that asks.

Only the owner and administrators are answered; to anybody else there is no such job.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed

from asyncluster.errors import RefusedError
from asyncluster.master.desks import Desk
from asyncluster.master.service import Master
from asyncluster.master.spool import Pieces
from asyncluster.master.turns import in_turns, ranges_of, sweep
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
MOST_CANCELLED = 100_000
SAFE_SECONDS = 5.0
"""How long one who cancels waits until it is written down."""


@attrs.define(eq=False)
class JobVerbs:
    """What one link may ask about jobs."""

    master: Master
    link: Link
    _watched: list[Desk] = attrs.field(factory=list)
    _ranges: tuple[int, Ranges] | None = None  # of the last job of which not all pages were asked for

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
                return attrs.asdict(self.master.explain(job, seq, self.link.peer))
        return UNKNOWN

    def lost(self) -> None:
        """The link has ended."""
        for desk in self._watched:
            desk.watchers.pop(self.link, None)

    def _desk(self, job: int) -> Desk:
        return self.master.reception.of(job, self.link.peer)

    def _attach(self, job: int) -> Deferred[dict[str, object]]:
        desk = self.master.reception.of(job, self.link.peer, detached=True)
        if self.link in desk.watchers:
            raise RefusedError(f"this connection is attached to job {job} already")
        theirs = {"owner": desk.spec.owner, "yours": desk.spec.owner == self.link.peer.name}
        desk.watch(self.link)
        self._watched.append(desk)

        def found(page: dict[str, object]) -> dict[str, object]:
            desk.begin(self.link)  # what a link queues goes out in a later turn: behind this answer
            return {**page, **self.master.terms(), **theirs, "kept": 0}

        return self._page(desk, -1).addCallback(found)

    def _page(self, desk: Desk, after: int) -> Deferred[dict[str, object]]:
        """Which tasks above that number there are: those that have not ended, and those whose results are here."""
        if after >= 0 and self._ranges is not None and self._ranges[0] == desk.job:
            return succeed(self._page_of(desk, self._ranges[1], after))
        numbers = self.master.board.alive_numbers(desk.job)
        numbers += [result.seq for result in desk.owed]
        gathered = in_turns(self.master.reactor, Ranges.gather(numbers))
        return gathered.addCallback(lambda known: self._page_of(self._desk(desk.job), known, after))

    def _page_of(self, desk: Desk, known: Ranges, after: int) -> dict[str, object]:
        found, more = known.page(after)
        # for the next pages; what comes meanwhile is for whoever asks from the beginning
        self._ranges = (desk.job, known) if more else None
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
            "output": kept,
            "output_dropped": dropped,
            "yours": spec.owner == self.link.peer.name,
        }

    def _cancel(self, desk: Desk, seqs: list[Any]) -> Deferred[int]:
        """Cancel these tasks, or all where none is named, and end what runs of them; how many were cancelled.

        Fires when that is safe; where the disk is full it is told without.
        """
        numbers = _numbers("cancel_job", seqs)
        for seq in numbers:
            self._check_task(desk.job, seq)

        def written(count: int) -> Deferred[int]:
            safe: Deferred[int] = Deferred()
            self.master.reception.ledger.safe(desk.job, partial(safe.callback, count))
            return safe.addTimeout(SAFE_SECONDS, self.master.reactor, lambda *_: count)

        return self._cancelled(desk.job, numbers or None, cut=True).addCallback(written)

    def _drop(self, desk: Desk, seqs: list[Any]) -> Deferred[int]:
        """These are wanted by nobody, as a client's `Cancel` says: what runs goes on; how many were cancelled."""
        return self._cancelled(desk.job, _numbers("drop_tasks", seqs), cut=False)

    def _cancelled(self, job: int, seqs: list[int] | None, cut: bool) -> Deferred[int]:
        master = self.master
        return in_turns(master.reactor, sweep(master.board, master.act, job, seqs, cut))

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
        self._ranges = None
        desk.watchers.pop(self.link, None)  # it is told by the answer
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


def _numbers(verb: str, seqs: list[Any]) -> list[int]:
    """Each once."""
    if len(seqs) > MOST_CANCELLED or not all(isinstance(seq, int) for seq in seqs):
        raise RefusedError(f"{verb} takes at most {MOST_CANCELLED:,} numbers of tasks")
    return list(dict.fromkeys(seqs))


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
    def gather(cls, numbers: list[int]) -> Generator[None, None, Ranges]:
        """Of these numbers, in any order; a piece at a time, see `in_turns`."""
        return cls(*(yield from ranges_of(numbers)))

    def page(self, after: int) -> tuple[list[list[int]], bool]:
        """Those above a number as [[first, last], ...], and whether there are more than fit into one answer."""
        begin = bisect_right(self.lasts, after)
        end = begin + MOST_RANGES
        found = [list(pair) for pair in zip(self.firsts[begin:end], self.lasts[begin:end], strict=True)]
        if found:
            found[0][0] = max(found[0][0], after + 1)
        return found, end < len(self.lasts)
