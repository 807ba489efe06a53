"""What master and node daemon share as processes: options, lifeline, memory habits, a run without twistd."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, cast

from twisted.application.service import IService, IServiceCollection, MultiService, Service
from twisted.internet.interfaces import IReactorCore, IReactorFDSet, IReadDescriptor
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from zope.interface import implementer

from asyncluster import collecting
from asyncluster.config.base_conf import Settings
from asyncluster.config.load import find, load
from asyncluster.errors import AsynClusterError, ConfigError
from asyncluster.inherited import LIFELINE_FD
from asyncluster.interfaces import IReactor
from asyncluster.log import bridge_standard_logging, observer, reopen_on_signal, start_logging
from asyncluster.steady import count_steadily

_log = Logger()

SWITCH = 0.001
"""Seconds for which a thread may keep the interpreter while another one wants it.

By Python's own 5 ms the reactor would have its turn after 40, where eight threads read what a cloud has answered.
"""


class DaemonOptions(usage.Options):
    """`--config FILE` and `--check`, the same for both daemons."""

    need = ""  # "master" or "node"

    optParameters: ClassVar = [
        ["config", "c", None, "The configuration; default: $ASYNCLUSTER_CONF, then ~/.config/asyncluster, then /etc"],
    ]
    optFlags: ClassVar = [["check", None, "Only check the configuration; say what is wrong with it, and end"]]

    def postOptions(self) -> None:
        """Load the configuration: all its faults are said at once, before anything starts."""
        try:
            path = find(self["config"])
            if path is None:
                raise ConfigError("no configuration file; name one with --config, or copy etc/asyncluster.conf to /etc")
            self.settings: Settings = load(path, need=cast(Any, self.need))
        except AsynClusterError as error:
            # Not UsageError: twistd would print a page of options above what is wrong.
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
        if self["check"]:
            for warning in self.settings.warnings:
                print("warning:", warning)
            print(f"{self.settings.origin}: good for a {self.need}")
            raise SystemExit(0)


@implementer(IReadDescriptor)
class Lifeline(Service):
    """Stops the reactor when the pipe of our starter closes."""

    def __init__(self, reactor: IReactorCore, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor

    def startService(self) -> None:
        """Begin to watch."""
        super().startService()
        os.set_blocking(self._descriptor, False)
        cast(IReactorFDSet, self._reactor).addReader(self)

    def stopService(self) -> None:
        """Watch no longer."""
        super().stopService()
        cast(IReactorFDSet, self._reactor).removeReader(self)

    def fileno(self) -> int:
        """For the reactor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """For the reactor."""
        return "lifeline"

    def doRead(self) -> None:
        """Nothing is ever written to it: readable means closed."""
        if not os.read(self._descriptor, 1024):
            self.connectionLost(None)

    def connectionLost(self, reason: object) -> None:
        """The other end is closed (epoll says so without a read)."""
        if self.running:
            _log.info("the program that started this process has ended; so do we")
            cast(IReactorFDSet, self._reactor).removeReader(self)
            self._reactor.stop()


def lifeline(reactor: IReactorCore) -> Lifeline | None:
    """The lifeline that our starter gave us, if it did."""
    value = os.environ.pop(LIFELINE_FD, "")
    return Lifeline(reactor, int(value)) if value.isdigit() else None


def service_of(assemble: Callable[[Settings, IReactor], MultiService], options: DaemonOptions) -> IService:
    """What a tap's `makeService` does: assemble on the installed reactor.

    Raises SystemExit with a sentence when the service cannot be had: twistd would show a UsageError with its traceback.
    """
    from twisted.internet import reactor  # only a program may choose it

    count_steadily(reactor)
    root = Daemon(options.settings)
    try:
        assemble(options.settings, cast(IReactor, reactor)).setServiceParent(root)
    except AsynClusterError as error:
        raise SystemExit(f"asyncluster: {error}") from None
    line = lifeline(cast(IReactorCore, reactor))
    if line is not None:
        line.setServiceParent(root)
    reopen_on_signal(cast(IReactor, reactor))
    stop_once(cast(IReactorCore, reactor))
    raise_file_limit()
    settle()
    return root


def settle() -> None:
    """Garbage and threads as suit a process that lives long, and whose reactor is to have its turn."""
    collecting.calm()
    sys.setswitchinterval(SWITCH)


def stop_once(reactor: IReactorCore) -> None:
    """Have a stop that was asked for go its way: more SIGTERM and SIGINT say nothing new, and are no error."""
    asked = False

    def once(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            nonlocal asked
            if not asked:
                asked = True
                handler(number, frame)

        return handle

    def wrap() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, once(handler))

    def stops() -> None:
        nonlocal asked
        asked = True

    reactor.callWhenRunning(wrap)
    reactor.addSystemEventTrigger("before", "shutdown", stops)  # also where something else than a signal began it


class Daemon(MultiService):
    """The root of a daemon's services; under twistd it logs as the configuration says.

    Where that says nothing about logs, twistd's own `--logfile` and `--logger` hold.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        common = settings.common
        self._log = (common.log_level, common.log_format, common.log_file or None)

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """The application is our parent, and keeps the observer of its log."""
        if isinstance(parent, Componentized) and self._log != ("info", "text", None):
            parent.setComponent(ILogObserver, observer(*self._log))
        bridge_standard_logging(self._log[0])
        super().setServiceParent(parent)

    @property
    def failure(self) -> str:
        """Why one of its services could not go on; "" where all is well.  Then the process ends with an error."""
        return next(filter(None, (getattr(service, "failure", "") for service in self)), "")


def raise_file_limit() -> None:
    """Each link is a file descriptor, and the usual soft limit is 1,024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(options: DaemonOptions, make_service: Callable[[Any], IService], arguments: list[str]) -> int:
    """The daemon in the foreground, without twistd: half a second less to start.  Returns the exit code."""
    from twisted.internet import reactor

    core = cast(IReactorCore, reactor)
    try:
        options.parseOptions(arguments)
        settings = options.settings
        start_logging(settings.common.log_level, settings.common.log_format, settings.common.log_file or None)
        service = make_service(options)
    except usage.UsageError as error:
        print(error, file=sys.stderr)
        return 1
    core.addSystemEventTrigger("before", "startup", service.startService)
    core.addSystemEventTrigger("before", "shutdown", service.stopService)
    core.run()
    return 1 if getattr(service, "failure", "") else 0
