"""Durations, sizes and log levels as people write them: parsed and printed.

Decides which spellings are accepted.  Knows no configuration file: every fault is a ValueError whose
text shows what was written and what would have been right.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_SECONDS["w"] = 7 * _SECONDS["d"]
_DURATION_WORDS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_PREFIXES = "KMGTPE"
_SIZE_WORDS = {"": 1, "b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate(_PREFIXES.lower(), start=1):
    _SIZE_WORDS[_letter] = _SIZE_WORDS[_letter + "ib"] = 1024**_power
    _SIZE_WORDS[_letter + "b"] = 1000**_power

# Lengths are bounded so that a hostile "1" * 1e6 costs nothing.
_PART = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*([a-z]*)\s*", re.ASCII)
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)

LONGEST = 100 * 365 * 86400.0
"""The longest duration accepted, in seconds: a century; more is a slip of the finger."""

LARGEST = 2**63 - 1
"""The largest size accepted, in bytes."""

LEVELS = ("debug", "info", "warn", "error", "critical")
"""Names of log levels, the most talkative first (those of twisted.logger)."""

DURATION_FORMS = '"90s", "2h", "1h 30m", "500ms", or a plain number of seconds'
SIZE_FORMS = '"16 MiB", "1G" (both count in 1024), "16 MB" (counts in 1000), or a plain number of bytes'
LEVEL_FORMS = '"info", or "info, asyncluster.wire=debug"; levels are ' + ", ".join(LEVELS)


def clip(text: str, limit: int = 60) -> str:
    """Quote what somebody wrote for a message: one printable line of about `limit` characters."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return f'"{text}"' if text.isprintable() else ascii(text)


def parse_duration(text: str) -> float:
    """Seconds in "90s", "2h", "1h 30m", "500ms" or "90".

    Raises ValueError, with the accepted forms, for anything else, a repeated unit, or more than `LONGEST`.
    """
    wrong = ValueError(f"{clip(text)} is not a duration; write {DURATION_FORMS}")
    parts = _parts(text)
    if not parts:
        raise wrong
    if len(parts) == 1 and not parts[0][1]:
        total = parts[0][0]
    else:
        units = [_DURATION_WORDS.get(word) for _, word in parts]
        if None in units or len(set(units)) != len(units):
            raise wrong
        total = sum(
            (number * _SECONDS[unit] for (number, _), unit in zip(parts, units, strict=True) if unit), Decimal(0)
        )
    if total > LONGEST:
        raise ValueError(f"{clip(text)} is more than a century; write {DURATION_FORMS}")
    return float(total)


def format_duration(seconds: float) -> str:
    """A duration in seconds, to the millisecond, as `parse_duration` reads it: "1h 30m", "1.5s", "0s".

    Raises ValueError for what is negative, infinite or not a number.
    """
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{seconds!r} is not a duration of 0 to {LONGEST:.0f} seconds")
    rest = round(Decimal(repr(float(seconds))) * 1000)
    words = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count}{unit}")
    if rest and rest < 1000 and not words:
        words.append(f"{rest}ms")
    elif rest or not words:
        whole, thousandths = divmod(rest, 1000)
        words.append(f"{whole}.{thousandths:03}".rstrip("0").rstrip(".") + "s")
    return " ".join(words)


def parse_size(text: str) -> int:
    """Bytes in "16 MiB", "16M", "1.5G", "16 MB" or "4096".

    As GNU's tools have it, "M" and "MiB" count in 1024 and "MB" in 1000.  Raises ValueError, with the
    accepted forms, for anything else, a broken byte, or more than `LARGEST`.
    """
    parts = _parts(text)
    if len(parts) != 1 or parts[0][1] not in _SIZE_WORDS:
        raise ValueError(f"{clip(text)} is not a size; write {SIZE_FORMS}")
    size = parts[0][0] * _SIZE_WORDS[parts[0][1]]
    if size != int(size) or size > LARGEST:
        raise ValueError(f"{clip(text)} is no whole number of bytes below 8 EiB; write {SIZE_FORMS}")
    return int(size)


def format_size(size: int) -> str:
    """A size in bytes, exactly, as `parse_size` reads it: "16 MiB", "1000 B".

    Raises ValueError for what is negative or above `LARGEST`.
    """
    if not 0 <= size <= LARGEST:
        raise ValueError(f"{size!r} is not a size of 0 to {LARGEST} bytes")
    power = 0
    while size and size % 1024 == 0:
        size //= 1024
        power += 1
    return f"{size} {_PREFIXES[power - 1]}iB" if power else f"{size} B"


def parse_levels(text: str) -> dict[str, str]:
    """Log levels by namespace; "" is for all that are not named: "info, asyncluster.wire=debug".

    Raises ValueError, with the accepted forms, for anything else.
    """
    levels: dict[str, str] = {}
    for item in text.split(","):
        namespace, equals, level = (piece.strip() for piece in item.rpartition("="))
        level = {"warning": "warn"}.get(level.lower(), level.lower())
        if level not in LEVELS or (equals and not _NAMESPACE.fullmatch(namespace)):
            raise ValueError(f"{clip(item.strip())} is not a log level; write {LEVEL_FORMS}")
        if namespace in levels:
            raise ValueError(f"{clip(text)} names {namespace or 'the general level'} twice; write {LEVEL_FORMS}")
        levels[namespace] = level
    levels.setdefault("", "info")
    return levels


def _parts(text: str) -> list[tuple[Decimal, str]]:
    """(number, word in lower case) pairs that make up the whole text; empty where they do not."""
    text = text.strip().lower()
    if len(text) > 100:
        return []
    parts = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return []
        parts.append((Decimal(match[1]), match[2]))
        position = match.end()
    return parts


def count(number: int, what: str) -> str:
    """`1 core`, `2 cores`, `1,000 cores`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


CANNOT = "cannot be asked: "
"""How a fault of a source begins that was refused, or was never asked, which is not the same as no answer."""

WAITED_FOR = "has not answered for "
"""How it begins where an answer is still waited for."""


def unanswered(fault: str, words: str) -> str:
    """What a source does that has a fault, to follow its name; words: the part of the fault that is to be told."""
    if fault.startswith(WAITED_FOR):
        return words
    return CANNOT + words.removeprefix(CANNOT) if fault.startswith(CANNOT) else f"does not answer: {words}"


def silence(pool: str, fault: str) -> str:
    """That the cloud of a pool does not answer: the last line of what it said, and where one finds out more."""
    words = (fault.strip().splitlines() or [""])[-1].rpartition("gave no answer: ")[2].removeprefix(CANNOT)
    clipped = words if fault.startswith(WAITED_FOR) else clip(words, 200)
    return f"the cloud of pool {pool} {unanswered(fault, clipped)}; see `asyncluster pool check {pool}`"
