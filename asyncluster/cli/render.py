"""Values into tables or JSON; the only module of the command line that names rich."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from asyncluster.model.node import NodeView
from asyncluster.personal.daemons import Daemon

T = TypeVar("T")

LONGEST_CELL = 300
"""Characters of a table's cell."""

JSON = "asyncluster.json"
"""In `Context.meta`: whether the verb was given --json."""

COLORS = {"idle": "green", "busy": "cyan", "starting": "yellow", "holding": "yellow", "held": "yellow", "error": "red"}
COLORS["away"] = "red"

IN_USE = {
    "pause": ": its tasks are paused, and it gets no new ones",
    "return": ": it gives tasks back, and gets no new ones",
    "nice": ": its tasks run as modestly as can be",
}
"""What becomes of tasks on a node at which somebody sits."""


def print_json(value: object) -> None:
    """One JSON document; what JSON does not know is printed as Python would."""
    click.echo(_dumps(value, 2))


def json_line(value: object) -> str:
    """The same on one line."""
    return _dumps(value, None)


def _dumps(value: object, indent: int | None) -> str:
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):  # a tuple as a key, or it contains itself
        text, value = json.dumps(repr(value), ensure_ascii=False), repr(value)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:  # this terminal has no such letters, or it is no text at all
        return json.dumps(value, indent=indent, default=repr)
    return text


def remote_error(error: BaseException) -> str:
    """An exception of a task as a person reads it: the worker's own traceback where it came along."""
    cause = error.__cause__
    text = getattr(cause, "text", "") if cause is not None else ""
    return str(text).rstrip() or f"{type(error).__name__}: {error}"


def error_json(error: BaseException) -> dict[str, str | None]:
    """The same for `--json`; the traceback is the worker's, None where none came along."""
    cause = error.__cause__
    slip = isinstance(error, click.ClickException)  # by what it was noticed says more
    kind = cause if slip and cause is not None else error
    return {
        "type": "UsageError" if isinstance(kind, click.ClickException) else type(kind).__name__,
        "message": error.format_message() if isinstance(error, click.ClickException) else str(error),
        "traceback": None if slip else getattr(cause, "text", None),
    }


def node_json(node: NodeView) -> dict[str, Any]:
    """One node for `--json`."""
    return {**attrs.asdict(node), "state": node.state.value}


def print_nodes(nodes: Sequence[NodeView], now: float | None = None) -> None:
    """The table of nodes; now: seconds since the epoch."""
    if not nodes:
        click.echo("The master has no nodes.  `asyncluster node add` starts one here.")
        return
    now = time.time() if now is None else now
    headings = ("node", "state", "host", "slots", "running", "done", "lost", "python", "serves", "up")
    rows = [
        (
            *(node.name, "away" if node.away else node.state.value, node.host),
            *(str(count) for count in (node.slots, node.running, node.done, node.lost)),
            *(node.python, "everybody" if node.serves == "*" else node.serves, age(now - node.since)),
        )
        for node in nodes
    ]
    table(headings, rows, right={"slots", "running", "done", "lost", "up"}, colors=COLORS)
    for node in nodes:
        if node.user:
            click.echo(f"Node {node.name} is in use by {node.user}{IN_USE.get(node.in_use, '')}.")


def print_daemons(found: Iterable[Daemon], *, err: bool = False) -> None:
    """The services of the personal cluster on this machine."""
    for daemon in found:
        click.echo(f"{daemon.name:<9} pid {daemon.pid}, log {daemon.log}", err=err)


def print_status(status: Mapping[str, Any]) -> None:
    """What the master says of itself, a line each."""
    told = dict(status)
    if isinstance(told.get("since"), int | float):
        told["up for"] = age(time.time() - float(told.pop("since")))
    width = max((len(str(key)) for key in told), default=0)
    for key, value in told.items():
        shown = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        click.echo(f"{key!s:<{width}}  {shown}")


def age(seconds: float) -> str:
    """A duration for people: 42s, 5m, 3h10m, 2d4h."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes}m"
    return f"{hours}h{minutes % 60}m" if hours < 24 else f"{days}d{hours % 24}h"


def elsewhere(conf: Path, name: str) -> str:
    """What to type so that another machine becomes a node."""
    source, target = shlex.quote(str(conf)), shlex.quote(name)
    return (
        f"Settings and passwords for {name} are in {conf}.  Type, with its address for {name} where that differs:\n\n"
        f"  scp -p {source} {target}:asyncluster-node.conf\n"
        f"  scp -rp CLONE {target}:asyncluster    # CLONE: the folder of this project that you installed from\n"
        f"  ssh {target} 'python3 -m venv asyncluster-venv && asyncluster-venv/bin/pip install ./asyncluster'\n"
        f"  ssh {target} 'asyncluster-venv/bin/twistd --pidfile=asyncluster-node.pid"
        " asyncluster-node --config asyncluster-node.conf'\n\n"
        "Its Python must have the same version as yours here.  `asyncluster nodes` shows it when it has joined."
    )


def progress(items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """The same items, with a bar on stderr that shows rate and time left; only on a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()),
    )
    # rich would take what we print for its own, and with it what goes to a file
    shared = sys.stdout is not None and sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=shared) as shown:
        task = shown.add_task(what, total=total, rate="")
        for item in items:
            yield item
            speed = shown.tasks[0].speed
            shown.update(task, advance=1, rate=f"{speed:,.0f}/s" if speed else "")


def _clipped(cell: str) -> str:
    """One that is so long would push all others out of sight; --json has it whole."""
    return cell if len(cell) <= LONGEST_CELL else cell[: LONGEST_CELL - 1] + "…"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: set[str], colors: Mapping[str, str]) -> None:
    """A table on stdout; right: headings of numbers; colors: by what stands in a cell."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    console = Console(highlight=False)
    if console.is_terminal:
        rows = [[*map(_clipped, row)] for row in rows]
    else:  # into a file or a pipe: never cut
        widths = (max(map(len, column)) for column in zip(headings, *rows, strict=True))
        console.width = max(400, sum(2 * width + 2 for width in widths))
    for row in rows:
        table.add_row(*(Text(cell, style=colors.get(cell, "")) for cell in row))
    console.print(table)
