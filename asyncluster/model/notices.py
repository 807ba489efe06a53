"""What is written into a task's stderr where some of its output is missing: who writes it and who reads it agree."""

from __future__ import annotations

import re

from asyncluster.units import format_size

_BEGIN = b"\n[asyncluster: "
_CUT = re.compile(rb"\s*\[asyncluster: ([\d,]+) more bytes of this task's output were dropped: [^\n]*\]\s*")
_LIMIT = "`output limit` in [client] of the node's configuration is "


def cut(dropped: int, limit: int) -> bytes:
    """Lines that say that `dropped` bytes of output were left out, above a limit in bytes."""
    return missed(dropped, f"{_LIMIT}{format_size(limit)} a task")


def missed(dropped: int, why: str) -> bytes:
    """Lines that say that `dropped` bytes of output were left out, and why."""
    reason = " ".join(why.split())
    return f"\n[asyncluster: {dropped:,} more bytes of this task's output were dropped: {reason}]\n".encode()


def is_cut(written: bytes) -> bool:
    """Whether a piece of stderr, or a line of it, is one of these."""
    return _CUT.fullmatch(written) is not None


def is_above_limit(written: bytes) -> bool:
    """Whether a piece of stderr, or a line of it, is what `cut` gives."""
    return _LIMIT.encode() in written and is_cut(written)


def dropped_by(written: bytes | memoryview) -> int:
    """How many bytes a whole piece says are missing; 0 where it says nothing of the kind."""
    if written[: len(_BEGIN)] != _BEGIN:  # nearly all, and cheap
        return 0
    found = _CUT.fullmatch(written)
    return 0 if found is None else int(found[1].replace(b",", b""))
