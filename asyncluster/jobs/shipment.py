"""How much code and how many steps a job may ship: they stay at the master, and at each node that works for it.

Large ones lie where payloads lie, beyond a bound on the disk; the others take memory for as long as the job is open.
"""

from __future__ import annotations

import attrs

from asyncluster.model.bulk import LARGE
from asyncluster.model.messages import Code, CodeKind, Step

MOST_CODES = 10_000
MOST_STEPS = 100_000
MOST_SMALL_BYTES = 64 * 1024**2
MOST_LARGE_BYTES = 4 * 1024**3
LONGEST_NAME = 1000  # bytes of the name of a function


@attrs.define
class Shipment:
    """What one job has shipped, in bytes."""

    small: int = 0
    large: int = 0

    def fault_of_code(self, code: Code, codes: int) -> str:
        """Why this code is one too many, or too large, for a job with so many; "" when it is not: then it counts."""
        if codes >= MOST_CODES:
            return f"a job may ship {MOST_CODES:,} functions, and this one has; pass what differs as arguments"
        if code.kind == CodeKind.NAME and len(code.payload) > LONGEST_NAME:
            return f"the name of a function has at most {LONGEST_NAME:,} bytes, not {len(code.payload):,}"
        return self._add(len(code.payload), "functions with what they capture; pass bulk data as arguments")

    def fault_of_step(self, step: Step, steps: int) -> str:
        """The same for a step."""
        if steps >= MOST_STEPS:
            return f"a job may have {MOST_STEPS:,} steps (source, updates, imports), and this one has"
        return self._add(len(step.payload), "steps (source, updates, imports); pass bulk data as arguments of tasks")

    def _add(self, size: int, what: str) -> str:
        large = size > LARGE
        used, most = (self.large, MOST_LARGE_BYTES) if large else (self.small, MOST_SMALL_BYTES)
        if used + size > most:
            each = f"above {LARGE:,} bytes each" if large else f"up to {LARGE:,} bytes each"
            return f"a job may ship {most:,} bytes {each}; this one has shipped {used:,}, and {size:,} more as {what}"
        if large:
            self.large += size
        else:
            self.small += size
        return ""
