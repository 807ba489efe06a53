"""Runs a site's own commands when something happened to a node: argument lists, with a time limit, never a shell."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.elastic.actions import Action
from asyncluster.elastic.records import NodeRecord
from asyncluster.errors import CommandFailedError
from asyncluster.interfaces import IHooks
from asyncluster.schedulers.template import fill

TAIL = 2000
"""Characters of what a command said last that are kept."""


class IReactor(IReactorProcess, IReactorTime):
    """What is needed of the reactor."""


def arguments(argv: tuple[str, ...], record: NodeRecord) -> tuple[str, ...]:
    """A command's arguments with {0} host name, {1} address and {2} name in the scheduler put in."""
    values = (record.name, record.address, record.name)
    return tuple(fill(word, values) for word in argv)


def environment(action: Action, record: NodeRecord) -> dict[str, str]:
    """What a command may look at besides its arguments."""
    return {
        "ASYNCLUSTER_EVENT": action.do.name.lower(),
        "ASYNCLUSTER_NODE": record.name,
        "ASYNCLUSTER_ADDRESS": record.address,
        "ASYNCLUSTER_POOL": record.pool,
        "ASYNCLUSTER_INSTANCE": record.instance,
        "ASYNCLUSTER_CAUSE": record.cause,
    }


@implementer(IHooks)
class Hooks:
    """Commands as processes of this machine."""

    def __init__(self, reactor: IReactor) -> None:
        self._reactor = reactor

    def run(self, argv: tuple[str, ...], environment: Mapping[str, str], limit: float) -> Deferred[None]:
        """One try.  Cancelling ends it, with its children."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        run = _Run(self._reactor, argv, limit)
        # setsid: a group of its own, so that children are ended with it
        words = ["setsid", *argv]
        self._reactor.spawnProcess(run, "setsid", words, env={**inherited, **environment})
        return run.done


class _Run(ProcessProtocol):
    """One command."""

    transport: IProcessTransport

    def __init__(self, reactor: IReactorTime, argv: tuple[str, ...], limit: float) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._kill())
        self._argv = argv
        self._limit = limit
        self._late = False
        self._said = b""
        self._timer: IDelayedCall | None = reactor.callLater(limit, self._overdue)

    def connectionMade(self) -> None:
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-TAIL:]

    errReceived = outReceived

    def _overdue(self) -> None:
        self._timer, self._late = None, True
        self._kill()

    def _kill(self) -> None:
        pid = self.transport.pid if self.transport is not None else None
        try:
            if pid:
                os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            with suppress(ProcessExitedAlready):  # it has no group as yet
                self.transport.signalProcess("KILL")

    def processEnded(self, reason: Failure) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.done.called:
            return
        if reason.check(ProcessDone):
            self.done.callback(None)
            return
        said = self._said.decode("utf-8", "replace").strip()
        code = getattr(reason.value, "exitCode", None)
        how = f"took longer than {self._limit:.0f} s" if self._late else f"ended with {code}"
        text = f"{self._argv[0]} {how}" + (f": {said[-300:]}" if said else "")
        self.done.errback(CommandFailedError(text, self._argv, code if code is not None else -1, said))
