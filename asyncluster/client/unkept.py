"""What a job has sent and its master may still forget: kept here, in order, until the master says that it is safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat, starmap

from asyncluster.errors import LinkLostError
from asyncluster.model.messages import Message


class Unkept:
    """The Code, Step, After, Task and Cancel messages of one job that the master has not `Kept`, oldest first.

    add: takes messages as they are sent, each of them once; it is the deque's own `extend`, because it lies
    on the way of every call.  forgotten: how many were forgotten so far, an absolute count as in `Kept`.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self.add: Callable[[Iterable[Message]], None] = self._messages.extend
        self.forgotten = 0

    @property
    def sent(self) -> int:
        """How many were added since the job was opened."""
        return self.forgotten + len(self._messages)

    def keep(self, count: int) -> None:
        """The first `count` of all are safe.  A count that is behind says nothing new; one too high is cut."""
        number = min(count, self.sent) - self.forgotten
        if number > 0:
            # without a turn of the interpreter for each: five times as fast
            deque(starmap(self._messages.popleft, repeat((), number)), 0)
            self.forgotten += number

    def resume(self, count: int) -> list[Message]:
        """The master is back and has the first `count`: what to send again, in order.

        Raises LinkLostError where the master cannot go on from there.
        """
        if not self.forgotten <= count <= self.sent:
            raise LinkLostError(
                f"the master has {count} messages of the job, not {self.forgotten} to {self.sent}: "
                "its records are not those that it had"
            )
        self.keep(count)
        return list(self._messages)
