"""Jobs into tables, lines or JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import click

from asyncluster.cli import render
from asyncluster.cli.following import Failure
from asyncluster.cli.values import shown
from asyncluster.model.job import JobView
from asyncluster.units import format_duration, format_size

COLORS = {"done": "green", "running": "cyan", "paused": "yellow", "queued": "yellow", "waiting": "yellow"}
COLORS |= {"failed": "red", "cancelled": "yellow"}


COUNTS = ("waiting", "queued", "running", "done", "failed", "cancelled")


def state(view: JobView) -> str:
    """How a job is, in a word."""
    unfinished = view.queued + view.running + view.waiting
    if view.paused and unfinished:
        return "paused"
    if view.running:
        return "running"
    if unfinished:
        return "queued" if view.queued else "waiting"
    if view.failed:
        return "failed"
    if view.cancelled:
        return "cancelled"
    return "done" if view.done else "empty"


def job_json(view: JobView) -> dict[str, Any]:
    """One job for `--json`."""
    return {**attrs.asdict(view), "state": state(view)}


def print_jobs(jobs: Sequence[JobView], now: float | None = None) -> None:
    """The table of jobs; now: seconds since the epoch."""
    if not jobs:
        click.echo("There are no jobs.  `asyncluster submit -- PROGRAM` makes one.")
        return
    now = time.time() if now is None else now
    headings = ("job", "state", "name", "owner", *COUNTS, "detached", "age")
    rows = [
        (
            *(str(view.job), state(view), shown(view.name), view.owner),
            *(str(getattr(view, count)) for count in COUNTS),
            *("yes" if view.detached else "no", render.age(now - view.opened) if view.opened else ""),
        )
        for view in jobs
    ]
    render.table(headings, rows, right={"job", *COUNTS, "age"}, colors=COLORS)


def print_info(told: Mapping[str, Any], failures: Sequence[Failure], now: float | None = None) -> None:
    """All about a job, a line each, then the failures."""
    now = time.time() if now is None else now
    lines = {"job": told["job"], "name": shown(told["name"]), "owner": told["owner"], "state": state(_view(told))}
    lines |= {name: told[name] for name in COUNTS}
    lines["opened"] = f"{render.age(now - told['opened'])} ago" if told["opened"] else "?"
    lines["detached"] = "yes" if told["detached"] else "no: it ends with the program that opened it"
    needs = told.get("needs") or []  # none of a master of the release before
    if needs:
        lines["each task"] = "; others: ".join(map(_need, needs))
    lines["output"] = _output(told)
    lines |= {name: told[name] for name in ("priority", "niceness", "crash_limit", "folder") if told[name]}
    if not told.get("durable", True):
        lines["durable"] = "no: it ends with the master"
    width = max(map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {value}")
    for failure in failures:
        click.echo(f"task {failure.task}: {failure.text}")
    more = told["failed"] + told["cancelled"] - len(failures)
    if more > 0:
        click.echo(
            f"and {more} more that failed or were cancelled" if told["cancelled"] else f"and {more} more that failed"
        )


def explained(job: int, task: int, told: Mapping[str, Any]) -> str:
    """The one sentence about a task."""
    reason = str(told.get("reason", ""))
    return f"task {task} of job {job} is {told.get('state', 'unknown')}" + (f": {reason}" if reason else "")


def _need(need: Mapping[str, Any]) -> str:
    """What a task asks for, as it is typed."""
    words = [f"{need['cores']} core{'' if need['cores'] == 1 else 's'}"]
    words += [f"{format_size(need['memory'])} of memory"] if need["memory"] else []
    words += [f"{need['gpus']} gpu{'' if need['gpus'] == 1 else 's'}"] if need["gpus"] else []
    words += [f"feature {word}" for word in need["features"]]
    words += [f"time limit {format_duration(need['time_limit'])}"] if need["time_limit"] else []
    words += [f"retries {need['retries']}"] if need["retries"] else []
    words += ["waits for a node that has it"] if need["wait"] else []
    return ", ".join(words)


def _output(told: Mapping[str, Any]) -> str:
    dropped = f", {told['output_dropped']:,} bytes more were dropped" if told["output_dropped"] else ""
    return f"{told['output']:,} bytes kept{dropped}"


def _view(told: Mapping[str, Any]) -> JobView:
    return JobView(**{field.name: told[field.name] for field in attrs.fields(JobView)})
