"""Large answers as a few pieces of text: written in a thread, sent in passing.

PB takes tens of microseconds for each small value of an answer, in the reactor; for a piece of text it takes that once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

PIECE = 256 << 10
"""Bytes of one, well below what PB lets through."""


def to_pages(value: object) -> list[bytes]:
    """Basic types as pieces of JSON."""
    text = msgspec.json.encode(value)
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def from_pages(pages: Iterable[bytes]) -> Any:
    """The value again.  Raises ValueError where it was none."""
    return msgspec.json.decode(b"".join(pages))
