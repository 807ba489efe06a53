"""What a task asks for: room, features, and how long and how often it may be tried.

A `Need` belongs to a `Code`: all tasks that call one code ask for the same, so a task stays as small as its
arguments.  A client that calls one function with two needs ships two codes.
"""

from __future__ import annotations

import msgspec

MOST_RETRIES = 1000
MOST_SECONDS = 1e9
MOST_FEATURES = 32
LONGEST_FEATURE = 64


class Need(msgspec.Struct, frozen=True, array_like=True):
    """Of each task of a code.

    cores: of the node, 1 or more (a slot stands for as many cores as the node has per slot); memory: bytes, for
    placing and as a limit, 0 = undeclared; gpus: whole devices; features: words, all of which the node must
    have; time_limit: seconds an attempt may run, 0 = for ever; retries: how often an attempt that raised (or
    went over a limit) is tried again; wait: rather wait than fail when no present node can ever run it.
    """

    cores: int = 1
    memory: int = 0
    gpus: int = 0
    features: tuple[str, ...] = ()
    time_limit: float = 0.0
    retries: int = 0
    wait: bool = False

    def fault(self) -> str:
        """Why such a need cannot be; "" when it can."""
        if not 1 <= self.cores < 2**31:
            return f"cores must be 1 or more, not {self.cores}"
        if not 0 <= self.memory < 2**62:
            return f"memory must be 0 bytes or more, not {self.memory}"
        if not 0 <= self.gpus < 2**31:
            return f"gpus must be 0 or more, not {self.gpus}"
        if not 0 <= self.time_limit <= MOST_SECONDS:
            return f"time_limit must be 0 to {MOST_SECONDS:.0e} seconds, not {self.time_limit}"
        if not 0 <= self.retries <= MOST_RETRIES:
            return f"retries must be 0 to {MOST_RETRIES}, not {self.retries}"
        if len(self.features) > MOST_FEATURES or not all(map(is_feature, self.features)):
            return f"features must be at most {MOST_FEATURES} printable words of at most {LONGEST_FEATURE} characters"
        return ""


def is_feature(word: str) -> bool:
    """Whether a node or a task may name a feature so."""
    return 0 < len(word) <= LONGEST_FEATURE and word.isprintable() and " " not in word and "," not in word


PLAIN = Need()
"""One slot, no limits."""


def slots_of(cores: int, node_slots: int, node_cores: int) -> int:
    """Slots that a task takes on such a node: one for one core, else its cores' share, rounded up.

    A slot stands for cores/slots of its node's cores.  More than `node_slots` means that it never fits there.
    """
    if cores <= 1:
        return 1
    return max(1, -(-cores * node_slots // max(1, node_cores)))
