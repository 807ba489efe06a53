"""Values that are needed by other tasks and stay at the master: fetched when somebody asks, else forgotten.

Everything but `Stay.__del__` is for the reactor's thread.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from asyncluster.client.outcomes import ERROR, meaning
from asyncluster.errors import AsynClusterError, RefusedError
from asyncluster.model.messages import Forget, Message, Outcome, Result, Want
from asyncluster.model.refusal import read

Answer = Callable[[int, Any], object]
"""Is told what came of asking: kind and value as of `outcomes.meaning`."""

SEQS = 10_000
"""In one Forget or Want, which the wire would cut otherwise."""


class Stay:
    """Stands for the value of a call while it is at the master.  Once nobody holds it the master may forget the value.

    name: the call's, for messages; size: of the pickled value, in bytes; payload: it, where it came unasked.
    """

    __slots__ = ("__weakref__", "_gone", "name", "payload", "seq", "size")

    def __init__(self, seq: int, size: int, name: str, gone: Callable[[int], object]) -> None:
        self.seq, self.size, self.name, self._gone = seq, size, name, gone
        self.payload: bytes | None = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the program may be at its end
            self._gone(self.seq)

    def open(self, payload: bytes) -> tuple[int, Any]:
        """(VALUE, value) or (ERROR, exception), from what was fetched."""
        return meaning(Result(0, self.seq, 0, Outcome.VALUE, payload), self.name)


class Stays:
    """Those of one job.  `wake` is to have `messages` sent soon; it is called from any thread."""

    def __init__(self, job: int) -> None:
        self.job = job
        self.wake: Callable[[], object] = lambda: None
        self._live: WeakValueDictionary[int, Stay] = WeakValueDictionary()
        self._gone: deque[int] = deque()
        self._fetching: dict[int, tuple[Stay, list[Answer]]] = {}
        self._wanted: list[int] = []
        self._ended: AsynClusterError | None = None

    def add(self, result: Result, name: str) -> Stay:
        """The master told of one."""
        stay = self._live[result.seq] = Stay(result.seq, int(result.payload), name, self.forget)
        return stay

    def forget(self, seq: int) -> None:
        """Nobody wants that value; from any thread."""
        self._gone.append(seq)
        self.wake()

    def again(self, result: Result) -> None:
        """A result came of a task that has ended here: said once more after a break, or the master cannot send it."""
        stay = self._live.get(result.seq)
        if stay is None:
            if result.outcome == Outcome.STAYS:
                self.forget(result.seq)
        elif result.outcome == Outcome.VALUE:
            stay.payload = result.payload
            self.came(result.seq, result.payload)
        elif result.outcome != Outcome.STAYS:
            self._fail(result.seq, RefusedError(*read(result.payload)))

    def fetch(self, stay: Stay, answer: Answer) -> None:
        """Ask for a value; the answer may be RefusedError, or why the job ended."""
        if stay.payload is not None:
            answer(*stay.open(stay.payload))
        elif self._ended is not None:
            answer(ERROR, _left(stay, self._ended))
        else:
            _, waiting = self._fetching.setdefault(stay.seq, (stay, []))
            waiting.append(answer)
            if len(waiting) == 1:
                self._wanted.append(stay.seq)
                self.wake()

    def came(self, seq: int, payload: bytes) -> None:
        """A value is here."""
        stay, waiting = self._fetching.pop(seq, (None, []))
        for answer in waiting:
            assert stay is not None
            answer(*stay.open(payload))

    @property
    def pending(self) -> bool:
        """Whether the master is to be told something."""
        return bool(self._wanted or self._gone)

    def messages(self) -> list[Message]:
        """What the master is to be told now."""
        if not self.pending:
            return []
        wanted, self._wanted = self._wanted, []
        gone: list[int] = []
        while self._gone:
            gone.append(self._gone.popleft())
        told: list[Message] = [Want(self.job, wanted[at : at + SEQS]) for at in range(0, len(wanted), SEQS)]
        told += [Forget(self.job, gone[at : at + SEQS]) for at in range(0, len(gone), SEQS)]
        return told

    def resume(self) -> None:
        """The link is a new one: what was asked for is asked for again."""
        self._wanted = list(self._fetching)

    def end(self, why: AsynClusterError) -> None:
        """The job is over."""
        self._ended = why
        for seq, (stay, _) in list(self._fetching.items()):
            self._fail(seq, _left(stay, why))

    def _fail(self, seq: int, why: AsynClusterError) -> None:
        for answer in self._fetching.pop(seq, (None, []))[1]:
            answer(ERROR, why)


def _left(stay: Stay, why: AsynClusterError) -> AsynClusterError:
    return type(why)(
        f"the value of {stay.name}() ({stay.size:,} bytes) was needed by other tasks only and stayed at the master, "
        f"which has dropped it: {why}; ask for result() before that"
    )
