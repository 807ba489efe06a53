"""Slurm's short form for many names: "node[1-3,7],x[01-02]y" and what it stands for."""

from __future__ import annotations

import re
from itertools import product

from asyncluster.units import clip

MOST = 100_000
"""Names in one list."""

_PART = re.compile(r"[^\[\],]+|\[[^\[\]]*\]")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


def expand(text: str) -> tuple[str, ...]:
    """The names, in the order of the list; ValueError where it is none."""
    names: list[str] = []
    for word in _split(text):
        parts = _PART.findall(word)
        if "".join(parts) != word:
            raise ValueError(f"{clip(text)} is no list of hosts")
        choices = [_numbers(part[1:-1]) if part.startswith("[") else [part] for part in parts]
        size = 1
        for choice in choices:
            size *= len(choice)
        if len(names) + size > MOST:
            raise ValueError(f"{clip(text)} names more than {MOST} hosts")
        names.extend("".join(one) for one in product(*choices))
    return tuple(names)


def _split(text: str) -> list[str]:
    """At those commas that are outside of brackets."""
    words = re.split(r",(?![^\[]*\])", text) if text else []
    if not all(words):
        raise ValueError(f"{clip(text)} is no list of hosts")
    return words


def _numbers(text: str) -> list[str]:
    found: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"[{clip(text)}] is no range of hosts")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first > MOST:
            raise ValueError(f"[{clip(text)}] is no range of hosts")
        found.extend(str(number).zfill(len(match[1])) for number in range(first, last + 1))
    return found
