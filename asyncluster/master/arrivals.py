"""What the perspectives of nodes and clients share: batches taken apart, and what has to be said of them later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby

from twisted.internet.interfaces import IReactorTime

from asyncluster.model.messages import After, Message, Result, Task

SAY_SECONDS = 0.05
"""How long `Kept` may be gathered: a message of its own for each result would cost everybody a turn."""


class Owing:
    """Jobs whose new count a peer has not been told; `say(job)` is called for each a moment later, once."""

    def __init__(self, clock: IReactorTime, say: Callable[[int], None]) -> None:
        self._clock, self._say = clock, say
        self._jobs: set[int] = set()

    def add(self, jobs: set[int]) -> None:
        """These have a new one."""
        if jobs and not self._jobs:
            self._clock.callLater(SAY_SECONDS, self._tell)
        self._jobs |= jobs

    def _tell(self) -> None:
        jobs, self._jobs = self._jobs, set()
        for job in jobs:
            self._say(job)


def by_kind(messages: list[Message]) -> Iterable[tuple[tuple[type, int], Iterable[Message]]]:
    """Runs of the same kind and job, so that a thousand tasks cost one look-up.

    Where a batch has any `After` of a job, a run of that kind has the job's tasks, too.
    """
    # Mostly all are of one run, which is seen without a call for each.
    if messages and (kind := type(messages[0])) in (Task, Result):
        job = _kind(messages[0])[1]
        if all(type(each) is kind and each.job == job for each in messages):
            return (((kind, job), messages),)
    linked = {message.job for message in messages if type(message) is After}
    return groupby(messages, key=partial(_kind_where, linked) if linked else _kind)


def _kind_where(linked: set[int], message: Message) -> tuple[type, int]:
    kind, job = _kind(message)
    return (After if kind is Task and job in linked else kind), job


def _kind(message: Message) -> tuple[type, int]:
    return type(message), getattr(message, "job", 0)
