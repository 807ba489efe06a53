"""The kinds of value that only asyncluster.yaml has: text in, checked value out (as `fields.py` does for the INI).

A value may also be a list, where YAML has one.  Each converter raises ValueError with a sentence for whoever wrote it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from string import Formatter
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator

from asyncluster.config.fields import Secret, host, kind, path, secret, size, span, whole
from asyncluster.units import clip

T = TypeVar("T")

_WORD = re.compile(r"[^\s,;'\"\\$`|&<>(){}*?!#%]{1,200}")
_POOL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,38}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,39})", re.ASCII)
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
_CLOCK = re.compile(r"(?:([0-9]{1,4})-)?(?:([0-9]{1,5}):)?([0-9]{1,5}):([0-9]{1,2})", re.ASCII)


def yes_no(text: str) -> bool:
    """True and False as YAML has them."""
    if text.lower() in ("true", "yes", "on"):
        return True
    if text.lower() in ("false", "no", "off"):
        return False
    raise ValueError(f"{clip(text)} is neither True nor False")


def words(value: object) -> tuple[str, ...]:
    """Names of queues and the like: a list, or one text parted by commas; each is checked, since commands get it."""
    found = [str(item).strip() for item in (value if isinstance(value, list | tuple) else str(value).split(","))]
    for item in found:
        if isinstance(value, list) and not item:
            raise ValueError("has an empty element")
        word(item)
    return tuple(dict.fromkeys(item for item in found if item))


def word(text: str) -> str:
    """One name for a batch system or a cloud: no blanks and nothing that a shell or a scheduler would read."""
    if text and (not _WORD.fullmatch(text) or not text.isprintable() or text.startswith("-")):
        raise ValueError(
            f"{clip(text)} is not a name: no blanks, commas, quotes or other signs that shells read; no - in front"
        )
    return text


def line(text: str) -> str:
    """Any printable text on one line."""
    if not text.isprintable():
        raise ValueError("has control characters; write it on one line")
    return text


def lines(value: object) -> tuple[str, ...]:
    """A list of lines; a single text is one."""
    found = [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
    return tuple(line(item.strip()) for item in found if item.strip())


def walltime(text: str) -> float:
    """Seconds in a duration ("2h", "90m"), or as batch systems write it ("12:00:00", "1-12:00:00")."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        try:
            return span(0)(text)
        except ValueError as error:
            raise ValueError(f'{error}; or as batch systems have it, "12:00:00"') from None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    if seconds > 59 or (match[2] and minutes > 59):
        raise ValueError(f'{clip(text)} is not a time such as "12:00:00"')
    return float(days * 86400 + hours * 3600 + minutes * 60 + seconds)


ONLY_A_SHELL = frozenset(";&<>$()\n\r\0")
"""Signs that mean something to a shell; a `*` is meant for the command: qmod -d *@node1."""

_AWK = re.compile(
    r"\| *awk '\{\{ *print +\$[0-9]+ *;? *\}\}'"
)  # which adapters do themselves; see schedulers/template.py


def template(most: int, pipes: bool = False) -> Callable[[str], str]:
    """A command whose arguments stand as {0}, {1} … up to `most` of them, as Dynamic Cluster has it.

    pipes: a `|` and backticks may be in it, which the adapters of batch systems understand.
    """

    def convert(text: str) -> str:
        if not text:
            return ""
        line(text)
        try:
            names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
        except ValueError:
            raise ValueError("has a { or } of its own; write {{ and }}") from None
        for name in names:
            if not re.fullmatch(r"[0-9]{1,2}", name) or int(name) >= most:
                known = ", ".join(f"{{{number}}}" for number in range(most)) or "none"
                raise ValueError(
                    f"has {{{clip(name, 20)[1:-1]}}}; the arguments here are {known}; write {{{{ for a brace"
                )
        if not text.startswith("/"):
            raise ValueError(f"{clip(text.split(maxsplit=1)[0])} is not a program's full path such as /usr/bin/qstat")
        try:
            shlex.split(text)
        except ValueError:
            raise ValueError("has a quote that is not closed") from None
        if bad := ONLY_A_SHELL & set(_AWK.sub("", text)) if pipes else (ONLY_A_SHELL | set("|`")) & set(text):
            raise ValueError(
                f"has {clip(''.join(sorted(bad)))}, which needs a shell, and commands run without one; put it into a "
                "script and name that"
            )
        return text

    return convert


def pool_name(text: str) -> str:
    """A pool's name, which gets into names of nodes, files and tags."""
    if not _POOL.fullmatch(text):
        raise ValueError("is no name for a pool: letters, digits, dots, hyphens and underscores, at most 40")
    return text


def prefix(text: str) -> str:
    """The beginning of host names."""
    if text and not _PREFIX.fullmatch(text):
        raise ValueError(
            f"{clip(text)} cannot begin a host name: a letter first, then letters, digits and hyphens, at most 40"
        )
    return text


def dotted(text: str) -> str:
    """A class by its dotted name."""
    if text and not _CLASS.fullmatch(text):
        raise ValueError(f"{clip(text)} is not a class such as package.module.Class")
    return text


