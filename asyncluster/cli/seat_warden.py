"""A process between `seat login` and the command of its session, which sees to it that neither outlives the other.

    seat login -- warden -- command -- what that begins

Each of the first two is given the orphans below it by the kernel.  When the command has ended, so does the warden, and
what is left is the login's to end.  When the login was killed with -9, the warden ends all that is below it.  When the
warden was, the kernel kills the command, and the rest is the login's.  Who kills both at once leaves the rest behind.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable

import attrs

from asyncluster.cli.seat_sweep import end_all
from asyncluster.node import kin

_STATUS = 4  # bytes
_DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH)
"""What is meant for the command; which hears it again."""


@attrs.frozen
class Warden:
    """As the login has it."""

    pid: int
    _life: int  # nobody writes here: it is closed when we are gone
    _word: int

    @classmethod
    def appoint(cls, run: Callable[[int], object], kept: Iterable[int]) -> Warden:
        """Fork one, which forks the command.

        run: becomes the command, of the parent with that number, and does not return; kept: descriptors that it needs.
        Raises OSError.  Where the system lets nobody adopt what others leave behind, that is said on stderr.
        """
        try:
            kin.adopt()
        except OSError as error:
            text = "what the command starts in sessions of its own does not end with it, since this system refuses"
            os.write(2, f"asyncluster: {text} prctl(PR_SET_CHILD_SUBREAPER): {error}\n".encode())
        life, ours = os.pipe()
        word, says = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                _watch(run, life, says, [each for each in kept if each >= 0])
            except BaseException as error:  # whatever it is, this process must not go on as its parent
                os.write(2, f"asyncluster: the command cannot be looked after: {error}\n".encode())
            finally:
                os._exit(1)
        os.close(life)
        os.close(says)
        return cls(pid, ours, word)

    def last_word(self) -> int:
        """When it has ended: how the command ended, as from waitpid; as if killed where the warden was."""
        said = os.read(self._word, _STATUS)
        return int.from_bytes(said, "little") if len(said) == _STATUS else int(signal.SIGKILL)


def _watch(run: Callable[[int], object], life: int, says: int, kept: list[int]) -> None:
    """In the warden."""
    os.setsid()  # who kills the login's whole group does not mean us
    with contextlib.suppress(OSError):  # it was told
        kin.adopt()
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    _close_all_but({life, says, *kept})
    woken, waker = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    us = os.getpid()
    command = os.fork()
    if command == 0:
        signal.set_wakeup_fd(-1)
        run(us)
    _close_all_but({life, says, woken, waker})
    while (status := kin.bury().get(command)) is None:
        ready, _, _ = select.select([life, woken], [], [])
        if life in ready:
            end_all(kin.bury)
            os._exit(0)
        os.read(woken, 4096)
    os.write(says, status.to_bytes(_STATUS, "little"))
    os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    low = 3
    for each in sorted(kept):
        os.closerange(low, each)
        low = each + 1
    os.closerange(low, 1024)
