"""Where a master is: the values that `find` makes and `connect` goes to; and for how long it is looked for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from asyncluster.units import clip

RECONNECT = 300.0
"""Seconds for which a lost master is looked for, where the user says nothing."""


_LONGEST = 1_000_000  # no master lets a job wait for longer


def check_reconnect(seconds: float) -> float:
    """The same; raises ValueError where it is no time that can be waited: 0 (not at all) to 1,000,000."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"reconnect is a number of seconds, 0 (not at all) to {_LONGEST:,}, not {seconds!r}")
    return seconds


LONGEST_NAME = 200


def escaped(name: str) -> str:
    """The same where it is text; a file's name may have bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode()


def name_of_file(path: str) -> str:
    """A job's name after a file, whatever that is called: on one line, and no longer than masters take."""
    name = escaped(path.rpartition("/")[2])
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
    return "".join(shown)[:LONGEST_NAME]


def check_job_name(name: object) -> None:
    """Raise ValueError for a job's name that no master takes: it stands in lists, so it is a line of text."""
    if isinstance(name, str) and len(text := escaped(name)) <= LONGEST_NAME and text.isprintable():
        return
    said = f"{clip(name)} of {len(name):,} characters" if isinstance(name, str) else f"{clip(repr(name))}"
    raise ValueError(f"name is a line of printable text, of at most {LONGEST_NAME} characters, not {said}")


@attrs.frozen
class UnixPlace:
    """A master's UNIX socket; slots: what an embedded master of ours will offer soon, 0 when not ours."""

    path: str
    slots: int = 0

    @property
    def own(self) -> bool:
        """Whether the master was started by this program, and nobody starts it again."""
        return self.slots > 0


@attrs.frozen
class TcpPlace:
    """A master across a network, and what to prove to it and have proven by it."""

    host: str
    port: int
    user: str
    password: str = attrs.field(repr=lambda _: "***")
    server_password: str | None = attrs.field(default=None, repr=lambda value: "None" if value is None else "***")


class OwnPlace(Protocol):
    """A way of one's own to a master, given instead of an address; tests have one in memory."""

    async def connect(self, reactor: Any, handler: Callable[[Any], Any]) -> Any:
        """Make the link (`session.SessionLink`) with the handler (`wire.link.LinkHandler`) that the function gives."""


Place = UnixPlace | TcpPlace | OwnPlace
