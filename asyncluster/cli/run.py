"""`asyncluster run FILE CALL [ARGS]`: a function of a Python source, on the cluster.

The source becomes the job's namespace on the nodes; here it is only read, never run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import attrs
import click

from asyncluster.cli import render, values
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_source
from asyncluster.cli.desk import Desk
from asyncluster.cli.given import GivenFile, source
from asyncluster.cli.given import lines as lines_of
from asyncluster.cli.slips import Leading
from asyncluster.cli.waiting import watch
from asyncluster.errors import AsynClusterError, TaskExitError


@attrs.frozen
class End:
    """How one call ended."""

    number: int
    value: Any = None
    error: BaseException | None = None


@click.command(cls=Leading, context_settings={"ignore_unknown_options": True})
@click.argument("file")
@click.argument("call")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--map",
    "lines",
    type=GivenFile(),
    metavar="LINES",
    help="Call it once for each line of this file, or of - (stdin).",
)
@click.option("--niceness", type=click.IntRange(0, 19), default=0, help="Of the workers while they run it.")
@json_option
@click.pass_obj
def run(
    place: Place, file: str, call: str, args: tuple[str, ...], lines: bytes | None, niceness: int, as_json: bool
) -> None:
    """Call a function of a Python file on the cluster and print what it returns.

    ARGS are Python literals where they look like ones (3, 1.5, "[1, 2]", None), otherwise texts;
    name=value is a keyword argument.  Options come before FILE.  With --map each line is the first
    argument of its call, results are printed in the order of the lines, and --json prints an object
    a line.  What the function prints comes with the name of its worker.

    The exit code is 0, 1 when the call raised or could not be made, or what it gave to sys.exit.  With
    --json the traceback of a failure, which is the worker's, may be null, and what the function prints
    goes to stderr.

    \b
    Examples:
      asyncluster run analysis.py main
      asyncluster run analysis.py power 2 exponent=10
      find . -name '*.csv' | asyncluster run --map - analysis.py measure
    """
    _check(file, call)
    positional, named = _arguments(args)
    with values.said():
        inputs = values.lines(lines_of(lines)) if lines is not None else None
    code = _work(place, file, niceness, call, positional, named, inputs, as_json)
    click.get_current_context().exit(code)


def _work(
    place: Place,
    file: str,
    niceness: int,
    call: str,
    positional: tuple[object, ...],
    named: dict[str, object],
    inputs: list[str] | None,
    as_json: bool,
) -> int:
    """Make the calls, print what they give; returns the exit code."""
    desk = Desk(aside=as_json)
    with open_source(place, file, niceness, desk) as job:
        calls = [positional] if inputs is None else [(values.literal(line), *positional) for line in inputs]
        why = watch(job.nodes, job.jobs, job.number)
        job.start(call, calls, named, lambda number, value, error: desk.put(End(number, value, error)))
        found = map(exited, desk.ends(len(calls), why))
        if inputs is None:
            return _tell_one(next(found), as_json)
        shown = render.progress(found, len(calls), call)
        failed = sum(_tell_line(end, inputs[end.number], as_json) for end in in_order(shown))
    if failed:
        click.echo(f"{failed} of {len(calls)} calls failed", err=True)
    return 1 if failed else 0


def exited(end: End) -> End:
    """The same; a call that ended itself by sys.exit(), or sys.exit(0), has done well and gives None."""
    well = isinstance(end.error, TaskExitError) and end.error.code in (None, 0)
    return End(end.number) if well else end


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
        text = source(file)
        known = values.defines(text, call)
    except SyntaxError as error:
        raise click.ClickException(f"{file}, line {error.lineno}: {error.msg}") from error
    except ValueError as error:  # its coding is another one, or it has zero bytes
        raise click.ClickException(f"{file} cannot be read as Python: {error}") from error
    if not known:
        near = difflib.get_close_matches(call, sorted(values.names(text)), 1)
        why = f"{file} defines no {call}" + (f"; did you mean {near[0]}?" if near else "")
        raise click.ClickException(why) from AttributeError(call)


def _arguments(words: tuple[str, ...]) -> tuple[tuple[object, ...], dict[str, object]]:
    try:
        return values.arguments(words)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _tell_one(end: End, as_json: bool) -> int:
    """Print how the only call ended; returns the exit code."""
    error = end.error
    if error is None:
        if as_json:
            render.print_json(end.value)
        elif end.value is not None:
            click.echo(repr(end.value))
        return 0
    if as_json:
        render.print_json({"error": render.error_json(error)})
    elif isinstance(error, TaskExitError):
        if not isinstance(error.code, int):  # as Python does: a number is an exit code, all else is shown
            click.echo(error.code, err=True)
        elif error.code == 130:  # KeyboardInterrupt, unless somebody chose that number
            click.echo(str(error), err=True)
    elif isinstance(error, AsynClusterError):
        raise error
    else:
        click.echo(render.remote_error(error), err=True)
    if not isinstance(error, TaskExitError) or not isinstance(error.code, int):
        return 1
    return error.code & 0xFF or 1  # 256 is a failure to who gave it, and no exit code


def _tell_line(end: End, line: str, as_json: bool) -> bool:
    """Print one result of many; whether it failed."""
    error = end.error
    if as_json:
        told = {"result": end.value} if error is None else {"error": render.error_json(error)}
        click.echo(render.json_line({"input": line, **told}))
    elif error is None:
        click.echo(repr(end.value))
    else:
        click.echo(f"{line}: {type(error).__name__}: {error}", err=True)
    return error is not None
