"""The clients' side of the master: jobs are opened, resumed and closed here, and what is safe or owed is counted.

It decides nothing about tasks; what a client sent has been checked by its perspective.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Action, Board
from asyncluster.jobs.recovery import Recovered
from asyncluster.master.desks import KEEP, Desk, Desks
from asyncluster.master.ledger import Ledger
from asyncluster.master.spool import Spool
from asyncluster.model.job import JobSpec, JobView
from asyncluster.model.journal import StoredJob
from asyncluster.model.messages import Close, Kept, Message, Outcome, Output, Result, Value
from asyncluster.model.peer import Peer
from asyncluster.model.withheld import Keep, Withheld
from asyncluster.units import format_size
from asyncluster.wire.link import Link

_log = Logger()

MOST_DETACHING = 16
"""Requests to detach one job that may wait for its messages."""

MOST_WITHHELD = 256 * 1024 * 1024
"""Bytes of output that wait for the client of a job, where nobody says otherwise."""


class Reception:
    """All that clients want of the master.

    `act` obeys the board; longest: seconds a job waits for its client; keep: seconds for which results of a
    detached job are kept.
    """

    def __init__(
        self,
        clock: IReactorTime,
        board: Board,
        act: Callable[[Iterable[Action]], object],
        longest: float,
        keep: float = KEEP,
    ) -> None:
        self.ledger = Ledger()
        self.spool: Spool | None = None  # where output of detached jobs is kept, if anywhere
        self.keep: Keep = bytes  # takes over output of jobs whose client is away, and of each job so many bytes:
        self.withheld_limit = MOST_WITHHELD
        self.desks = Desks(clock, longest, self.close_job, keep)
        self._board, self._act = board, act
        self._board.owed = self.ended
        self._next_job = 1

    def begin_with(self, ledger: Ledger, next_job: int, jobs: Iterable[tuple[StoredJob, Recovered]]) -> None:
        """Before the start: the journal, and jobs as a killed master left them.

        Raises TypeError, ValueError for what is no job.
        """
        self.ledger, self._next_job = ledger, next_job
        refused: list[Action] = []
        for stored, recovered in jobs:
            spec = JobSpec(**(stored.spec | {"job": stored.job, "path": tuple(stored.spec.get("path", ()))}))
            refused += self._board.restore(spec, recovered)
            self.ledger.known(spec.job)
            desk = Desk(spec, received=recovered.received, opened=stored.opened)
            results = list(recovered.results.values())
            if recovered.detached:
                desk.detach()
            else:
                results = [desk.keep(each) if each.seq in recovered.stays else each for each in results]
            desk.deliver(results)
            self.desks.add(desk)
            if recovered.detached:
                self._expire_if_over(desk)
            else:
                self.desks.wait(desk)
        if refused:
            self._act(refused)

    # -- what clients do

    def open_job(self, spec: JobSpec, link: Link) -> tuple[int, Deferred[int]]:
        """A client opens a job; what becomes of it goes to that link.  Its number, given again when the journal has it.

        A client that goes before that never hears of the number: the job is to be closed.
        """
        spec = attrs.evolve(spec, job=self._next_job)
        self._next_job += 1
        now = time.time()
        self.desks.add(Desk(spec, link, opened=now))
        self._board.open(spec)
        fields = attrs.asdict(spec) | {"path": list(spec.path)}
        self.ledger.opened(StoredJob(spec.job, spec.owner, fields, now), spec.durable)
        opened: Deferred[int] = Deferred()
        self.ledger.safe(spec.job, lambda: opened.callback(spec.job))
        return spec.job, opened

    def resume_job(self, job: int, peer: Peer, link: Link) -> Deferred[int]:
        """The client of a job is back, on another link.  Fires with how many of its messages need not come again."""
        desk = self.desks.get(job)
        if desk is None or not (peer.admin or desk.spec.owner == peer.name):
            raise RefusedError(f"job {job} is not open here: it was closed, or its client was away for too long")
        if desk.link is not None:
            desk.link.abort()  # dead, TCP has just not told us yet
        desk.serve(link)
        self._expire_if_over(desk)
        answer: Deferred[int] = Deferred()

        def ready() -> None:
            answer.callback(desk.received)
            if desk.link is link:  # else the client is at another one meanwhile
                desk.hand_out()
                self.desks.send(job, self._board.steps_done(job))

        self.ledger.safe(job, ready)
        return answer

    def pause_job(self, job: int, peer: Peer, paused: bool) -> Deferred[None]:
        """Give out nothing of a job, or again.  Fires when the journal has it; raises RefusedError as `of`."""
        self.of(job, peer)
        what = "pauses" if paused else "resumes"
        _log.info("{who} {what} job {job}", who=peer.name, what=what, job=job)
        self.ledger.paused(job, paused)
        self._act(self._board.pause(job, paused))
        done: Deferred[None] = Deferred()
        self.ledger.safe(job, lambda: done.callback(None))
        return done

    def received(self, job: int, messages: list[Message]) -> None:
        """A client sent counted messages of an open job: before they are acted upon."""
        desk = self.desks.get(job)
        if desk is not None:
            desk.received += len(messages)
            self.ledger.received(job, messages)

    def acted(self, job: int) -> None:
        """What was `received` has been acted upon: once it is safe the client is told."""
        desk = self.desks.get(job)
        if desk is None:
            return
        self._detach_if_all_here(desk)
        if self.ledger.grown(job):
            now = self._board.as_recovered(job)
            now.received, now.results, now.detached = desk.received, desk.results(), desk.detached
            self.ledger.rewrite(job, now)
        link, kept = desk.link, Kept(job, desk.received)
        if link is not None:
            self.ledger.safe(job, partial(link.send, kept))

    def taken(self, job: int, count: int) -> None:
        """A client has the first `count` results of its link.  Raises WireError for a senseless number."""
        desk = self.desks.get(job)
        if desk is not None:
            seqs = desk.take(count)
            if seqs:
                self.ledger.fetched(job, seqs)

    def want(self, job: int, seqs: list[int]) -> None:
        """A client asks for values that stayed here; of those that are not here it is told so."""
        desk = self.desks.get(job)
        if desk is None or desk.link is None or desk.keeps:  # those that keep all have told of no value that stays
            return
        for seq in dict.fromkeys(seqs):
            if self._board.is_alive(job, seq):
                # It ended before, which was not written down when the master was killed: the value comes with its next
                # end, and a false one would get into the journal.
                desk.wanted.add(seq)
                continue
            result = desk.ended(seq)
            if result is not None and result.outcome == Outcome.VALUE:
                desk.link.send_all([Value(job, seq, result.payload)])
            else:
                text = f"the value of task {seq} is not here, or not any more"
                desk.deliver([Result(job, seq, 0, Outcome.REFUSED, text.encode())])

    @staticmethod
    def _send_wanted(desk: Desk, results: list[Result]) -> None:
        """Values that the client asked for before these tasks ended."""
        for result in results:
            if result.seq in desk.wanted:
                desk.wanted.discard(result.seq)
                if result.outcome == Outcome.STAYS and desk.link is not None:
                    desk.link.send_all([Value(result.job, result.seq, desk.stays[result.seq].payload)])

    def forget(self, job: int, seqs: list[int]) -> None:
        """A client does not want these values."""
        desk = self.desks.get(job)
        gone = [] if desk is None else desk.forget(seqs)
        if gone:
            self.ledger.fetched(job, gone)

    def ended(self, job: int, seq: int) -> Result | None:
        """How a task ended that its client may still speak of."""
        desk = self.desks.get(job)
        return None if desk is None else desk.ended(seq)

    def close_job(self, job: int) -> None:
        """The job is over.  A client that is there is told, so that it can go without cutting off its own word."""
        desk = self.desks.pop(job)
        if desk is None:
            return
        self.ledger.closed(job)
        self._act(self._board.close(job))
        if self.spool is not None:
            self.spool.drop(job)
        for link in [*desk.watchers, *([desk.link] if desk.link is not None else [])]:
            link.send(Close(job))

    # -- jobs that need no client

    def detach_job(self, job: int, count: int, peer: Peer) -> Deferred[None]:
        """The job is to go on without a client, once `count` of that one's messages are here; fires when that is safe.

        Raises RefusedError where there is no such job of that peer.
        """
        desk = self.of(job, peer)
        if len(desk.detaching) >= MOST_DETACHING:
            raise RefusedError(f"job {job} is being detached already")
        done: Deferred[None] = Deferred()
        desk.detaching.append((count, partial(done.callback, None)))
        self._detach_if_all_here(desk)
        return done

    def _detach_if_all_here(self, desk: Desk) -> None:
        due = [told for count, told in desk.detaching if count <= desk.received]
        if not due:
            return
        desk.detaching = [(count, told) for count, told in desk.detaching if count > desk.received]
        if not desk.detached:
            desk.detach()
            self.ledger.detached(desk.job)
            self._expire_if_over(desk)
        for told in due:
            self.ledger.safe(desk.job, told)

    def of(self, job: int, peer: Peer, detached: bool = False) -> Desk:
        """The desk of a job that this peer may steer.  Raises RefusedError, the same for others' and for none."""
        desk = self.desks.get(job)
        if desk is None or not (peer.admin or desk.spec.owner == peer.name):
            raise RefusedError(
                f"you have no job {job} here: it was forgotten, or never existed; `asyncluster job list` shows yours"
            )
        if detached and not desk.detached:
            raise RefusedError(f"job {job} is not detached: it belongs to the program that opened it, and ends with it")
        return desk

    def _expire_if_over(self, desk: Desk) -> None:
        if desk.detached and self._board.is_over(desk.job):
            self.desks.expire(desk)

    def output(self, message: Output) -> None:
        """A task wrote something."""
        desk = self.desks.get(message.job)
        if desk is None:
            return
        if desk.keeps and self.spool is not None:
            self.spool.write(message.job, message.seq, message.stream, message.payload)
        if desk.link is not None and not desk.withheld:
            desk.link.send_all([message])
        elif not desk.keeps:
            if desk.withheld is None:
                desk.withheld = Withheld(self.keep, self._no_room, self.withheld_limit)
            desk.withheld.add(message)

    def _no_room(self, disk: str) -> str:
        limit = f"the master keeps {format_size(self.withheld_limit)} of a job meanwhile, which `job output limit` says"
        return f"the job's client was away, and {disk or limit}"

    def written(self) -> Deferred[object]:
        """Fires when all output that is to be kept is on the disk."""
        return succeed(None) if self.spool is None else self.spool.stop()

    # -- what clients are told

    def tell(self, job: int, messages: list[Message]) -> None:
        """The board has this for the client of a job."""
        desk = self.desks.get(job)
        if desk is None:
            return
        results = [message for message in messages if type(message) is Result]
        if results:
            self.ledger.results(job, results)
            after = self._board.dependencies(job)
            if after is not None:
                results = [desk.keep(r) if after.stays(r.seq) and not desk.keeps else r for r in results]
            desk.deliver(results)
            if desk.wanted:
                self._send_wanted(desk, results)
            if desk.detached:
                self._expire_if_over(desk)
        if len(results) < len(messages):
            self.desks.send(job, [message for message in messages if type(message) is not Result])

    def jobs(self, peer: Peer) -> list[JobView]:
        """The jobs of that peer; all of them for an administrator."""
        views = [view for view in self._board.job_views() if peer.admin or view.owner == peer.name]
        return [self.view(desk, view) for view in views if (desk := self.desks.get(view.job)) is not None]

    @staticmethod
    def view(desk: Desk, view: JobView) -> JobView:
        """The board's line of a job, with what only its desk knows."""
        view = attrs.evolve(view, detached=desk.detached, opened=desk.opened)
        if not desk.keeps:
            return view
        # these survive a restart, which the board's own sums do not
        return attrs.evolve(
            view,
            done=max(view.done, len(desk.owed) - len(desk.failed)),
            failed=max(view.failed, len(desk.failed) - desk.cancelled),
            cancelled=max(view.cancelled, desk.cancelled),
        )
