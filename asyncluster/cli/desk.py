"""Where all that comes from a cluster arrives, in its order: what tasks write, and the ends of calls.

The reactor's thread puts in, the main thread takes out and writes.  So a reader of ours that is slow holds up no
heartbeat, and one that has gone raises BrokenPipeError where it ends the command.
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import attrs

from asyncluster.errors import AsynClusterError
from asyncluster.model.notices import is_above_limit, is_cut

SECONDS = 3.0
"""After which a person who sees nothing is told why."""


@attrs.frozen
class _Written:
    """A piece of output; a line where it is a text."""

    place: str
    stream: int
    what: str | bytes


class Desk:
    """Lines with the name of their worker before them.  Give it as `output=`, and the ends of calls to `put`.

    aside: stdout is for something else; all goes to stderr.
    """

    def __init__(self, aside: bool = False) -> None:
        self._aside = aside
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._told = False
        self.cut: set[str] = set()
        """Nodes that say that they left some output out, above their limit."""
        self.missed: set[str] = set()
        """Nodes of whose output some was dropped because somebody was away."""

    # -- in the reactor's thread

    def __call__(self, place: str, stream: int, line: str) -> None:
        """A line without its end."""
        self._queue.put(_Written(place, stream, line))

    def put(self, end: object) -> None:
        """A call has ended."""
        self._queue.put(end)

    # -- in the main thread

    def ends(self, count: int, why: Callable[[], str] | None = None) -> Iterator[Any]:
        """So many ends, as they come; meanwhile shows what tasks write.

        why: asked when nothing at all has come for SECONDS; stderr gets what it says, once.
        Raises BrokenPipeError when nobody reads that any more, AsynClusterError when it cannot be written.
        """
        while count:
            try:
                item = self._queue.get(timeout=None if why is None else SECONDS)
            except queue.Empty:
                if why is not None and not self._told and (text := why()):
                    self._told = True
                    write(2, f"{text}\n")
                continue
            finally:
                why = None
            if isinstance(item, _Written):
                self._show(item)
            else:
                count -= 1
                yield item

    def _show(self, written: _Written) -> None:
        what = written.what
        if written.stream == 2:
            self._note_dropped(written.place, what if isinstance(what, bytes) else what.encode("utf-8", "replace"))
        write(2 if self._aside else written.stream, what if isinstance(what, bytes) else self.line(written.place, what))

    def _note_dropped(self, place: str, what: bytes) -> None:
        if is_cut(what):
            (self.cut if is_above_limit(what) else self.missed).add(place.rpartition("/")[0])

    def line(self, place: str, text: str) -> str:
        """How a line is shown."""
        return f"[{place}] {text}\n"


class PlainDesk(Desk):
    """The output of one task as it is, byte for byte."""

    def raw(self, place: str, stream: int, data: bytes) -> None:
        """See `client.output.RawPrinter`."""
        self._queue.put(_Written(place, stream, data))

    def line(self, place: str, text: str) -> str:
        """What the client itself has to say."""
        return f"asyncluster: {text}\n"


def write(stream: int, what: str | bytes) -> None:
    """Write to our own stdout (1) or stderr (2), at once; nothing where it was closed before we began.

    Raises BrokenPipeError when its reader has gone, AsynClusterError for everything else (a full disk).
    """
    target: TextIO | None = sys.stderr if stream == 2 else sys.stdout
    if target is None:
        return
    try:
        if isinstance(what, str):
            code = target.encoding or "utf-8"
            target.write(what.encode(code, "backslashreplace").decode(code))
        else:
            target.flush()
            target.buffer.write(what)
        target.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "stderr" if stream == 2 else "stdout"
        raise AsynClusterError(f"cannot write to our {name}: {error.strerror}") from error
