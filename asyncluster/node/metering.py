"""How much a task may write, and the end of what a worker wrote to its stderr.

Pure: bytes in, messages out.
"""

from __future__ import annotations

from asyncluster.model.messages import Message, Output
from asyncluster.model.notices import cut
from asyncluster.model.positions import position

PIECE = 65_536  # bytes of one `Output` at most
TAIL = 2_048  # bytes of stderr kept for the message of a death
STEP_SEQ = -1  # the `seq` of what a step wrote


class Meter:
    """What one worker writes.  `place` is "node/worker"; `limit` is in bytes a task; `run`: where to begin to count."""

    def __init__(self, place: str, limit: int, run: int = 0) -> None:
        self._place, self._limit, self._run = place, limit, run
        self._written = [0, 0, 0]  # by stream, of this run: what was passed on
        self._writer = (-1, -1)  # job and seq
        self._taken = self._dropped = 0
        self._tail = b""

    @property
    def tail(self) -> str:
        """The last that was written to stderr."""
        return self._tail.decode("utf-8", "replace").strip()

    def take(self, job: int, seq: int, stream: int, data: bytes) -> list[Message]:
        """Somebody wrote; `stream` is 1 or 2."""
        told: list[Message] = []
        if (job, seq) != self._writer:
            told = self.end()
            self._writer = (job, seq)
            self._run, self._written = self._run + 1, [0, 0, 0]
        if stream == 2:
            self._tail = (self._tail + data[-TAIL:])[-TAIL:]
        kept = data[: max(0, self._limit - self._taken)]
        self._taken += len(kept)
        self._dropped += len(data) - len(kept)
        before = position(self._run, self._written[stream])
        self._written[stream] += len(kept)
        told += [
            Output(job, seq, stream, self._place, kept[at : at + PIECE], before + at)
            for at in range(0, len(kept), PIECE)
        ]
        return told

    def end(self) -> list[Message]:
        """Whoever wrote last is done: say once what was left out."""
        dropped, self._taken, self._dropped, self._tail = self._dropped, 0, 0, b""
        (job, seq), self._writer = self._writer, (-1, -1)
        if not dropped:
            return []
        return [Output(job, seq, 2, self._place, cut(dropped, self._limit))]
