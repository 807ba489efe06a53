"""A session in a terminal: its command runs, and what the daemon says meanwhile is shown on stderr.

A terminal that takes nothing, or a pipe that nobody reads, holds up whoever writes to it, but not the session's end:
that is heard and obeyed by a thread of its own.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import attrs
import click

from asyncluster.cli.seat_child import Child
from asyncluster.cli.seat_sweep import GRACE
from asyncluster.cli.seat_talk import Talk
from asyncluster.model.seat import Finish, Left, Linked, Notice, Over, Told, Warned
from asyncluster.units import format_duration

GONE = "the node daemon of this machine has ended, and the session with it"


@attrs.define(eq=False)
class TerminalSession:
    """Of one command.  quiet: the time left is not shown, only warnings and messages."""

    talk: Talk
    child: Child
    quiet: bool = False
    _raw: bool = False
    _ending: bool = False
    _inbox: SimpleQueue[list[Notice] | None] = attrs.field(factory=SimpleQueue)
    _before: list[Any] | None = None  # how our terminal was
    _finished: Event = attrs.field(factory=Event)

    def run(self) -> int:
        """Until the command, the session or the daemon ends; gives the command's exit code."""
        with _wakened() as (woken, waker, numbers), self._terminal():
            Thread(target=self._guard, args=(waker,), daemon=True).start()
            self._heard(self.talk.unread)
            while not self.child.reap() and not self._ending:
                ready, _, _ = select.select(self._watched(woken), [], [])
                if woken in ready:
                    os.read(woken, 4096)
                    self._signalled(numbers)
                    self._hear()
                if self.child.terminal in ready:
                    self._show()
                if 0 in ready and self._raw:
                    self._type()
            self.child.end()
            self._hear()
            self._show_rest()
            self._finished.set()
        self.talk.say(Finish())
        self.talk.close()
        return self.child.code

    def _watched(self, woken: int) -> list[int]:
        watched = [woken]
        if self.child.terminal >= 0:
            watched += [self.child.terminal, *([0] if self._raw else [])]
        return watched

    def _signalled(self, numbers: list[int]) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                self.child.resize()
            elif number != signal.SIGCHLD:
                self._ending = True
        numbers.clear()

    # -- the terminal

    def _show(self) -> None:
        try:
            data = os.read(self.child.terminal, 65536)
        except OSError:  # nobody has it open any more
            data = b""
        if not data:
            os.close(self.child.terminal)
            self.child.terminal = -1
            return
        while data:
            data = data[os.write(1, data) :]

    def _show_rest(self) -> None:
        while self.child.terminal >= 0 and select.select([self.child.terminal], [], [], 0)[0]:
            self._show()

    def _type(self) -> None:
        data = os.read(0, 4096)
        if not data:
            self._raw = False
            data = b"\x04"
        if self.child.terminal >= 0:
            with contextlib.suppress(OSError):
                os.write(self.child.terminal, data)

    @contextlib.contextmanager
    def _terminal(self) -> Iterator[None]:
        """What is typed goes to the command as it is, as long as this lasts."""
        if self.child.terminal < 0:
            yield
            return
        before = self._before = termios.tcgetattr(0)
        try:
            tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is for the command
            self._raw = True
            yield
        finally:
            self._raw = False
            termios.tcsetattr(0, termios.TCSADRAIN, before)

    # -- what the daemon says

    def _guard(self, waker: int) -> None:
        """In a thread: listen to the daemon; at the end of the session end the command, whoever hangs where."""
        over = False
        while not over:
            notices = self.talk.read()
            over = notices is None or any(isinstance(notice, Over) for notice in notices)
            self._inbox.put(notices)
            with contextlib.suppress(OSError):  # it is full, or everything is over
                os.write(waker, b"n")
        self.child.end()
        if not self._finished.wait(GRACE):
            if self._before is not None:
                termios.tcsetattr(0, termios.TCSANOW, self._before)
            os._exit(self.child.code)

    def _hear(self) -> None:
        while not self._inbox.empty():
            notices = self._inbox.get()
            if notices is None:
                self._note(GONE)
                self._ending = True
            else:
                self._heard(notices)

    def _heard(self, notices: list[Notice]) -> None:
        for notice in notices:
            if text := shown(notice, self.quiet):
                self._note(text)
            if isinstance(notice, Over):
                self._ending = True

    def _note(self, text: str) -> None:
        line = f"asyncluster: {text}"
        sys.stderr.write(f"\r\n{line}\r\n" if self._raw else f"{line}\n")
        sys.stderr.flush()


def shown(notice: Notice, quiet: bool = False) -> str:
    """A notice as a person reads it; "" for one that is not shown.  What others wrote cannot steer the terminal."""
    if isinstance(notice, Left):
        return "" if quiet or notice.seconds is None else f"{time_left(notice.seconds)} left"
    if isinstance(notice, Warned):
        return f"the session ends in {notice.minutes} minute{'' if notice.minutes == 1 else 's'}; save your work"
    if isinstance(notice, Told):
        return f"message from {_plain(notice.who)}: {_plain(notice.text)}"
    if isinstance(notice, Linked):
        return "the master is there again" if notice.here else "the master is away for now; the session goes on"
    if isinstance(notice, Over):
        return f"the session is over: {_plain(notice.text)}" if notice.text else ""
    return ""


def time_left(seconds: float | None) -> str:
    """To the second below a minute or two, else to the minute."""
    if seconds is None:
        return "no limit"
    whole = math.floor(seconds)
    return format_duration(whole if whole < 120 else whole // 60 * 60)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text.replace("\n", " "))


@contextlib.contextmanager
def _wakened() -> Iterator[tuple[int, int, list[int]]]:
    """A descriptor that can be read when a signal came, its other end, and the list of signals that have."""
    numbers: list[int] = []
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    heard = (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGWINCH)
    before = {number: signal.signal(number, lambda got, _frame: numbers.append(got)) for number in heard}
    descriptor = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield woken, waker, numbers
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(waker)


def say(text: str) -> None:
    """To the person, before the command has begun."""
    click.echo(f"asyncluster: {text}", err=True)
