"""The command of a session: started as its user, on a terminal of its own where we have one, and ended altogether.

Whoever calls this is root, or the user himself; nobody else can become anybody.  Between us and the command stands a
warden, so that nothing outlives the session, whichever of us is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import termios
from threading import Lock

import attrs

from asyncluster.cli.seat_sweep import GRACE, end_all
from asyncluster.cli.seat_warden import Warden
from asyncluster.node import kin
from asyncluster.node.becoming import become, leave_no_core
from asyncluster.node.identity import Identity
from asyncluster.node.limits import apply, limits_of

CANNOT_RUN, NO_SUCH_PROGRAM = 126, 127  # as a shell tells it


@attrs.frozen
class Order:
    """What to run.  argv empty: the user's login shell; whose.change: he has to be become first."""

    argv: tuple[str, ...]
    whose: Identity
    niceness: int
    session: int


@attrs.define(eq=False)
class Child:
    """A command that runs.  terminal: our end of its terminal, -1 where it has our own descriptors."""

    _warden: Warden
    terminal: int = -1
    status: int | None = None  # as from waitpid, when it has ended
    _reaping: Lock = attrs.field(factory=Lock)

    @classmethod
    def start(cls, order: Order) -> Child:
        """Start it; a terminal is made for it where stdin and stdout are one.  Raises OSError."""
        near = far = -1
        if sys.stdin.isatty() and sys.stdout.isatty():
            near, far = os.openpty()
            fcntl.ioctl(far, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
            termios.tcsetattr(far, termios.TCSANOW, termios.tcgetattr(0))
        warden = Warden.appoint(lambda parent: _run(order, far, parent), [far])
        if far >= 0:
            os.close(far)
        return cls(warden, near)

    def resize(self) -> None:
        """Our window has another size now."""
        if self.terminal >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))

    def reap(self) -> bool:
        """Bury who has ended; whether the command itself has."""
        with self._reaping:
            if self._warden.pid in kin.bury():
                self.status = self._warden.last_word()
            return self.status is not None

    def end(self, grace: float = GRACE) -> None:
        """SIGHUP and SIGTERM to it and all that it began, then, after the grace, SIGKILL; see `seat_sweep.end_all`."""
        end_all(self.reap, grace)

    @property
    def code(self) -> int:
        """As a shell tells it: 128 and the signal's number for who was killed."""
        if self.status is None:
            return 1
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code


def _run(order: Order, terminal: int, parent: int) -> None:
    """In the child; never returns."""
    code = CANNOT_RUN
    try:
        os.setsid()
        if terminal >= 0:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
            if order.whose.change:
                os.fchown(terminal, order.whose.uid, -1)
                os.fchmod(terminal, 0o620)
            for descriptor in (0, 1, 2):
                os.dup2(terminal, descriptor)
        os.closerange(3, 1024)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        leave_no_core()
        os.setpriority(os.PRIO_PROCESS, 0, max(order.niceness, os.getpriority(os.PRIO_PROCESS, 0)))
        kept = {name: os.environ[name] for name in ("TERM", "COLORTERM") if name in os.environ}
        if order.whose.change:
            apply(limits_of(order.whose.name, order.whose.uid, order.whose.groups))
            become(order.whose)
            os.environ.update(kept if terminal >= 0 else {})
            _go_home(order.whose.home)
        os.environ["ASYNCLUSTER_SESSION"] = str(order.session)
        if not kin.die_with(parent):
            os._exit(CANNOT_RUN)
        shell = order.whose.shell
        program, argv = (order.argv[0], order.argv) if order.argv else (shell, (f"-{os.path.basename(shell)}",))
        os.execvp(program, argv)  # noqa: S606 (the person's own command, without a shell between)
    except BaseException as error:  # whatever it is, this process must not go on as its parent
        os.write(2, f"asyncluster: cannot run {order.argv[0] if order.argv else order.whose.shell}: {error}\n".encode())
        code = NO_SUCH_PROGRAM if isinstance(error, FileNotFoundError) else code
    finally:
        os._exit(code)


def _go_home(home: str) -> None:
    for folder in (home, "/"):
        if os.path.isdir(folder) and os.access(folder, os.X_OK):
            os.chdir(folder)
            return
