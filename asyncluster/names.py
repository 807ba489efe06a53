"""Whether a pickle names something of `__main__`, which is another module on the other side.

A large bytes object, array or text lies in a pickle as it is, outside of the frames that hold everything else
(PEP 3154): nothing in it is a name, and to search it would take longer than to pickle it.
"""

from __future__ import annotations

FRAMED = 64 * 1024
"""What is smaller lies in frames; so short a pickle is searched as a whole, quicker than by looking at it."""

_MAIN = b"__main__"
_FRAME = 0x95
_BULK = {ord("B"): 4, 0x8E: 8, 0x96: 8, ord("X"): 4, 0x8D: 8}
"""The opcodes that a length of so many bytes follows, and then the data: bytes, bytearrays, texts."""

_SHORT = dict.fromkeys(b"\x94(]})\x8f\x85\x86\x87taesu\x90N\x88\x89.bR0\x93\x81", 1) | {ord("h"): 2, ord("K"): 2}
"""Opcodes that stand between frames, since fewer than four bytes get none, and how long they are."""


def names_main(pickled: bytes) -> bool:
    """Whether `__main__` occurs in a pickle of protocol 4 or 5, other than in large data; rather yes than no."""
    if len(pickled) < FRAMED:
        return _MAIN in pickled
    place, end = 2, len(pickled)  # behind the protocol
    while place < end:
        kind = pickled[place]
        if kind in _SHORT:
            place += _SHORT[kind]
            continue
        width = 8 if kind == _FRAME else _BULK.get(kind)
        if width is None:
            return pickled.find(_MAIN, place) >= 0
        begin = place + 1 + width
        place = begin + int.from_bytes(pickled[place + 1 : begin], "little")
        if kind == _FRAME and pickled.find(_MAIN, begin, place) >= 0:
            return True
    return False
