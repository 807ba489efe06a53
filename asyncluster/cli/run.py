"""`asyncluster run FILE CALL [ARGS]`: a function of a Python source, on the cluster.

The source becomes the job's namespace on the nodes; here it is only read, never run.
"""

from __future__ import annotations

import queue
import tokenize
from collections.abc import Iterator
from typing import Any, TextIO

import attrs
import click

from asyncluster.cli import render, values
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_source
from asyncluster.errors import AsynClusterError


@attrs.frozen
class End:
    """How one call ended."""

    number: int
    value: Any = None
    error: BaseException | None = None


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True))
@click.argument("call")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--map",
    "lines",
    type=click.File("r"),
    metavar="LINES",
    help="Call it once for each line of this file, or of - (stdin).",
)
@click.option("--niceness", type=click.IntRange(0, 19), default=0, help="Of the workers while they run it.")
@json_option
@click.pass_obj
def run(
    place: Place, file: str, call: str, args: tuple[str, ...], lines: TextIO | None, niceness: int, as_json: bool
) -> None:
    """Call a function of a Python file on the cluster and print what it returns.

    ARGS are Python literals where they look like ones (3, 1.5, "[1, 2]", None), otherwise texts;
    name=value is a keyword argument.  Options come before FILE.  With --map each line is the first
    argument of its call, results are printed in the order of the lines, and --json prints an object
    a line.  What the function prints comes with the name of its worker.

    \b
    Examples:
      asyncluster run analysis.py main
      asyncluster run analysis.py power 2 exponent=10
      find . -name '*.csv' | asyncluster run --map - analysis.py measure
    """
    _check(file, call)
    positional, named = _arguments(args)
    inputs = values.lines(lines) if lines is not None else None
    with open_source(place, file, niceness) as job:
        ends: queue.SimpleQueue[End] = queue.SimpleQueue()
        calls = [positional] if inputs is None else [(values.literal(line), *positional) for line in inputs]
        job.start(call, calls, named, lambda number, value, error: ends.put(End(number, value, error)))
        found = (ends.get() for _ in calls)
        if inputs is None:
            _tell_one(next(found), as_json)
            return
        shown = render.progress(found, len(calls), call)
        failed = sum(_tell_line(end, inputs[end.number], as_json) for end in in_order(shown))
    if failed:
        click.echo(f"{failed} of {len(calls)} calls failed", err=True)
        click.get_current_context().exit(1)


def in_order(ends: Iterator[End]) -> Iterator[End]:
    """The same, by number; each as soon as those before it are there."""
    waiting: dict[int, End] = {}
    following = 0
    for end in ends:
        waiting[end.number] = end
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _check(file: str, call: str) -> None:
    """A slip in the file or the name is told before anything is asked of the cluster."""
    try:
        with tokenize.open(file) as stream:
            known = values.defines(stream.read(), call)
    except SyntaxError as error:
        raise click.ClickException(f"{file}, line {error.lineno}: {error.msg}") from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read as Python: {error}") from error
    if not known:
        raise click.ClickException(f"{file} defines no {call}")


def _arguments(words: tuple[str, ...]) -> tuple[tuple[object, ...], dict[str, object]]:
    try:
        return values.arguments(words)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _tell_one(end: End, as_json: bool) -> None:
    if end.error is not None:
        if isinstance(end.error, AsynClusterError):
            raise end.error
        click.echo(render.remote_error(end.error), err=True)
        click.get_current_context().exit(1)
    if as_json:
        render.print_json(end.value)
    elif end.value is not None:
        click.echo(repr(end.value))


def _tell_line(end: End, line: str, as_json: bool) -> bool:
    """Print one result of many; whether it failed."""
    error = None if end.error is None else f"{type(end.error).__name__}: {end.error}"
    if as_json:
        click.echo(render.json_line({"input": line, **({"result": end.value} if error is None else {"error": error})}))
    elif error is None:
        click.echo(repr(end.value))
    else:
        click.echo(f"{line}: {error}", err=True)
    return error is not None
