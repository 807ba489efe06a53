"""What a session does about a lost link: it connects again, asks who is there, and goes on from where it was.

Tries with growing pauses until its time is up.  Which messages are sent again is the session's to know.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.client.early import Early
from asyncluster.client.output import Printer
from asyncluster.client.terms import Connect, SessionLink, Terms
from asyncluster.errors import (
    AsynClusterError,
    JobGoneError,
    LinkLostError,
    ProofError,
    RefusedError,
    VersionMismatchError,
)

if TYPE_CHECKING:
    from asyncluster.client.session import Session
    from asyncluster.wire.retry import Retry

_log = Logger()

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
TRY_SECONDS = 30.0
"""One try: connection, proof, and the master's answers."""

_LAST_TRY_SECONDS = 5.0
"""A try that begins when the time is nearly up has at least this long."""

_NOT_DONE = "tasks under way may not have been done"


class Comeback:
    """Brings one session back.  limit: seconds from the loss until it is given up.

    pauses: makes a fresh rule for the pauses between tries; printer: gets ("master", 2, sentence) when the link is
    lost, and when it is back.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        session: Session,
        connect: Connect,
        limit: float,
        pauses: Callable[[], Retry],
        printer: Printer | None,
    ) -> None:
        self._reactor = reactor
        self._session = session
        self._connect = connect
        self._limit = limit
        self._pauses = pauses
        self._printer = printer
        self._trying: Deferred[None] | None = None
        self._stopped = False

    def begin(self, reason: str) -> None:
        """The link was lost."""
        lost = "the connection to the master ended" + (f": {reason}" if reason else "")
        self._say(f"{lost}; trying again for up to {self._limit:g} s")
        if not self._stopped:  # by the printer, who may close the session
            self._trying = Deferred.fromCoroutine(self._try_again(lost))
            self._trying.addErrback(self._broken, lost)

    def stop(self) -> None:
        """The session is closed while it is away: do not try again."""
        self._stopped = True
        if self._trying is not None:
            self._trying.cancel()

    async def _try_again(self, lost: str) -> None:
        pauses = self._pauses()
        end = self._reactor.seconds() + self._limit
        last, refused = "", None
        while True:
            pause = pauses.failed(self._reactor.seconds(), random.random())  # noqa: S311 (jitter)
            if pause is None:
                why = LinkLostError(f"{lost}; {self._limit:g} s later there is none yet ({last}); {_NOT_DONE}")
                self._end(refused or why)
                return
            await deferLater(self._reactor, pause)
            left = max(end - self._reactor.seconds(), _LAST_TRY_SECONDS)
            refused = None
            once = Deferred.fromCoroutine(self._once()).addTimeout(min(left, TRY_SECONDS), self._reactor)
            try:
                link, answer, early = await once
            except VersionMismatchError as error:
                self._end(error)
                return
            except ProofError as error:  # the password was right once: somebody may have tried wrong ones beside us
                last, refused = str(error), error
                continue
            except JobGoneError as error:
                self._end(JobGoneError(f"{lost}; {error}; {_NOT_DONE}"))
                return
            except DeferredTimeoutError:
                last = "it does not answer"
            except AsynClusterError as error:
                last = str(error)
            else:
                break
            if self._stopped:  # whoever was told to stop says that it has failed
                return
        if self._stopped:
            link.abort()
        else:
            self._back(link, answer, early, lost)

    async def _once(self) -> tuple[SessionLink, dict[str, Any], Early]:
        early = Early(lambda call: self._reactor.callLater(0, call))
        link = await self._connect(lambda _link: early)
        try:
            answer = await self._recall(link)
        except BaseException:
            link.abort()
            raise
        if early.gone is not None:
            raise LinkLostError(f"the connection ended: {early.gone}")
        return link, answer, early

    async def _recall(self, link: SessionLink) -> dict[str, Any]:
        session = self._session
        try:
            if await link.call("realm") != session.realm:
                raise JobGoneError(f"the master that is there now does not know job {session.job}: it began anew")
            verb, args = session.again
            answer: dict[str, Any] = await link.call(verb, *args)
        except RefusedError as error:
            raise JobGoneError(f"the master does not know job {session.job} any more: {error}") from error
        return answer

    def _back(self, link: SessionLink, answer: dict[str, Any], early: Early, lost: str) -> None:
        self._trying = None
        try:
            kept = int(answer.get("kept", 0))
            terms = Terms(float(answer["heartbeat"]), float(answer["silence"]))
            self._session.resumed(link, early, kept, terms)
        except LinkLostError as error:
            link.close()
            self._end(LinkLostError(f"{lost}; {error}; {_NOT_DONE}"))
            return
        except BaseException:
            link.abort()
            raise
        self._say("the connection to the master is back")

    def _end(self, why: AsynClusterError) -> None:
        self._trying = None
        if not self._stopped:
            self._stopped = True
            self._session.end(why)

    def _broken(self, failure: Failure, lost: str) -> None:
        """A mistake of ours must not leave the session waiting for ever."""
        if self._stopped and failure.check(CancelledError):
            return
        _log.failure("coming back to the master failed", failure=failure)
        again, self._trying = self._trying, None
        if self._session.ended is None:
            self._end(LinkLostError(f"{lost}; {failure.getErrorMessage()}; {_NOT_DONE}"))
        if again is not None:
            again.cancel()

    def _say(self, text: str) -> None:
        _log.info("{text}", text=text)
        if self._printer is not None:
            try:
                self._printer("master", 2, text)
            except Exception:
                _log.failure("the function given as output= failed")
