"""What tasks print: gathered into lines, labelled, and handed to whoever shows them.

Runs in the thread of the reactor, holding no lock.  A line that has no end yet is shown when its
task ends, so output is there before the task's result.  A broken stdout is none of a task's business and is ignored.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from asyncluster.model.messages import Output
from asyncluster.model.positions import Seen

Printer = Callable[[str, int, str], object]
"""Called with place ("node1/2"), stream (1 or 2) and a line without its end."""


@runtime_checkable
class RawPrinter(Protocol):
    """A printer that takes what tasks write as it comes, byte for byte; lines are only what the client itself says."""

    def raw(self, place: str, stream: int, data: bytes) -> None:
        """A piece, of any length."""

    def __call__(self, place: str, stream: int, line: str) -> object:
        """As `Printer`."""


_LONGEST = 64 * 1024


def print_line(place: str, stream: int, line: str) -> None:
    """Show a line on our own stdout or stderr."""
    target = sys.stderr if stream == 2 else sys.stdout
    if target is None:
        return
    try:
        target.write(f"[{place}] {line}\n")
        target.flush()
    except (OSError, ValueError):  # closed, or its reader is gone
        pass


def choose(output: str | Printer | None) -> Printer | None:
    """From the argument that users give: "print", a callable, or None for silence."""
    if output is None or callable(output):
        return output
    if output == "print":
        return print_line
    raise ValueError(f'output is "print", None or a function of (place, stream, line), not {output!r}')


class Lines:
    """Gathers what comes in pieces."""

    def __init__(self, printer: Printer | None) -> None:
        self._printer = printer
        self._raw = printer if isinstance(printer, RawPrinter) else None
        self._seen = Seen()
        self.partial: dict[tuple[int, int], tuple[str, bytes]] = {}

    def feed(self, message: Output) -> None:
        """A piece has come; of one that comes again, from a node whose master was killed, what is new."""
        if self._printer is None:
            return
        payload = self._seen.fresh(message)
        if not payload:
            return
        if self._raw is not None:
            self._raw.raw(message.place, message.stream, payload)
            return
        key = (message.seq, message.stream)
        rest = self.partial.pop(key, ("", b""))[1] + payload
        *lines, rest = rest.split(b"\n")
        for line in lines:
            self._show(message.place, message.stream, line)
        if len(rest) > _LONGEST:
            self._show(message.place, message.stream, rest)
        elif rest:
            self.partial[key] = (message.place, rest)

    def finish(self, seq: int) -> None:
        """That task has ended: show what it left unfinished."""
        for stream in (1, 2):
            place, rest = self.partial.pop((seq, stream), ("", b""))
            if rest:
                self._show(place, stream, rest)

    def _show(self, place: str, stream: int, line: bytes) -> None:
        if self._printer is not None:
            self._printer(place, stream, line.decode("utf-8", "replace"))
