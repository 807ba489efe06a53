"""Says that tasks wait for what is not there, to a person who would otherwise look at nothing and wonder.

After a few seconds in which calls were out and nothing came, the master is asked; what it says is shown like a
line that a task wrote, and again only when it changes.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.client.output import Printer
from asyncluster.client.session import Session
from asyncluster.errors import LinkLostError, RefusedError

_log = Logger()

EVERY = 2.0
"""Seconds between looks."""


_NUMBER = re.compile(r"\d+")  # reasons that count seconds, or nodes, are the same ones


class Patience:
    """Watches one session until `stop`; `printer` gets ("master", 2, sentence)."""

    def __init__(self, reactor: IReactorTime, session: Session, printer: Printer) -> None:
        self._reactor, self._session, self._printer = reactor, session, printer
        self._finished = -1  # results when we looked last
        self._said = ""
        self._next: Any = reactor.callLater(EVERY, self._look)

    def stop(self) -> None:
        """The session has ended."""
        if self._next.active():
            self._next.cancel()

    def _look(self) -> None:
        session = self._session
        if session.ended is not None:
            return
        self._next = self._reactor.callLater(EVERY, self._look)
        before, self._finished = self._finished, session.finished
        if not session.calls.out:
            self._finished = -1  # what is handed over next has its own few seconds
        elif before == session.finished:
            session.link.call("stuck", session.job).addCallbacks(self._say, self._not_said)

    def _say(self, reason: object) -> None:
        text = str(reason)
        same = _NUMBER.sub("", text) == _NUMBER.sub("", self._said)
        if text and not same and self._session.ended is None:
            try:
                self._printer("master", 2, f"tasks wait: {text}")
            except Exception:
                _log.failure("the function given as output= failed")
        self._said = text

    @staticmethod
    def _not_said(failure: Failure) -> None:
        failure.trap(LinkLostError, RefusedError)  # a master that does not know the verb, or none any more
