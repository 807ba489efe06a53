"""What a seat's program and the node daemon say to each other over the local socket: one JSON object a line.

Requests have "do", notices have "say".  Both sides ignore members that they do not know, so either may be a release
older.  docs/accounts.md describes them for whoever writes another program.
"""

from __future__ import annotations

import msgspec

DEFAULT_SOCKET = "/run/asyncluster-node/seat"
"""Where programs look that were told nothing else."""

LONGEST_LINE = 64 * 1024
"""Bytes of one request."""


class Begin(msgspec.Struct, frozen=True, tag_field="do", tag="begin"):
    """Begin a session for that user."""

    user: str
    password: str

    def __repr__(self) -> str:
        return "Begin(***)"


class Finish(msgspec.Struct, frozen=True, tag_field="do", tag="end"):
    """The user goes.  To close the connection says the same."""


class AskStatus(msgspec.Struct, frozen=True, tag_field="do", tag="status"):
    """Who sits here?"""


Request = Begin | Finish | AskStatus


class Granted(msgspec.Struct, frozen=True, tag_field="say", tag="granted"):
    """A session has begun.

    left: seconds, None for no limit; niceness: with which the user's programs are to run.
    """

    session: int
    user: str
    node: str
    left: float | None
    niceness: int


class Refused(msgspec.Struct, frozen=True, tag_field="say", tag="refused"):
    """None has.  rule: as `accounts.grant.Refusal`; "master" (it is away), "user" (not here), "busy"."""

    rule: str
    reason: str


class Left(msgspec.Struct, frozen=True, tag_field="say", tag="left"):
    """So many seconds are left; None: no limit.  Said every half minute."""

    seconds: float | None


class Warned(msgspec.Struct, frozen=True, tag_field="say", tag="warning"):
    """The session ends in so many minutes."""

    minutes: int


class Told(msgspec.Struct, frozen=True, tag_field="say", tag="message"):
    """An administrator says something."""

    text: str
    who: str


class Linked(msgspec.Struct, frozen=True, tag_field="say", tag="link"):
    """The link to the master broke, or is there again; the session goes on."""

    here: bool


class Over(msgspec.Struct, frozen=True, tag_field="say", tag="over"):
    """The session has ended.

    reason: "left", "time", "kicked", "disabled", "rules", "vanished" (the master gave the node up meanwhile) or "node"
    (the daemon stops); text: for the user, may be empty.
    """

    reason: str
    text: str


class SeatStatus(msgspec.Struct, frozen=True, tag_field="say", tag="status"):
    """Who sits here; user "" for nobody, left and used in seconds, in_use: `[client] when in use`."""

    node: str
    linked: bool
    in_use: str
    user: str = ""
    session: int = 0
    used: float = 0.0
    left: float | None = None


class Fault(msgspec.Struct, frozen=True, tag_field="say", tag="error"):
    """That was no request, or too much of it; the connection is closed."""

    text: str


Notice = Granted | Refused | Left | Warned | Told | Linked | Over | SeatStatus | Fault

_encoder = msgspec.json.Encoder()
_requests = msgspec.json.Decoder(Request)
_notices = msgspec.json.Decoder(Notice)


def to_line(said: Request | Notice) -> bytes:
    """With the line's end."""
    return _encoder.encode(said) + b"\n"


def request_of(line: bytes) -> Request:
    """What a program asks.  Raises ValueError, whose text shows nothing of it."""
    try:
        request: Request = _requests.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise ValueError('a request is a line such as {"do": "status"}') from None
    return request


def notice_of(line: bytes) -> Notice:
    """What the daemon says.  Raises ValueError."""
    try:
        notice: Notice = _notices.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return notice
