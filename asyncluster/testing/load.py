"""Work to be done while faults happen, and what must hold of it afterwards.

Each run of a task leaves a line when it begins and one when it ends.  So a task can be asked how often it was run,
and whether what is said of it is true.

`python -m asyncluster.testing.load SOCKET RECONNECT` is a client that hands over work and waits until it is killed.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any

import attrs

from asyncluster.client.attach import Jobs
from asyncluster.client.futures import Cluster
from asyncluster.errors import AsynClusterError

AHEAD = 60
"""So many tasks are out at a time."""

DROPPED = 12
"""A job that is cancelled wholly has up to so many tasks."""

LIMIT = 150.0
"""Seconds in which everything is done once the faults are over, on any machine."""


def note(log: str, number: int, seconds: float, size: int, fails: bool) -> tuple[int, int]:
    """The task: says that it begins, works, says that it ends."""
    _line(log, f"begin {number} {os.getpid()}")
    time.sleep(seconds)
    _line(log, f"end {number} {os.getpid()}")
    if fails:
        raise ArithmeticError(number)
    return number, size


def note_large(log: str, number: int, seconds: float, payload: bytes, fails: bool) -> tuple[int, bytes]:
    """The same, with something to carry both ways."""
    return note(log, number, seconds, len(payload), fails)[0], payload[::-1]


def _line(log: str, text: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode() + b"\n")
    finally:
        os.close(descriptor)


@attrs.define(eq=False)
class Load:
    """A client with much to do.  Hands over from a thread of its own until `finish`."""

    socket: str
    log: Path
    seed: int
    submitted: int = 0
    refusals: list[BaseException] = attrs.field(factory=list)  # what `submit` raised
    _out: dict[int, Future[Any]] = attrs.field(factory=dict)
    _cancelled: set[int] = attrs.field(factory=set)
    _large: dict[int, int] = attrs.field(factory=dict)
    _failing: set[int] = attrs.field(factory=set)
    _enough: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None
    _cancelling: threading.Thread | None = None
    dropped: int = 0  # jobs that were cancelled wholly
    cluster: Cluster = attrs.field(init=False)

    def start(self) -> None:
        """Connect, and begin."""
        self.cluster = Cluster(socket=self.socket, output=None, crash_limit=1000, reconnect=600, name="load")
        self._thread = threading.Thread(target=self._submit, name="load", daemon=True)
        self._thread.start()
        self._cancelling = threading.Thread(target=self._cancel_jobs, name="cancelling", daemon=True)
        self._cancelling.start()

    def _cancel_jobs(self) -> None:
        """Hand in jobs that would last for ever, and cancel them by number while they run."""
        chance = random.Random(self.seed + 1)  # noqa: S311 (as below)
        try:
            while not self._enough.wait(chance.uniform(0.5, 1.5)):
                try:
                    # it may end while its link is broken: then its master waits for so many seconds
                    cluster = Cluster(socket=self.socket, output=None, crash_limit=1000, reconnect=20, name="dropped")
                except AsynClusterError:  # no master is there just now: before there is a job nobody waits for one
                    continue
                with cluster:
                    self._drop_one(cluster, chance.randint(1, DROPPED))
                self.dropped += 1
        except BaseException as error:
            self.refusals.append(error)

    def _drop_one(self, cluster: Cluster, count: int) -> None:
        futures = [cluster.submit(time.sleep, 10_000) for _ in range(count)]
        end = time.monotonic() + LIMIT
        while wait(futures, 0.2).not_done and time.monotonic() < end:
            try:  # what has come there by now, and what a killed master had not written down
                with Jobs(socket=self.socket, reconnect=600) as jobs:
                    jobs.cancel(cluster.job)
            except AsynClusterError:  # as above; or the job's client has not come back to that master yet
                continue
        cancelled = sum(future.cancelled() for future in futures)
        if cancelled != count:
            cluster.shutdown(wait=False, cancel_futures=True)
        assert cancelled == count, f"{cancelled} of {count} tasks of a job that was cancelled ended so"

    def _submit(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311 (it has to be repeatable)
        try:
            while not self._enough.is_set():
                if sum(not future.done() for future in self._out.values()) >= AHEAD:
                    self._enough.wait(0.02)
                    continue
                self._one(chance)
        except BaseException as error:
            self.refusals.append(error)

    def _one(self, chance: random.Random) -> None:
        number = self.submitted
        self.submitted += 1
        seconds = chance.choice([0.0, 0.0, 0.01, 0.05, 0.2, 1.0])
        fails = chance.random() < 0.05
        if fails:
            self._failing.add(number)
        if chance.random() < 0.05:
            size = self._large[number] = chance.choice([70_000, 300_000])
            payload = bytes([number % 256]) * size
            self._out[number] = self.cluster.submit(note_large, str(self.log), number, seconds, payload, fails)
        else:
            self._out[number] = self.cluster.submit(note, str(self.log), number, seconds, number * 3, fails)
        if chance.random() < 0.05:
            victim = chance.choice(list(self._out)[-AHEAD:])
            if self._out[victim].cancel():
                self._cancelled.add(victim)

    def finish(self) -> list[str]:
        """Submit no more, wait for all, close.  What was wrong."""
        self._enough.set()
        assert self._thread is not None
        self._thread.join()
        assert self._cancelling is not None
        self._cancelling.join()
        end = time.monotonic() + LIMIT
        wrong = [f"submitting or cancelling raised {error!r}" for error in self.refusals]
        for number, future in self._out.items():
            fault = self._fault(number, future, max(end - time.monotonic(), 0.1))
            if fault:
                wrong.append(f"task {number}: {fault}")
            if len(wrong) > 10:
                break
        self.cluster.shutdown(wait=not wrong, cancel_futures=bool(wrong))
        return wrong

    def _fault(self, number: int, future: Future[Any], seconds: float) -> str:
        try:
            value = future.result(seconds)
        except CancelledError:
            return "" if number in self._cancelled else "it was cancelled by nobody"
        except ArithmeticError as error:
            return "" if number in self._failing and error.args == (number,) else f"it raised {error!r}"
        except TimeoutError:
            return f"it has no result ({future!r})"
        except Exception as error:
            return f"it raised {error!r}"
        size = self._large.get(number)
        wanted = (number, number * 3) if size is None else (number, bytes([number % 256]) * size)
        return "" if value == wanted and number not in self._failing else f"its value is {str(value)[:60]}"

    def answered(self) -> set[int]:
        """Tasks that gave a value or raised."""
        return {number for number, future in self._out.items() if future.done() and not future.cancelled()}


def runs(log: Path, word: str) -> Counter[int]:
    """How often each task came to its "begin" or its "end"."""
    lines = (line.split() for line in log.read_text().splitlines()) if log.exists() else ()
    return Counter(int(line[1]) for line in lines if line[0] == word)


def main(socket: str, reconnect: str) -> None:
    """A client that is there to be killed: much of what it wants is large, and takes long."""
    with Cluster(socket=socket, output=None, crash_limit=1000, reconnect=float(reconnect), name="bystander") as cluster:
        while True:
            futures = [cluster.submit(bytes, size) for size in (10, 300_000) * 10]
            sleeps = [cluster.submit(time.sleep, 0.5) for _ in range(4)]
            everything: list[Future[Any]] = [*futures, *sleeps]
            for future in everything:
                future.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
