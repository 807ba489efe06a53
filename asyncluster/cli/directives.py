"""What stands in a script that is submitted: lines `#ASYNCLUSTER --cores 4`; pure.  And numbers of arrays."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

import attrs

WORD = "#ASYNCLUSTER"
MOST_TASKS = 1_000_000

_PART = re.compile(r"(\d{1,12})(?:-(\d{1,12})(?::(\d{1,12}))?)?", re.ASCII)


@attrs.frozen
class Directive:
    """The options in one line, counted from 1."""

    line: int
    words: list[str]


def directives(text: str) -> list[Directive]:
    """Those before the first line that is neither empty nor a comment.

    Raises ValueError (line and reason) for one that comes later, where nobody would read it, and for unpaired quotes.
    """
    found = []
    begun = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line == WORD or line.startswith((f"{WORD} ", f"{WORD}\t")):
            if begun:
                raise ValueError(f"line {number}: {WORD} comes after the first command, in line {begun}; move it up")
            try:
                found.append(Directive(number, shlex.split(line[len(WORD) :], comments=True)))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
        elif line.strip() and not line.lstrip().startswith("#"):
            begun = begun or number
    return found


def is_script(content: bytes) -> bool:
    """Whether a file is a text, so that it can travel as a script."""
    return b"\0" not in content


def array(text: str) -> Sequence[int]:
    """Numbers of "1-1000", "0-99:5", "7" and "1,3,10-20".

    Raises ValueError for anything else, a range that goes down, a number that comes twice, or too many.
    """
    parts: list[range] = []
    for word in text.split(","):
        match = _PART.fullmatch(word.strip())
        if match is None:
            raise ValueError(f'{text!r} is no array; write "1-1000", "0-99:5" or "1,3,10-20"')
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise ValueError(f"{word.strip()!r} has no numbers: the first is above the last, or the step is 0")
        parts.append(range(first, last + 1, step))
    count = sum(map(len, parts))
    if count > MOST_TASKS:
        raise ValueError(f"{text!r} is {count:,} tasks; a job takes at most {MOST_TASKS:,}")
    if len(parts) == 1:
        return parts[0]
    numbers = [number for part in parts for number in part]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{text!r} has a number twice")
    return numbers
