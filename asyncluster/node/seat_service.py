"""The seat of this node as a service: the local socket, the link to the master, and the workers that make room.

Obeys `seat` and `yielding`, which decide.  A password goes from the socket into one call of the master, and is kept
nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError, LinkLostError
from asyncluster.model.seat import AskStatus, Begin, Granted, Refused, Request, SeatStatus
from asyncluster.node.seat import Action, Begins, Ends, Say, Seat, ToMaster
from asyncluster.node.seat_socket import SeatConnection, set_rights
from asyncluster.node.yielding import Step, Yielding
from asyncluster.wire.doors import remove_socket
from asyncluster.wire.link import Link

_log = Logger()

TICK = 30.0
"""Seconds between two words about the time left."""


@attrs.define(eq=False)
class SeatKeeper(Service):
    """may_begin: why a user id may not begin a session for a name; do: has the workers do it."""

    clock: IReactorTime
    seat: Seat
    yielding: Yielding
    may_begin: Callable[[int, str], str]
    do: Callable[[Step], object]
    path: str = ""  # of the socket, which goes with us
    _program: SeatConnection | None = None  # that asks, or has the session
    _link: Link | None = None
    _complained: str = ""  # what the master said last, of what it did not take
    _timer: IDelayedCall | None = None

    def startService(self) -> None:
        """The socket is listened at."""
        super().startService()
        if self.path:
            set_rights(self.path, os.geteuid())

    def stopService(self) -> None:
        """The session ends with the daemon."""
        super().stopService()
        self._obey(self.seat.stop(self.clock.seconds()))
        self._stop_timer()
        if self.path:
            remove_socket(self.path)

    # -- programs at the seat

    def asked(self, who: SeatConnection, request: Request) -> None:
        """One of them wants something."""
        if isinstance(request, AskStatus):
            who.tell(self.status())
        elif isinstance(request, Begin):
            self._begin(who, request)
        elif who is self._program:
            self._obey(self.seat.gone(self.clock.seconds()))

    def status(self) -> SeatStatus:
        """Who sits here."""
        return self.seat.status(self.yielding.way, self.clock.seconds())

    def gone(self, who: SeatConnection) -> None:
        """Its connection has ended, and its session with it."""
        if who is self._program:
            self._program = None
            self._obey(self.seat.gone(self.clock.seconds()))

    def _begin(self, who: SeatConnection, request: Begin) -> None:
        reason = self.may_begin(who.uid, request.user)
        if who is self._program:
            refused: list[Action] = [Say(Refused("busy", "this connection has asked already"))]
        elif reason:
            refused = [Say(Refused("user", reason))]
        else:
            refused = self.seat.ask(request.user)
        if refused or self._link is None:
            for action in refused:
                if isinstance(action, Say):
                    who.tell(action.notice)
            who.be_patient()
            return
        self._program = who
        who.wait()
        answer = self._link.call("seat", "begin", request.user, request.password)
        answer.addCallback(self._answered).addErrback(self._failed)
        answer.addErrback(lambda failure: _log.failure("a login failed inside", failure=failure))

    def _answered(self, answer: Any) -> None:
        try:
            actions = self.seat.answered(dict(answer), self.clock.seconds())
        except (TypeError, ValueError) as error:
            _log.error("the master's answer to a login makes no sense: {error}", error=str(error))
            actions = self.seat.failed("the master's answer made no sense; the log of the node has it")
        self._obey(actions)

    def _failed(self, failure: Any) -> None:
        failure.trap(AsynClusterError)
        lost = failure.check(LinkLostError) is not None
        text = "the link to the master broke; try again in a minute"
        if not lost:
            text = f"the master did not take it ({failure.getErrorMessage()}); it may be an older release"
        self._obey(self.seat.failed(text))

    # -- the link to the master

    def linked(self, link: Link) -> None:
        """The master has taken us, perhaps again."""
        self._link = link
        self._obey(self.seat.link_is_there(self.clock.seconds()))
        self._tell_use()  # nobody, too: the master may think that somebody is still there

    def unlinked(self) -> None:
        """The link has ended; a session goes on."""
        self._link = None
        self._obey(self.seat.link_broke())

    def order(self, args: tuple[Any, ...]) -> None:
        """The master's word about a session."""
        try:
            self._obey(self.seat.order(args, self.clock.seconds()))
        except ValueError as error:
            _log.error("an order of the master makes no sense: {error}", error=str(error))

    def _call(self, *args: Any) -> Deferred[Any]:
        if self._link is None:
            self.seat.unsaid(args)
            return Deferred()  # nobody waits for it

        def failed(failure: Any) -> None:
            if failure.check(LinkLostError):
                self.seat.unsaid(args)
            elif failure.check(AsynClusterError):
                self._complain(failure.getErrorMessage())
            else:
                _log.failure("the master could not be told", failure=failure)

        return self._link.call("seat", *args).addErrback(failed)

    def _complain(self, text: str) -> None:
        """Once, and not of each call, or each time when the link is there again."""
        if text != self._complained:
            self._complained = text
            _log.warn("the master: {error}", error=text)

    # -- obeying

    def _obey(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Say):
                self._say(action)
            elif isinstance(action, Begins):
                _log.info("{user} begins a session", user=action.user)
                self._make_way(self.yielding.begins(action.user))
            elif isinstance(action, Ends):
                _log.info("the session of {user} has ended", user=self.yielding.user or "somebody who has gone")
                self._program = None
                self._make_way(self.yielding.ends())
            elif isinstance(action, ToMaster):
                told = self._call(*action.args)
                if action.args[0] == "claim":
                    told.addCallback(self._claimed)
        self._watch()

    def _say(self, action: Say) -> None:
        program = self._program
        if isinstance(action.notice, Refused):
            self._program = None
        if program is None:
            return
        if isinstance(action.notice, Granted):
            program.admit()
        program.tell(action.notice)
        program.be_patient()

    def _make_way(self, steps: list[Step]) -> None:
        for step in steps:
            self.do(step)
        self._tell_use()

    def _tell_use(self) -> None:
        if self._link is not None:
            self._call("use", self.yielding.user, self.yielding.way)

    def _claimed(self, answer: Any) -> None:
        try:
            if answer is not None:
                self._obey(self.seat.claimed(dict(answer), self.clock.seconds()))
        except (TypeError, ValueError) as error:
            _log.error("the master's answer to a claim makes no sense: {error}", error=str(error))

    def _watch(self) -> None:
        self._stop_timer()
        if self.seat.visit is not None:
            due = self.seat.due(self.clock.seconds())
            self._timer = self.clock.callLater(TICK if due is None else min(TICK, due), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._obey(self.seat.tick(self.clock.seconds()))

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
