"""Jobs by number, seen from a terminal: their output as it comes, and how they end."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from asyncluster.cli import render
from asyncluster.cli.desk import write
from asyncluster.cli.programs import exit_code
from asyncluster.errors import AsynClusterError, RefusedError, TaskError
from asyncluster.model.messages import Outcome
from asyncluster.model.refusal import read

if TYPE_CHECKING:
    from asyncluster.client.attach import Jobs

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two questions whether anything is new."""

SHOWN = 10
"""Failed tasks of a job whose reasons are shown."""

INTERRUPTED = 130
"""What a shell shows of a program that Ctrl-C has ended."""

LONGEST_LINE = 64 * 1024


@attrs.frozen
class Failure:
    """A task that gave no value; error: None where it was cancelled, or its exception is not for us to unpickle."""

    task: int
    outcome: Outcome
    error: BaseException | None

    @property
    def text(self) -> str:
        """How it ended, on one line."""
        if self.error is None:
            return self.outcome.name.lower()
        kind = "" if isinstance(self.error, AsynClusterError) else f"{type(self.error).__name__}: "
        return kind + (str(self.error).partition("\n")[0] or type(self.error).__name__)

    @property
    def code(self) -> int:
        """What `exec` would exit with."""
        return 1 if self.error is None else exit_code(self.error)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"task": self.task, "outcome": self.outcome.name.lower(), "message": self.text, "code": self.code}


def failures(jobs: Jobs, job: int, yours: bool, most: int | None = None) -> Iterator[Failure]:
    """How tasks failed.  yours: only our own pickles are read, others' could do as they like with us."""
    from asyncluster.client.outcomes import meaning
    from asyncluster.model.messages import Result

    start = 0
    while most is None or start < most:
        ends, count = jobs.failed(job, start)
        for task, outcome, payload in ends[: None if most is None else most - start]:
            known = Outcome(outcome) if outcome in Outcome._value2member_map_ else Outcome.REFUSED
            error: object = None
            if known == Outcome.EXCEPTION and payload and yours:
                error = meaning(Result(job, task, 0, outcome, payload), "the task")[1]
            elif known != Outcome.EXCEPTION and payload:
                error = TaskError(read(payload)[0])
            yield Failure(task, known, error if isinstance(error, BaseException) else None)
        start += len(ends)
        if not ends or start >= count:
            return


def with_failure(jobs: Jobs, job: int, task: int, told: dict[str, Any]) -> dict[str, Any]:
    """What the master told of a task; where it failed by an exception, which the master cannot read, with that."""
    if told.get("state") != "failed" or "exception" not in str(told.get("reason")):
        return told
    yours = bool(_told(jobs, job, known=True)["yours"])
    found = next((each for each in failures(jobs, job, yours) if each.task == task), None)
    return told if found is None or found.error is None else {**told, "reason": found.text}


