"""Placeholders in commands as an administrator writes them."""

from __future__ import annotations

import re

_HOLE = re.compile(r"\{\{|\}\}|\{(\d)\}")


def fill(text: str, values: tuple[str, ...]) -> str:
    """The text with {0}, {1} … filled in one pass, so that no value is read again; {{ and }} become one brace each."""

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        index = int(match[1])
        return values[index] if index < len(values) else ""

    return _HOLE.sub(one, text)
