"""The one core under all faces: a job at the master, over one link, on one reactor.

Owns the link, hands calls over in the order they were put in, matches results.  The book itself is `calls.py`, that of
what was sent `unkept.py`, a lost link `comeback.py`'s business.  For the reactor's thread, save what says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from asyncluster.client.calls import Calls, Settled, Sink
from asyncluster.client.codes import CodeTable
from asyncluster.client.early import Early
from asyncluster.client.outcomes import CANCELLED, ERROR
from asyncluster.client.output import Lines, Printer
from asyncluster.client.questions import Questions
from asyncluster.client.steps import Steps
from asyncluster.client.terms import Return, SessionLink, Terms
from asyncluster.client.unkept import Unkept
from asyncluster.errors import AsynClusterError, JobClosedError, LinkLostError, RefusedError
from asyncluster.model.messages import (
    Beat,
    Close,
    Kept,
    Message,
    Output,
    Result,
    Started,
    Step,
    StepDone,
    StepKind,
    Value,
)

_log = Logger()

_TURN = 2000
"""Calls handed to the link in one turn of the reactor."""

MANY, LARGE = 256, 64 * 1024
"""The master is told at once that so many results, or bytes of them, are here; of fewer at the next occasion."""


class Session:
    """A job at the master.  Made by `open_session`.

    hand_over: runs a function in the reactor's thread, from any thread; settle: tells a list of sinks
    their end; lock: guards what several threads number; realm: names the master's book, "" where the master cannot
    resume a job.  `terms` is None where the master knows no heartbeat.  A lost link ends the session, save after
    `come_back_with`.
    """

    def __init__(
        self,
        link: SessionLink,
        job: int,
        hand_over: Callable[[Callable[[], None]], object],
        settle: Callable[[list[Settled]], None],
        printer: Printer | None,
        lock: Any,
        realm: str = "",
    ) -> None:
        self.link = link
        self.job = job
        self.realm = realm
        self.away = False  # the link was lost and may come back
        self.ended: AsynClusterError | None = None  # why nothing more can be handed over
        self.slots = 1
        self.finished = 0  # results so far
        self.sent = 0  # counted messages: Code, Step, Task, Cancel
        self.visiting = False  # the job is none of ours: it is left, not closed
        self.again: tuple[str, tuple[object, ...]] = ("come_back", (job,))  # what is asked of a master that is back
        self.terms: Terms | None = None
        self._hand_over = hand_over
        self._settle = settle
        self._lines = Lines(printer)
        self._awake = False
        self._steps = Steps()
        self._comeback: Return | None = None
        self._unkept: Unkept | None = None
        self._came = self._told = 0  # Results on this link, and how many of them the master knows to be here
        self._questions = Questions()
        self._link_listeners: list[Callable[[bool], object]] = []
        self._idle_waits: list[Deferred[None]] = []
        self._end_waits: list[Deferred[None]] = []
        self._end_listeners: list[Callable[[AsynClusterError], object]] = []
        self._silence = ""
        self._down = False
        self._holds = 0
        names: dict[int, str] = {}
        self.calls = Calls(job, names)
        self.calls.stays.wake = self.wake
        self.codes = CodeTable(job, self.calls.inbox.append, lock)
        self.calls.names = self.codes.names

    # -- from any thread

    def wake(self) -> None:
        """Something was put into the inbox."""
        if not self._awake:
            self._awake = True
            self._hand_over(self._drain)

    # -- the way out

    def _drain(self) -> None:
        if self.away:  # still awake, so that nobody wakes us
            return
        self._awake = False  # before looking: who puts after the last look wakes us again
        if self.ended is not None:
            self._fail_all(self.ended)
            return
        messages = self.calls.take(_TURN)
        if messages:
            self.sent += len(messages)
            if self._unkept is not None:
                self._unkept.add(messages)
            self.link.send_now([*messages, *self._thanks()])
        if self.calls.failed:
            failed, self.calls.failed = self.calls.failed, {}
            self._tell(list(failed.values()))
        stays = self.calls.stays.messages()  # after the calls that depend on those values
        if stays:
            self.link.send_all(stays)
        if self.calls.inbox and self.calls.room > 0:
            self.wake()
        elif self._idle_waits:
            self._tell_idle()

    def drop(self, sinks: Iterable[Sink]) -> None:
        """These calls are no longer wanted."""
        if self.ended is None:
            self._send(self.calls.drop(sinks))
            self._room_again()

    def _send(self, messages: list[Message]) -> None:
        self.sent += len(messages)
        if self._unkept is not None:
            self._unkept.add(messages)
        if messages:
            self.link.send_all(messages)  # goes nowhere while it is away; what is kept is sent when it is back

    def cancel_all(self) -> None:
        """Every call that has not ended is cancelled."""
        seqs = list(self.calls.out.values())
        messages = self.calls.drop(seqs) if self.ended is None else []
        waiting = self.calls.everything()
        self._send(messages)
        self._settle([(sink, CANCELLED, None, 0) for sink in [*seqs, *waiting]])
        self._room_again()

    def step(self, kind: StepKind, payload: bytes) -> Deferred[None]:
        """Prepare every present and future node; fires when all present ones have, fails with StepFailedError."""
        if self.ended is not None:
            return fail(self.ended)
        number, done = self._steps.begin()
        self.calls.inbox.append((None, 0, Step(self.job, number, int(kind), payload)))
        self.wake()
        return done

    def hold(self, change: int) -> None:
        """Somebody (+1, later -1) will put in more: the session is not idle."""
        self._holds += change
        self._tell_idle()

    def when_idle(self) -> Deferred[None]:
        """Fires when no call is waiting or out."""
        if self._idle:
            return succeed(None)
        wait: Deferred[None] = Deferred()
        self._idle_waits.append(wait)
        if self.calls.inbox:  # code whose call could not be pickled waits there unannounced
            self.wake()
        return wait

    def close(self, why: AsynClusterError) -> Deferred[None]:
        """End the job; calls that have not ended are cancelled.  Fires when the link is down."""
        if self.ended is not None:
            return self.when_ended()
        if self.visiting:
            return self.leave(why)
        self.cancel_all()
        self.calls.stays.end(why)
        if self.away:  # a master that comes back finds out by itself that nobody asks for the job
            if self._comeback is not None:
                self._comeback.stop()
            self.end(why)
        else:
            self.ended = why
            self.link.send_all([Close(self.job)])  # its answer closes the link: gone before, we might cut our own word
        return self.when_ended()

    def leave(self, why: AsynClusterError) -> Deferred[None]:
        """Go, and let the job go on; whoever waits for a call is told why.  Fires when the link is down."""
        self.ended = self.ended or why
        if self.away:
            if self._comeback is not None:
                self._comeback.stop()
            self.end(why)
        else:
            self.link.close()
        return self.when_ended()

    @property
    def held(self) -> bool:
        """Whether somebody will put in more."""
        return self._holds > 0

    def when_ended(self) -> Deferred[None]:
        """Fires when the link is down."""
        if self._down:
            return succeed(None)
        wait: Deferred[None] = Deferred()
        self._end_waits.append(wait)
        return wait

    def on_end(self, listener: Callable[[AsynClusterError], object]) -> None:
        """Call with the reason when nothing more can be handed over."""
        self._end_listeners.append(listener)

    def come_back_with(self, comeback: Return) -> None:
        """When the link is lost this brings a new one; what is sent from here on is kept for it."""
        self._comeback = comeback
        self._unkept = Unkept()

    def on_link(self, listener: Callable[[bool], object]) -> None:
        """Call with True now and whenever the link is back, with False when it is lost or has ended."""
        self._link_listeners.append(listener)
        listener(True)

    def ask(self, verb: str, *args: object) -> Deferred[Any]:
        """Ask the master; while the link is away, when it is back."""
        return self._questions.keep(verb, args) if self.away else self.link.call(verb, *args)

    def refreshed_slots(self) -> Deferred[int]:
        """Ask how many tasks the cluster runs at a time."""

        def counted(nodes: list[dict[str, Any]]) -> int:
            self.slots = max(1, sum(int(node.get("slots", 0)) for node in nodes))
            return self.slots

        return self.ask("nodes").addCallback(counted)

    # -- the way in (LinkHandler)

    def messages(self, messages: list[Message]) -> None:
        """A batch has come."""
        results: list[Result] = []
        partial = self._lines.partial
        for message in messages:
            if type(message) is Result:
                if partial:
                    self._lines.finish(message.seq)
                results.append(message)
            else:
                self._other(message)
        if results:
            self.finished += len(results)
            settled = self.calls.finish(results)
            self._came += len(results)
            if self._came - self._told >= MANY or sum(len(result.payload) for result in results) > LARGE:
                self.link.send_all(self._thanks())
            self._tell(settled)

    def _tell(self, settled: list[Settled]) -> None:
        """These have ended.  What is handed over meanwhile waits: it may depend on one that knows no end yet."""
        awake, self._awake = self._awake, True
        try:
            self._settle(settled)
        finally:
            self._awake = awake or self.away
        self._room_again()

    def _other(self, message: Message) -> None:
        if isinstance(message, Close):
            self._closed_there()
        elif self.ended is not None:
            pass  # on its way to us when we closed the job
        elif isinstance(message, Kept):
            if self._unkept is not None:
                self._unkept.keep(message.count)
        elif isinstance(message, Output):
            self._started(message.seq)
            try:
                self._lines.feed(message)
            except Exception:
                _log.failure("the function given as output= failed")
        elif isinstance(message, Value):
            self.calls.stays.came(message.seq, message.payload)
        elif isinstance(message, Started):
            self._started(message.seq)
        elif isinstance(message, StepDone):
            self._steps.feed(message)
        elif isinstance(message, Beat):
            self.link.send_all(self._thanks())
        else:
            _log.warn("the master sent something unexpected: {kind}", kind=type(message).__name__)

    def _closed_there(self) -> None:
        if self.ended is None:
            self.ended = JobClosedError(f"job {self.job} was closed at the master")
        self.link.close()

    def _thanks(self) -> list[Message]:
        """What tells the master that it need not keep results for us; goes with what is sent anyway."""
        if not self.realm or self._came == self._told:
            return []
        self._told = self._came
        return [Kept(self.job, self._came)]

    def _started(self, seq: int) -> None:
        """Some sinks want to know that their task is at work: futures do."""
        started = getattr(self.calls.out.get(seq), "started", None)
        if started is not None:
            started()

    def silent(self) -> None:
        """The master gave no sign of life for too long: give the link up."""
        self._silence = "the master was silent for too long"
        self.link.abort()

    def lost(self, reason: str) -> None:
        """The link has ended."""
        reason, self._silence = self._silence or reason, ""
        if self.ended is None and self._comeback is not None:
            self.away = self._awake = True
            self._tell_link(False)
            self._comeback.begin(reason)
            return
        said = f": {reason}" if reason else ""
        self.end(LinkLostError(f"the connection to the master ended{said}; tasks under way may not have been done"))

    def resumed(self, link: SessionLink, early: Early, kept: int, terms: Terms) -> None:
        """A new link has come, to a master that has the first `kept` messages of the job.

        Raises LinkLostError, before anything is changed, where the two do not fit.
        """
        rest = self._unkept.resume(kept) if self._unkept is not None else []
        self.link, self.terms, self._came, self._told = link, terms, 0, 0
        self.away = self._awake = False
        if rest:
            link.send_all(rest)  # before anybody can be told anything and hand over more
        self._tell_link(True)
        self.calls.stays.resume()
        self._questions.ask(link)
        early.hand_over(link, self)
        self.wake()

    def end(self, why: AsynClusterError) -> None:
        """There is no link any more and there will be none."""
        self.ended = self.ended or why
        self._down = True
        self.away = self._awake = False  # after `ended`: who puts from here on wakes us, and is told
        self._tell_link(False)
        for listener in self._end_listeners:
            listener(self.ended)
        self._fail_all(self.ended)
        waits, self._end_waits = self._end_waits, []
        for wait in waits:
            wait.callback(None)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """The master's last word, `cut(reason)`: whose account it is may not come again."""
        if name == "cut" and args:
            return self.leave(RefusedError(str(args[0]))) and None
        raise RefusedError(f"a client does not know {name!r}")

    # -- inside

    @property
    def _idle(self) -> bool:
        return self.calls.idle and (self._holds == 0 or self.ended is not None)

    def _room_again(self) -> None:
        if self.calls.inbox or self.calls.stays.pending:
            self.wake()
        elif self._idle_waits:
            self._tell_idle()

    def _tell_idle(self) -> None:
        if self._idle:
            waits, self._idle_waits = self._idle_waits, []
            for wait in waits:
                wait.callback(None)

    def _fail_all(self, why: AsynClusterError) -> None:
        # one exception each: a raised one gathers the traceback of whoever raised it
        self._settle([(sink, ERROR, type(why)(*why.args), 0) for sink in self.calls.everything()])
        self._steps.fail(why)
        self.calls.stays.end(why)
        self._questions.fail(why)
        self._tell_idle()

    def _tell_link(self, up: bool) -> None:
        for listener in self._link_listeners:
            listener(up)
