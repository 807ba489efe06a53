"""Where a piece of output stands in what a task wrote, so that what comes twice is shown once; pure.

A number: which run of a task wrote it (a counter of the worker's place, from a random beginning), and the bytes that
this run had written to that stream before.  -1, of a node of the release before, says nothing.
"""

from __future__ import annotations

from asyncluster.model.messages import Output

_OFFSET_BITS = 39
RUNS = 1 << 24
"""Runs are counted modulo this."""

MOST = 8192
"""Streams of tasks that are remembered: those that were written to last."""


def position(run: int, offset: int) -> int:
    """Of what begins at that offset in bytes."""
    return (run % RUNS) << _OFFSET_BITS | offset


class Seen:
    """What has come."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._ends: dict[tuple[int, int, int], int] = {}

    def fresh(self, message: Output) -> bytes:
        """What of it has not come before, which is known of the streams that were written to last."""
        at, payload = message.at, message.payload
        if at < 0:
            return payload
        key, after = (message.job, message.seq, message.stream), at + len(payload)
        end = self._ends.pop(key, -1)
        if at < end and at >> _OFFSET_BITS == end >> _OFFSET_BITS:
            self._ends[key] = max(end, after)
            return payload[end - at :]
        self._ends[key] = after
        if len(self._ends) > self._most:
            del self._ends[next(iter(self._ends))]
        return payload
