"""What stands in a script that is submitted: lines `#ASYNCLUSTER --cores 4`; pure.  And numbers of arrays."""

from __future__ import annotations

import codecs
import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import attrs

WORD = "#ASYNCLUSTER"
MOST_TASKS = 1_000_000

ALIKE = 0.85
"""A word that is so much like ours, from 0 to 1, is meant to be ours."""

_ALMOST = re.compile(r"#[ \t]*([A-Za-z][A-Za-z_.-]*):?[ \t]+-", re.ASCII)
_PART = re.compile(r"(\d{1,12})(?:-(\d{1,12})(?::(\d{1,12}))?)?", re.ASCII)


@attrs.frozen
class Directive:
    """The options in one line, counted from 1."""

    line: int
    words: list[str]


@attrs.frozen
class Origins:
    """In which line of a script options stand, by name; of those only that count."""

    file: str = ""
    lines: Mapping[str, int] = attrs.field(factory=dict)

    def of(self, names: Iterable[str]) -> str:
        """How an error about these options begins: "sweep.sh, line 2: "; "" where none of them is the script's."""
        numbers = sorted({self.lines[name] for name in names if name in self.lines})
        if not numbers:
            return ""
        return f"{self.file}, line{'' if len(numbers) == 1 else 's'} {' and '.join(map(str, numbers))}: "


def directives(text: str) -> list[Directive]:
    """Those before the first line that is neither empty nor a comment; `##ASYNCLUSTER` is a comment.

    Raises ValueError (line and reason) for one that comes later, where nobody would read it, for unpaired quotes, and
    for a line with options whose first word is almost ours.
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
        elif not begun and (word := _almost(line)):
            raise ValueError(
                f"line {number}: {word} is no directive; did you mean {WORD}? (A line that begins with ## is a comment)"
            )
        elif line.strip() and not line.lstrip().startswith("#"):
            begun = begun or number
    return found


def _almost(line: str) -> str:
    """What somebody wrote who meant a directive, before its options: nearly the right word; "" for a comment."""
    match = _ALMOST.match(line)
    if match is None or difflib.SequenceMatcher(None, f"#{match[1].upper()}", WORD).ratio() < ALIKE:
        return ""
    return line[: match.end(1)]


def is_script(content: bytes) -> bool:
    """Whether a file is a text, so that it can travel as a script."""
    return b"\0" not in content


def says_its_shell(file: str, content: bytes) -> bool:
    """Whether it is known what runs a script: its first line names it, or the file is a shell's by its name."""
    return content.removeprefix(codecs.BOM_UTF8).startswith(b"#!") or file.endswith(".sh")


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