@contextlib.contextmanager
def left_alone(jobs: Sequence[int]) -> Iterator[None]:
    """While these jobs are only looked at: Ctrl-C ends the looking, and says so; exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        distinct = dict.fromkeys(jobs)
        named = " ".join(map(str, distinct))
        if len(distinct) == 1:
            text, look, cancel = f"job {named} goes on", f"job info {named}", f"job cancel {named}"
        else:
            text, look, cancel = f"jobs {named} go on", "job list", "job cancel ID"
        click.echo(
            f"{text}: look with `asyncluster {look}`, wait again with `asyncluster job wait {named}`, "
            f"cancel with `asyncluster {cancel}`",
            err=True,
        )
        click.get_current_context().exit(INTERRUPTED)


def unfinished(info: dict[str, Any]) -> int:
    """Tasks that have not ended."""
    return int(info["queued"] + info["running"] + info["waiting"])


def finished(info: dict[str, Any]) -> int:
    """Tasks that have."""
    return int(info["done"] + info["failed"] + info["cancelled"])


def _told(jobs: Jobs, job: int, known: bool) -> dict[str, Any]:
    try:
        return jobs.info(job)
    except RefusedError:
        if not known:
            raise
        raise AsynClusterError(f"job {job} is gone: it was forgotten, or its program has ended") from None


def _ends(jobs: Jobs, wanted: Sequence[int], deadline: float | None) -> Iterator[None]:
    """One item for each task that has ended, until all have; raises TimeoutError."""
    seen = dict.fromkeys(wanted, 0)
    left = list(wanted)
    pause = FIRST_PAUSE
    first = True
    while left:
        for job in list(left):
            info = _told(jobs, job, not first)
            for _ in range(finished(info) - seen[job]):
                yield None
            if finished(info) > seen[job]:
                seen[job], pause = finished(info), FIRST_PAUSE
            if not unfinished(info):
                left.remove(job)
        first = False
        if left:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def settle(jobs: Jobs, wanted: Sequence[int], as_json: bool, timeout: float | None = None) -> int:
    """Wait until no task of these jobs is left, tell what failed; returns the exit code.  Raises TimeoutError."""
    before = [_told(jobs, job, known=False) for job in wanted]
    total = sum(unfinished(info) + finished(info) for info in before)
    what = f"job {wanted[0]}" if len(wanted) == 1 else f"{len(wanted)} jobs"
    for _ in render.progress(_ends(jobs, wanted, None if timeout is None else time.monotonic() + timeout), total, what):
        pass
    code = 0
    told = []
    for job in wanted:
        info = _told(jobs, job, known=True)
        found = sorted(failures(jobs, job, bool(info["yours"])), key=lambda failure: failure.task)
        code = max([code, *(failure.code for failure in found), 1 if info["failed"] or info["cancelled"] else 0])
        told.append({"job": job, "done": info["done"], "failed": info["failed"], "cancelled": info["cancelled"]})
        told[-1]["failures"] = [failure.as_json() for failure in found]
        if not as_json:
            tell_failures(job, found, finished(info))
    if as_json:
        render.print_json(told)
    return code


def tell_failures(job: int, found: Sequence[Failure], total: int) -> None:
    """On stderr."""
    for failure in found[:SHOWN]:
        click.echo(f"job {job}, task {failure.task}: {failure.text}", err=True)
    if len(found) > SHOWN:
        click.echo(f"job {job}: and {len(found) - SHOWN} more; `asyncluster job results {job}` has all", err=True)
    if found and total > 1:
        cancelled = sum(failure.outcome == Outcome.CANCELLED for failure in found)
        ends = {"failed": len(found) - cancelled, "were cancelled": cancelled}
        told = ", ".join(f"{count} of {total} tasks {how}" for how, count in ends.items() if count)
        click.echo(f"job {job}: {told}", err=True)


class _Plain:
    """Output of one task, as it is."""

    def feed(self, task: int, stream: int, data: bytes) -> bytes:
        """What can be shown now."""
        del task, stream
        return data

    def ends(self) -> Iterator[tuple[int, bytes]]:
        """What is left in the end, by stream."""
        yield from ()


class _Json(_Plain):
    """Each piece as an object on a line; a character whose bytes come in two pieces is shown with the second."""

    def __init__(self) -> None:
        self._begun: dict[tuple[int, int], bytes] = {}  # characters of which not all bytes have come

    def feed(self, task: int, stream: int, data: bytes) -> bytes:
        """What can be shown now."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self._begun.pop((task, stream), b"") + data)
        begun = decoder.getstate()[0]
        if begun:
            self._begun[task, stream] = begun
        return self._line(task, stream, text)

    def ends(self) -> Iterator[tuple[int, bytes]]:
        """The beginnings of characters."""
        for (task, stream), begun in self._begun.items():
            yield 1, self._line(task, stream, begun.decode("utf-8", "replace"))

    @staticmethod
    def _line(task: int, stream: int, text: str) -> bytes:
        if not text:
            return b""
        return render.json_line({"task": task, "stream": stream, "text": text}).encode("utf-8", "replace") + b"\n"


class _Lines(_Plain):
    """Output of several tasks: whole lines, with the number of the task before them."""

    def __init__(self) -> None:
        self._rest: dict[tuple[int, int], bytes] = {}

    def feed(self, task: int, stream: int, data: bytes) -> bytes:
        """What can be shown now."""
        *whole, rest = (self._rest.pop((task, stream), b"") + data).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        if rest:
            self._rest[task, stream] = rest
        return b"".join(self._line(task, line) for line in whole)

    def ends(self) -> Iterator[tuple[int, bytes]]:
        """What has no end of line, by stream."""
        for (task, stream), rest in self._rest.items():
            yield stream, self._line(task, rest)

    @staticmethod
    def _line(task: int, line: bytes) -> bytes:
        return (b"" if task < 0 else f"[{task}] ".encode()) + line + b"\n"


def follow(jobs: Jobs, job: int, task: int, stream: int, on: bool, as_json: bool = False) -> None:
    """Show what a job's tasks wrote: its stdout on ours, its stderr on ours; one stream only, and JSON, on our stdout.

    task: -1 for all; on: go on until the job has ended.  Raises BrokenPipeError.
    """
    info = _told(jobs, job, known=False)
    several = task < 0 and unfinished(info) + finished(info) > 1
    shown = _Json() if as_json else _Lines() if several else _Plain()
    position = (0, 0)
    pause = FIRST_PAUSE
    while True:
        over = not on or not unfinished(_told(jobs, job, known=True))  # asked before what it wrote
        pieces, position, more = jobs.output(job, task, stream, position)
        for number, to, data in pieces:
            write(1 if stream or as_json else to, shown.feed(number, to, data))
        if over and not more:
            break
        pause = FIRST_PAUSE if pieces else min(2 * pause, LONGEST_PAUSE)
        if not more:
            time.sleep(pause)
    for to, data in shown.ends():
        write(1 if stream or as_json else to, data)