def money(text: str) -> float:
    """An amount that is not negative."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise ValueError(f"{clip(text)} is not an amount such as 0.25")
    return float(text)


def amount(text: str) -> float:
    """A number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) or not float(text):
        raise ValueError(f"{clip(text)} is not a number above 0")
    return float(text)


def fraction(text: str) -> float:
    """A part of a whole, "5%"."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%", text)
    if match is None or float(match[1]) > 50:
        raise ValueError(f"{clip(text)} is not a percentage from 0% to 50%")
    return float(match[1]) / 100


def address(text: str) -> str:
    """One address of a master: host, host:port, IPv6 address or [IPv6 address]:port."""
    place = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?", text) or re.fullmatch(r"([^:]+):([0-9]{1,5})", text)
    if place is not None:
        if place[2] is not None:
            whole(1, 65535)(place[2])
        host(place[1])
        return text
    return host(text)


_USER = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"


def machines(value: object) -> tuple[str, ...]:
    """Host names, perhaps with user@ in front; all that are none are told at once."""
    found = [str(item).strip() for item in (value if isinstance(value, list | tuple) else str(value).split(","))]
    if wrong := list(filter(None, map(_machine_fault, filter(None, found)))):
        raise ValueError("; ".join(wrong))
    return tuple(dict.fromkeys(item for item in found if item))


def _machine_fault(item: str) -> str:
    user, at, name = item.rpartition("@")
    if at and not re.fullmatch(_USER, user):
        return f"{clip(item)} does not begin with the name of a user"
    try:
        host(name)
    except ValueError as error:
        return str(error)
    return ""


def user_name(text: str) -> str:
    """A user of another machine; "" = not said."""
    if text and not re.fullmatch(_USER, text):
        raise ValueError(f"{clip(text)} is not the name of a user")
    return text


def listed(convert: Callable[[object], T]) -> Any:
    """As `fields.kind`, for what may be a list."""
    return PlainValidator(convert)


def maybe_size(text: str) -> int:
    """A size in bytes; "" and 0 are not said."""
    return size(text) if text not in ("", "0") else 0


_DISK = re.compile(
    r"(/dev/)?[a-z][a-z0-9]{1,20}="
    r"(none|ephemeral[0-9]{1,2}|[1-9][0-9]{0,4}(:[a-z][a-z0-9]{1,10})?|snap-[0-9a-f]{8,17}(:[1-9][0-9]{0,4})?"
    r"(:[a-z][a-z0-9]{1,10})?)"
)


def disks(value: object) -> tuple[str, ...]:
    """Disks of an instance, each "DEVICE=WHAT"."""
    found = words(value)
    for item in found:
        if not _DISK.fullmatch(item):
            raise ValueError(
                f"{clip(item)} is no disk such as /dev/sda1=40, /dev/sda1=40:gp3, /dev/sdf=snap-0123456789abcdef0 or "
                "/dev/sdb=ephemeral0"
            )
    devices = [item.partition("=")[0] for item in found]
    if len(set(devices)) < len(devices):
        raise ValueError("names a device twice")
    return found


Fraction = Annotated[float, kind(fraction)]
Hosts = Annotated[tuple[str, ...], listed(machines)]
User = Annotated[str, kind(user_name)]
YesNo = Annotated[bool, kind(yes_no)]
Words = Annotated[tuple[str, ...], listed(words)]
Word = Annotated[str, kind(word)]
Line = Annotated[str, kind(line)]
Disks = Annotated[tuple[str, ...], listed(disks)]
Lines = Annotated[tuple[str, ...], listed(lines)]
Walltime = Annotated[float, kind(walltime)]
Seconds = Annotated[float, kind(span(0))]
SomeSeconds = Annotated[float, kind(span(0.05))]
Prefix = Annotated[str, kind(prefix)]
Dotted = Annotated[str, kind(dotted)]
Money = Annotated[float, kind(money)]
Amount = Annotated[float, kind(amount)]
File = Annotated[str, kind(path)]
MaybeBytes = Annotated[int, kind(maybe_size)]
PortNumber = Annotated[int, kind(whole(0, 65535))]
Workers = Annotated[int, kind(whole(1, 64))]
Count = Annotated[int, kind(whole(0, 1_000_000))]
FileSize = Annotated[int, kind(whole(0, 10**11))]
Some = Annotated[int, kind(whole(1, 1_000_000))]
Rank = Annotated[int, kind(whole(-1_000_000, 1_000_000))]
Level = Annotated[int, kind(whole(0, 3))]
Command0 = Annotated[str, kind(template(0))]
Piped0 = Annotated[str, kind(template(0, pipes=True))]
Piped1 = Annotated[str, kind(template(1, pipes=True))]
Command2 = Annotated[str, kind(template(2))]
Piped2 = Annotated[str, kind(template(2, pipes=True))]
Command3 = Annotated[str, kind(template(3))]
Piped3 = Annotated[str, kind(template(3, pipes=True))]
Piped4 = Annotated[str, kind(template(4, pipes=True))]
Masked = Annotated[Secret, PlainValidator(secret)]
