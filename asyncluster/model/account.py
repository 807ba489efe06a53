"""Accounts of people, when they may sit at a workstation, and the sessions that they had.

Instants are seconds since the epoch, UTC; times of an opening are minutes of the local day.
"""

from __future__ import annotations

import unicodedata

import attrs

from asyncluster.units import clip

LONGEST_NAME = 64
MOST_SECONDS = 7 * 25 * 3600
"""More hours than this has no week: a limit above it is a slip of the finger."""

MOST_HOURS = {"daily": (24, "day"), "weekly": (7 * 24, "week")}
"""What is taken of who sets a limit: one above it limits nothing.  (What an earlier release took is kept.)"""

MOST_COUNT = 2**31 - 1
DAY_MINUTES = 24 * 60
EVERYBODY = ""
"""The user of an opening that holds for all who have none of their own."""

_UNWANTED = frozenset("\"'`:,;/*?|<>$&!(){}[]#")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check_name(name: object, what: str = "user name") -> str:
    """A name that may stand in tables, logs and CSV files.  Raises ValueError, which shows little of a long one."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a {what} has at least one character")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the {what} {clip(name)} has {len(name)} characters; at most {LONGEST_NAME} are allowed")
    if not name.isprintable() or any(char.isspace() for char in name):
        raise ValueError(f"the {what} {clip(name)} has blanks, line ends or control characters; leave them out")
    if found := sorted(_UNWANTED.intersection(name)):
        raise ValueError(f"the {what} {clip(name)} has {' '.join(found)} in it; letters, digits and . _ - @ are safe")
    if name[0] in "-=+@":  # an option, or what a spreadsheet takes for a formula
        raise ValueError(f"the {what} {clip(name)} begins with {name[0]}; begin it with a letter")
    if unicodedata.normalize("NFKC", name) != name:
        plain = unicodedata.normalize("NFKC", name)
        raise ValueError(f"the {what} {clip(name)} looks like {clip(plain)} and is another one; use that")
    return name


def _name(_instance: object, _attribute: object, value: str) -> None:
    check_name(value)


def _seconds(_instance: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and not 0 <= value <= MOST_SECONDS:
        raise ValueError(f"the {attribute.name} hours must lie between 0 and {MOST_SECONDS // 3600}")


def _count(_instance: object, attribute: attrs.Attribute[int | None], value: int | None) -> None:
    if value is not None and not 0 <= value <= MOST_COUNT:
        raise ValueError(f"the limit of {attribute.name} must lie between 0 and {MOST_COUNT}")


@attrs.frozen
class Account:
    """A person.  A new one is disabled and restricted until said otherwise.

    restricted: needs an opening and hours left; daily, weekly: seconds of sessions, None for as many as the
    openings have; slots, queued: limits of running and queued tasks, None for none; argon2, scram: what is kept of
    the password for seats and for the proof across the network, "" where there is none; made: instant.
    """

    name: str = attrs.field(validator=_name)
    enabled: bool = False
    restricted: bool = True
    daily: int | None = attrs.field(default=None, validator=_seconds)
    weekly: int | None = attrs.field(default=None, validator=_seconds)
    slots: int | None = attrs.field(default=None, validator=_count)
    queued: int | None = attrs.field(default=None, validator=_count)
    argon2: str = attrs.field(default="", repr=lambda _: "***")
    scram: str = attrs.field(default="", repr=lambda _: "***")
    made: float = 0.0


@attrs.frozen
class Opening:
    """When a restricted user may sit at a workstation, each week anew.

    user: EVERYBODY, or whose; weekday: 0 for Monday; start, end: minutes since local midnight, 1440 for 24:00.
    """

    user: str = EVERYBODY
    weekday: int = attrs.field(default=0, validator=attrs.validators.in_(range(7)))
    start: int = 0
    end: int = DAY_MINUTES

    def __attrs_post_init__(self) -> None:
        if self.user != EVERYBODY:
            check_name(self.user)
        if not (0 <= self.start < DAY_MINUTES and 0 <= self.end <= DAY_MINUTES):
            raise ValueError("an opening lies between 00:00 and 24:00 of one day")
        if self.end == self.start:
            raise ValueError(
                f"an opening from {clock_text(self.start)} to {clock_text(self.end)} has no length; for the whole day "
                "write 00:00 24:00"
            )
        if not self.end:
            raise ValueError("the end of the day is 24:00; 00:00 is its begin")
        if self.end <= self.start:
            raise ValueError(
                f"an opening cannot end ({clock_text(self.end)}) before it has started ({clock_text(self.start)}); for "
                f"one across midnight give two: from {clock_text(self.start)} to 24:00, and from 00:00 on the next day"
            )

    def __str__(self) -> str:
        return f"{WEEKDAYS[self.weekday]} {clock_text(self.start)}-{clock_text(self.end)}"


def check_hours(what: str, seconds: int | None) -> None:
    """A limit that somebody sets, "daily" or "weekly".  Raises ValueError for one that is none."""
    most, period = MOST_HOURS[what]
    if seconds is not None and seconds > most * 3600:
        raise ValueError(f"{seconds / 3600:g} hours are more than a {period} has, {most}; for no limit say none")


def clock_text(minutes: int) -> str:
    """Minutes of the day as a clock shows them: 480 is "08:00"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


@attrs.frozen
class Session:
    """One person's time at one seat, as the book has it.

    begun, ended: instants that lie as far apart as is charged, whatever the clock was set to meanwhile; reason: why
    it ended, "" while it is on (then `ended` is when it was known last).
    """

    number: int
    user: str
    node: str
    begun: float
    ended: float
    reason: str = ""

    @property
    def seconds(self) -> float:
        """What is charged."""
        return self.ended - self.begun


@attrs.frozen
class Used:
    """What tasks of one job used on one node within one hour; see `store.tables.usage`.

    hour: instant at which it began; core_seconds: cores times wall; memory: bytes, the most of any task, 0 where nobody
    measured.
    """

    hour: float
    owner: str
    node: str
    pool: str
    job: int
    tasks: int
    core_seconds: float
    wall: float
    memory: int = 0


@attrs.frozen
class Audit:
    """One act of an administrator: who did what to whom."""

    at: float
    who: str
    what: str
    whom: str
    detail: str = ""


@attrs.frozen
class Total:
    """A sum: of one user, day, node or job (`axis`) in one month (year * 12 + month - 1).

    key: which; a day is "2026-11-23", of the site's time zone.
    """

    axis: str
    month: int
    key: str
    sessions: int = 0
    seat_seconds: float = 0.0
    tasks: int = 0
    core_seconds: float = 0.0
    wall: float = 0.0
    memory: int = 0


@attrs.frozen
class Span:
    """What a report is of: whole months, first and last one included, and intervals of instants beside them.

    first_day, last_day: the same in days, "2026-11-23", both included.
    """

    first_month: int
    last_month: int
    edges: tuple[tuple[float, float], ...]
    first_day: str
    last_day: str
