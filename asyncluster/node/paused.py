"""A worker that was stopped for a while: that time is none of its task's, neither for limits nor for what is charged.

A worker takes the time of its tasks itself, by a clock that does not stop with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from asyncluster.model.messages import Message, Outcome, Result, StepDone
from asyncluster.node.roster import Worker


def let_go_on(worker: Worker, paused: float, now: float) -> None:
    """It was stopped from `paused` to `now`, seconds: what is counted from a moment is counted without that."""

    def later(moment: float) -> float:  # something may have been seen of it while it was being stopped
        return max(moment, now - max(0.0, paused - moment))

    worker.since = later(worker.since)
    worker.nudged = later(worker.nudged)
    worker.looked = later(worker.looked)
    worker.weighed = later(worker.weighed)
    if worker.began is not None:
        worker.began = later(worker.began)
    if worker.sent or worker.awaiting:
        worker.stopped += now - paused


def put_right(worker: Worker, messages: Sequence[Message]) -> None:
    """What was measured of a worker, and how long it was stopped, belongs to the one of these that took longest."""
    results = [message for message in messages if type(message) is Result and message.outcome != Outcome.RETURNED]
    if results and worker.peak:
        max(results, key=lambda result: result.wall).memory = worker.peak
        worker.peak = 0
    timed: list[Result | StepDone] = [*results, *(message for message in messages if type(message) is StepDone)]
    if not timed:
        return
    longest = max(timed, key=lambda each: each.wall)
    longest.wall = max(0, longest.wall - int(worker.stopped * 1e6))
    worker.stopped = 0.0
