"""What makes no sense in a listing is no answer."""

from __future__ import annotations

import re

from asyncluster.errors import NoAnswerError
from asyncluster.units import clip

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtpKMGTP]?)[bB]?", re.ASCII)
_TIME = re.compile(r"(?:(\d{1,9})[:-])?(?:(\d{1,9}):)?(?:(\d{1,9}):)?(\d{1,12})(?:\.\d+)?", re.ASCII)


class make_sense:  # noqa: N801 (used as a function)
    """A context in which a ValueError, KeyError and the like become NoAnswerError with the program's name."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if isinstance(error, (ValueError, KeyError, IndexError, ArithmeticError)):
            raise NoAnswerError(f"{self.program} printed what makes no sense: {error}") from error


def size(text: str) -> int:
    """Bytes in "16gb", "1.5G", "100mb", "512"; ValueError for anything else."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{clip(text)} is no amount of memory")
    return int(float(found[1]) * 1024 ** " KMGTP".index(found[2].upper() or " "))


def seconds(text: str) -> float:
    """Seconds in "600", "10:00", "1:00:00" or "1:02:03:04"; ValueError for anything else."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{clip(text)} is no length of time")
    parts = [int(part) for part in found.groups() if part is not None]
    total = 0
    for unit, part in zip((1, 60, 3600, 86400), reversed(parts), strict=False):
        total += unit * part
    return float(total)


def elements(text: str) -> int:
    """How many elements of an array "3,5-9:2" names; ValueError where it names none."""
    count = 0
    for part in text.split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        count += (int(last or first) - int(first)) // int(step or 1) + 1
    if count < 1:
        raise ValueError(f"{clip(text)} names no element of an array")
    return count
