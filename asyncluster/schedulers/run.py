"""Runs one command of a batch system: no shell, a time limit, a limit on what it may print.

A command that cannot be started, is killed, prints too much or does not end in time is NoAnswerError.  What an exit
code means is the adapter's business: with these programs it often means nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster import collecting
from asyncluster.errors import CommandFailedError, NoAnswerError
from asyncluster.schedulers.template import Template
from asyncluster.units import format_duration, format_size

_log = Logger()
_P = ParamSpec("_P")
_T = TypeVar("_T")

MOST = 256 * 1024**2
"""Bytes that a command may print: the listing of some 100,000 batch jobs."""

END = 2000
"""Characters of what a failed command said that are kept."""

_SMALL = 64 * 1024  # characters that are read on the reactor's own thread
_AT_A_TIME = 8  # commands
_DRY = ("SQUEUE_", "SINFO_", "SBATCH_", "SLURM_TIME", "SLURM_JOB", "SLURM_BITSTR", "SGE_LONG", "PBS_O_", "PBS_JOB")
"""Variables that change what the commands print, or that say that we are a job ourselves."""


def deferred(function: Callable[_P, Coroutine[Deferred[Any], Any, _T]]) -> Callable[_P, Deferred[_T]]:
    """Make a coroutine function one that gives a Deferred, as interfaces ask."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> Deferred[_T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return run


