"""Large answers as a few pieces of text: written in a thread, sent in passing.

PB takes tens of microseconds for each small value of an answer, in the reactor; for a piece of text it takes that once.
All pieces are one answer, which has a bound (`wire.banana.PROVEN`): lists of one shape shrink to a tenth.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

PIECE = 256 << 10
"""Bytes of one, well below what PB lets through."""


def to_pages(value: object) -> list[bytes]:
    """Basic types as pieces of compressed JSON."""
    text = zlib.compress(msgspec.json.encode(value), 1)
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def from_pages(pages: Any) -> Any:
    """The value again, of a master that is trusted not to send a bomb.  Raises ValueError where it was none."""
    try:
        return msgspec.json.decode(zlib.decompress(b"".join(pages)))
    except (TypeError, zlib.error) as error:
        raise ValueError(f"an answer cannot be read: {error}") from error
