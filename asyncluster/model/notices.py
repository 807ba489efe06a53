"""What a node writes into a task's stderr by itself, so that both who writes it and who reads it agree."""

from __future__ import annotations

import re

from asyncluster.units import format_size

_CUT = re.compile(rb"\s*\[asyncluster: [\d,]+ more bytes of this task's output were dropped: [^\n]*\]\s*")


def cut(dropped: int, limit: int) -> bytes:
    """Lines that say that `dropped` bytes of output were left out, above a limit in bytes."""
    text = (
        f"\n[asyncluster: {dropped:,} more bytes of this task's output were dropped: "
        f"`output limit` in [client] of the node's configuration is {format_size(limit)} a task]\n"
    )
    return text.encode()


def is_cut(written: bytes) -> bool:
    """Whether a piece of stderr, or a line of it, is that."""
    return _CUT.fullmatch(written) is not None