@attrs.frozen
class Answer:
    """What a command left behind."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """Both of its outputs, for commands that complain on either."""
        return f"{self.stderr}\n{self.stdout}"

    def refused(self, mend: str = "") -> CommandFailedError:
        """The error that says that it said no.  mend: what somebody may do about it."""
        words = (self.stderr.strip() or self.stdout.strip())[-END:]
        text = f"{shlex.join(self.argv)} ended with {self.code}: {words or 'it said nothing'}"
        return CommandFailedError(text + (f" ({mend})" if mend else ""), self.argv, self.code, words)

    def silent(self) -> NoAnswerError:
        """The error that says that the scheduler could not be asked."""
        words = (self.stderr.strip() or self.stdout.strip())[-END:]
        return NoAnswerError(f"{shlex.join(self.argv)} gave no answer: {words or f'it ended with {self.code}'}")


class _Process(ProcessProtocol):
    def __init__(self, stdin: bytes, most: int) -> None:
        self.stdin, self.room = stdin, most
        self.out: list[bytes] = []
        self.err: list[bytes] = []
        self.done: Deferred[BaseException] = Deferred()  # a value: every end is one
        self.too_much = False
        self.exited = False  # though its outputs may be open, and what it started at work
        self.on_exit: Callable[[], object] | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        if self.stdin:
            self.transport.write(self.stdin)
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._keep(self.out, data)

    def errReceived(self, data: bytes) -> None:
        self._keep(self.err, data)

    def _keep(self, where: list[bytes], data: bytes) -> None:
        self.room -= len(data)
        if self.room >= 0:
            where.append(data)
        elif not self.too_much:
            self.too_much = True
            self.kill()

    def kill(self) -> None:
        """The command and all that it started."""
        transport: Any = self.transport
        with suppress(ProcessLookupError, PermissionError, TypeError):
            os.killpg(transport.pid, signal.SIGKILL)
        transport.loseConnection()

    def processExited(self, reason: Failure) -> None:
        self.exited = True
        if self.on_exit is not None:
            self.on_exit()

    def processEnded(self, reason: Failure) -> None:
        if not self.done.called:
            self.done.callback(reason.value or RuntimeError())


@attrs.define(eq=False)
class Runner:
    """Starts commands.

    limit: seconds that one may take; most: bytes it may print; environment: variables that it gets; folder: where, "" =
    here; inherited: variables of ours that it gets too, None = all but those that change listings; linger: seconds that
    what it leaves in the background may still have its outputs, None = as long as it itself may take.
    """

    reactor: Any
    limit: float = 60.0
    most: int = MOST
    environment: Mapping[str, str] = attrs.field(factory=dict)
    folder: str = ""
    inherited: frozenset[str] | None = None
    linger: float | None = None
    _turns: DeferredSemaphore = attrs.field(factory=lambda: DeferredSemaphore(_AT_A_TIME))

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """Run it to its end, whatever its exit code; NoAnswerError where there is none."""
        return await self._turns.run(lambda: Deferred.fromCoroutine(self._run(argv, stdin)))

    async def pick(self, command: Template, *values: str) -> tuple[Answer, list[str]]:
        """Run a command that may be a pipeline; with it the lines that its filters let through."""
        answer = await self.run(command.argv(*values))
        return answer, command.pick(answer.stdout, *values)

    async def aside(self, parse: Callable[[str], _T], text: str) -> _T:
        """Read what a command printed, off the reactor's thread where that is much."""
        return parse(text) if len(text) < _SMALL else await self.in_thread(partial(parse, text))

    async def in_thread(self, work: Callable[[], _T]) -> _T:
        """Do what is pure, and long, off the reactor's thread."""
        with collecting.paused():
            return await deferToThread(work)

    async def _run(self, argv: tuple[str, ...], stdin: str) -> Answer:
        environment = self._environment()
        program = shutil.which(argv[0], path=environment.get("PATH"))
        if program is None:
            raise NoAnswerError(
                f"there is no program {argv[0]} here; install it, or name its path where the commands are configured"
            )
        process = _Process(stdin.encode(errors="surrogateescape"), self.most)
        self._start(process, program, argv, environment)
        linger = self.linger
        left = self.limit if linger is None or not process.exited else linger  # a quick one ends while it is started
        late = self.reactor.callLater(left, self._too_late, process)
        if linger is not None:
            process.on_exit = lambda: late.active() and late.reset(linger)
        try:
            reason = await process.done
        except CancelledError:  # nobody waits for it any more, and nobody would end it
            process.kill()
            raise
        finally:
            if late.active():
                late.cancel()
        if self.most - process.room < _SMALL:
            answer = _answer(argv, process, reason)
        else:
            answer = await deferToThread(_answer, argv, process, reason)
        _log.debug("{argv} ended with {code}", argv=shlex.join(argv), code=answer.code)
        if process.too_much:
            raise NoAnswerError(f"{shlex.join(argv)} printed more than {format_size(self.most)}, and was ended")
        if isinstance(reason, TimeoutError):
            words = f"; it had said: {answer.stderr.strip()[-END:]}" if answer.stderr.strip() else ""
            raise NoAnswerError(f"{shlex.join(argv)} did not end within {format_duration(self.limit)}{words}")
        if answer.code < 0:
            raise NoAnswerError(f"{shlex.join(argv)} was killed by signal {-answer.code}")
        return answer

    def _start(self, process: _Process, program: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
        folder = self.folder or None
        # a session of its own, so that what it starts (many of these programs are scripts) ends with it
        session = shutil.which("setsid")
        words = (session, program, *argv[1:]) if session else (program, *argv[1:])
        try:
            self.reactor.spawnProcess(process, words[0], words, env=environment, path=folder)
        except OSError as error:
            raise NoAnswerError(f"{shlex.join(argv)} could not be started: {error}") from error

    def _environment(self) -> dict[str, str]:
        if self.inherited is not None:
            return {name: os.environ[name] for name in self.inherited & os.environ.keys()} | dict(self.environment)
        environment = {name: word for name, word in os.environ.items() if not name.startswith(_DRY)}
        return environment | {"LC_ALL": "C", **self.environment}

    def _too_late(self, process: _Process) -> None:
        process.kill()  # of one that has ended nothing but its outputs
        if process.exited and self.linger is not None:
            return  # they are being closed, and then it is told how it ended
        if not process.done.called:
            process.done.callback(TimeoutError())


def _answer(argv: tuple[str, ...], process: _Process, reason: BaseException) -> Answer:
    code = 0
    if isinstance(reason, ProcessTerminated):
        code = -reason.signal if reason.signal else int(reason.exitCode or 1)
    texts = [b"".join(parts).decode(errors="replace") for parts in (process.out, process.err)]
    return Answer(argv, code, *texts)
