"""What an owner's processes may use, by the files that logins go by: limits.conf(5), without PAM.

A daemon was never logged in, so its children have its own limits.  Read and weighed as pam_limits does it: a line for
the user goes before one for his number, that before one for a group, that before one for everybody; among equals the
last one counts; what is said of groups and of everybody does not hold for root.
"""

from __future__ import annotations

import contextlib
import grp
import resource
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from asyncluster.node.identity import Identity

FOLDER = Path("/etc/security")

KIB, MINUTE = 1024, 60
_ITEMS = {
    "core": (resource.RLIMIT_CORE, KIB),
    "data": (resource.RLIMIT_DATA, KIB),
    "fsize": (resource.RLIMIT_FSIZE, KIB),
    "memlock": (resource.RLIMIT_MEMLOCK, KIB),
    "nofile": (resource.RLIMIT_NOFILE, 1),
    "rss": (resource.RLIMIT_RSS, KIB),
    "stack": (resource.RLIMIT_STACK, KIB),
    "cpu": (resource.RLIMIT_CPU, MINUTE),
    "nproc": (resource.RLIMIT_NPROC, 1),
    "as": (resource.RLIMIT_AS, KIB),
    "sigpending": (resource.RLIMIT_SIGPENDING, 1),
    "msgqueue": (resource.RLIMIT_MSGQUEUE, 1),
    "rtprio": (resource.RLIMIT_RTPRIO, 1),
}
"""Which limit it is, and its unit.  Others of the file are no limits of a process, or not the kernel's any more."""
_BOUNDLESS = ("unlimited", "infinity", "-1")
_USER, _NUMBER, _GROUP, _GROUP_NUMBER, _EVERYBODY = range(5)

Limit = tuple[int, int | None, int | None]
"""Number of the limit, soft and hard; None: as it is."""


@attrs.frozen
class Who:
    """A user, by name and numbers; groups: name by number, as far as they have one."""

    name: str
    uid: int
    groups: Mapping[int, str]


def limits_of(name: str, uid: int, groups: Iterable[int], folder: Path = FOLDER) -> tuple[Limit, ...]:
    """What the files of this machine say of a user; files that cannot be read say nothing."""
    files = [folder / "limits.conf", *sorted((folder / "limits.d").glob("*.conf"))]
    return chosen(_lines(files), Who(name, uid, {gid: _group_name(gid) for gid in groups}))


def limits_of_worker(identity: Identity) -> tuple[Limit, ...]:
    """Those of a worker with that identity: its daemon's own where that stays who it is."""
    return limits_of(identity.name, identity.uid, identity.groups) if identity.change else ()


def chosen(lines: Iterable[str], who: Who) -> tuple[Limit, ...]:
    """What these lines say of a user.  A line that makes no sense is passed over, as pam_limits does."""
    found: dict[tuple[int, bool], tuple[int, int]] = {}  # (limit, is hard) -> (how near it is meant, value)
    for line in lines:
        words = line.partition("#")[0].split()
        if len(words) != 4 or words[2] not in _ITEMS or words[1] not in ("soft", "hard", "-"):
            continue
        domain, kind, item, text = words
        nearness = _nearness(domain, who)
        number, unit = _ITEMS[item]
        value = _value(text, unit)
        if nearness is None or value is None:
            continue
        for hard in (False, True):
            known = found.get((number, hard))
            if kind in ("-", "hard" if hard else "soft") and (known is None or nearness <= known[0]):
                found[number, hard] = nearness, value
    numbers = sorted({number for number, _ in found})
    return tuple((number, _of(found, number, False), _of(found, number, True)) for number in numbers)


def apply(limits: Iterable[Limit]) -> None:
    """Give them to this process; one that the system does not let us have stays as it is."""
    for number, soft, hard in limits:
        now_soft, now_hard = resource.getrlimit(number)
        most = now_hard if hard is None else hard
        wanted = now_soft if soft is None else soft
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (min(wanted, most, key=_size), most))


def _size(value: int) -> float:
    return float("inf") if value == resource.RLIM_INFINITY else value


def _of(found: Mapping[tuple[int, bool], tuple[int, int]], number: int, hard: bool) -> int | None:
    known = found.get((number, hard))
    return None if known is None else known[1]


def _nearness(domain: str, who: Who) -> int | None:
    """How near to this user a line's first word is; None: it means others."""
    if domain == who.name:
        return _USER
    if (numbers := _range(domain)) is not None:
        return _NUMBER if who.uid in numbers else None
    if who.uid == 0:
        return None
    if domain == "*":
        return _EVERYBODY
    group = domain.removeprefix("@")
    if group == domain:
        return None
    if group and group in who.groups.values():
        return _GROUP
    numbers = _range(group)
    return _GROUP_NUMBER if numbers is not None and any(gid in numbers for gid in who.groups) else None


def _range(text: str) -> range | None:
    """`500:`, `:500` (that one), `500:600`."""
    first, colon, last = text.partition(":")
    if not colon or not (first or last) or not all(part.isdecimal() or not part for part in (first, last)):
        return None
    if not first:
        return range(int(last), int(last) + 1)
    return range(int(first), int(last) + 1 if last else 1 << 32)


def _value(text: str, unit: int) -> int | None:
    if text in _BOUNDLESS:
        return resource.RLIM_INFINITY
    return int(text) * unit if text.isdecimal() and len(text) < 16 else None


def _lines(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        with contextlib.suppress(OSError):
            yield from file.read_text(encoding="utf-8", errors="replace").splitlines()


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
