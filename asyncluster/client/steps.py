"""Steps under way: each waits until every present node has done it, or has said why not."""

from __future__ import annotations

import itertools

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError, StepFailedError
from asyncluster.model.messages import StepDone

_log = Logger()


@attrs.define
class _StepWait:
    done: Deferred[None]
    errors: list[str] = attrs.Factory(list)

    def add(self, error: str) -> None:
        """Once each: a master that was away says some things again."""
        if error not in self.errors:
            self.errors.append(error)


class Steps:
    """The steps of one job."""

    def __init__(self) -> None:
        self._waits: dict[int, _StepWait] = {}
        self._next = itertools.count()

    def begin(self) -> tuple[int, Deferred[None]]:
        """The number of a new step, and what fires at its end; fails with StepFailedError that names the nodes."""
        done: Deferred[None] = Deferred()
        number = next(self._next)
        self._waits[number] = _StepWait(done)
        return number, done

    def feed(self, message: StepDone) -> None:
        """A node has done it, or, when no node is named, all have."""
        wait = self._waits.get(message.step)
        if message.node and message.error:
            text = f"node {message.node}: {message.error}"
            if wait is None:  # a node that came later
                _log.warn("a preparation of the job failed on {text}", text=text)
            else:
                wait.add(text)
        if wait is not None and not message.node:
            del self._waits[message.step]
            if message.error:
                wait.add(message.error)
            if wait.errors:
                wait.done.errback(StepFailedError("\n".join(wait.errors)))
            else:
                wait.done.callback(None)

    def fail(self, why: AsynClusterError) -> None:
        """None of them will end any more."""
        waits, self._waits = self._waits, {}
        for wait in waits.values():
            wait.done.errback(why)
