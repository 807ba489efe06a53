"""The one core under all faces: a job at the master, over one link, on one reactor.

Owns the link, hands calls over in the order they were put in, matches results, answers steps.  The book itself is
`calls.py`.  Everything here runs in the reactor's thread, save what says otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from asyncluster.client.calls import Calls, CodeTable, Settled, Sink
from asyncluster.client.outcomes import CANCELLED, ERROR
from asyncluster.client.output import Lines, Printer
from asyncluster.client.terms import SessionLink, Terms
from asyncluster.errors import AsynClusterError, LinkLostError, RefusedError, StepFailedError
from asyncluster.model.messages import Beat, Close, Message, Output, Result, Started, Step, StepDone, StepKind

_log = Logger()

_TURN = 2000
"""Calls handed to the link in one turn of the reactor."""


@attrs.define
class _StepWait:
    done: Deferred[None]
    errors: list[str] = attrs.Factory(list)


def settle_each(settled: list[Settled]) -> None:
    """The plain way to tell sinks their end."""
    for sink, kind, value, wall in settled:
        sink.settle(kind, value, wall)


class Session:
    """A job at the master.  Made by `open_session`.

    hand_over: runs a function in the reactor's thread, from any thread; settle: tells a list of sinks
    their end; lock: guards what several threads number.  `terms` is None where the master knows no heartbeat.
    """

    def __init__(
        self,
        link: SessionLink,
        job: int,
        hand_over: Callable[[Callable[[], None]], object],
        settle: Callable[[list[Settled]], None],
        printer: Printer | None,
        lock: Any,
    ) -> None:
        self.link = link
        self.job = job
        self.ended: AsynClusterError | None = None  # why nothing more can be handed over
        self.slots = 1
        self.finished = 0  # results so far
        self.terms: Terms | None = None
        self._hand_over = hand_over
        self._settle = settle
        self._lines = Lines(printer)
        self._awake = False
        self._steps: dict[int, _StepWait] = {}
        self._next_step = itertools.count()
        self._idle_waits: list[Deferred[None]] = []
        self._end_waits: list[Deferred[None]] = []
        self._end_listeners: list[Callable[[AsynClusterError], object]] = []
        self._silence = ""
        self._down = False
        self._holds = 0
        names: dict[int, str] = {}
        self.calls = Calls(job, names)
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
        self._awake = False  # before looking: who puts after the last look wakes us again
        if self.ended is not None:
            self._fail_all(self.ended)
            return
        messages = self.calls.take(_TURN)
        if messages:
            self.link.send_now(messages)
        if self.calls.inbox and self.calls.room > 0:
            self.wake()
        elif self._idle_waits:
            self._tell_idle()

    def drop(self, sinks: Iterable[Sink]) -> None:
        """These calls are no longer wanted."""
        if self.ended is None:
            messages = self.calls.drop(sinks)
            if messages:
                self.link.send_all(messages)
            self._room_again()

    def cancel_all(self) -> None:
        """Every call that has not ended is cancelled."""
        seqs = list(self.calls.out.values())
        messages = self.calls.drop(seqs) if self.ended is None else []
        waiting = self.calls.everything()
        if messages:
            self.link.send_all(messages)
        self._settle([(sink, CANCELLED, None, 0) for sink in [*seqs, *waiting]])
        self._room_again()

    def step(self, kind: StepKind, payload: bytes) -> Deferred[None]:
        """Prepare every present and future node; fires when all present ones have, fails with StepFailedError."""
        done: Deferred[None] = Deferred()
        if self.ended is not None:
            done.errback(self.ended)
            return done
        number = next(self._next_step)
        self._steps[number] = _StepWait(done)
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
        self.cancel_all()
        self.ended = why
        self.link.send_all([Close(self.job)])
        self.link.close()
        return self.when_ended()

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

    def refreshed_slots(self) -> Deferred[int]:
        """Ask how many tasks the cluster runs at a time."""

        def counted(nodes: list[dict[str, Any]]) -> int:
            self.slots = max(1, sum(int(node.get("slots", 0)) for node in nodes))
            return self.slots

        return self.link.call("nodes").addCallback(counted)

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
            self._settle(self.calls.finish(results))
            self._room_again()

    def _other(self, message: Message) -> None:
        if isinstance(message, Output):
            self._started(message.seq)
            try:
                self._lines.feed(message)
            except Exception:
                _log.failure("the function given as output= failed")
        elif isinstance(message, Started):
            self._started(message.seq)
        elif isinstance(message, StepDone):
            self._step_done(message)
        elif not isinstance(message, Beat):
            _log.warn("the master sent something unexpected: {kind}", kind=type(message).__name__)

    def _started(self, seq: int) -> None:
        """Some sinks want to know that their task is at work: futures do."""
        started = getattr(self.calls.out.get(seq), "started", None)
        if started is not None:
            started()

    def _step_done(self, message: StepDone) -> None:
        wait = self._steps.get(message.step)
        if message.node and message.error:
            text = f"node {message.node}: {message.error}"
            if wait is None:  # a node that came later
                _log.warn("a preparation of the job failed on {text}", text=text)
            else:
                wait.errors.append(text)
        if wait is not None and not message.node:
            del self._steps[message.step]
            if message.error:
                wait.errors.append(message.error)
            if wait.errors:
                wait.done.errback(StepFailedError("\n".join(wait.errors)))
            else:
                wait.done.callback(None)

    def silent(self) -> None:
        """The master gave no sign of life for too long: give the link up, which ends the session."""
        self._silence = "the master was silent for too long"
        self.link.abort()

    def lost(self, reason: str) -> None:
        """The link has ended.  A later release reconnects here instead of failing everything."""
        if self.ended is None:
            reason = self._silence or reason
            said = f": {reason}" if reason else ""
            self.ended = LinkLostError(
                f"the connection to the master ended{said}; tasks under way may not have been done"
            )
        self._down = True
        for listener in self._end_listeners:
            listener(self.ended)
        self._fail_all(self.ended)
        waits, self._end_waits = self._end_waits, []
        for wait in waits:
            wait.callback(None)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """The master asks nothing of a client yet."""
        raise RefusedError(f"a client does not know {name!r}")

    # -- inside

    @property
    def _idle(self) -> bool:
        return self.calls.idle and (self._holds == 0 or self.ended is not None)

    def _room_again(self) -> None:
        if self.calls.inbox:
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
        steps, self._steps = self._steps, {}
        for wait in steps.values():
            wait.done.errback(why)
        self._tell_idle()
