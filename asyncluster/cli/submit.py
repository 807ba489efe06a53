"""`asyncluster submit`: programs and scripts as jobs that need nobody to wait for them."""

from __future__ import annotations

import codecs
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click
from click.core import ParameterSource

from asyncluster.cli import given as files
from asyncluster.cli import render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_cluster, open_jobs
from asyncluster.cli.directives import WORD, Origins, array, directives, is_script, says_its_shell
from asyncluster.cli.following import follow, left_alone, settle
from asyncluster.cli.needs import need_of, need_options, parsed
from asyncluster.cli.programs import check_named, env_option, environment
from asyncluster.cli.values import lines, said, shown
from asyncluster.errors import AsynClusterError, RefusedError
from asyncluster.model.refusal import QUEUED
from asyncluster.programs import INDEX, JOB, LINE, program_call

SCRIPT_BYTES = 1024 * 1024
"""A script may be so long."""

_ONE_OF = ("array", "each_line", "count")
_TYPED_ONLY = ("--wait", "--json")
_NOT_IN_SCRIPTS = ("wait", "as_json", "program", "help")


class _Submit(click.Command):
    """Takes what the script says where the command line says nothing."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, then the script's lines."""
        typed = list(args)
        rest = super().parse_args(ctx, args)
        program = ctx.params["program"]
        named = len(typed) > len(program) and typed[len(typed) - len(program) - 1] == "--"
        ctx.params["script"], ctx.params["origins"] = None, Origins()
        if program and not named:
            if os.path.isfile(program[0]):
                self._read(ctx, program[0])
            else:
                _check_program(program[0])
        return rest

    def _read(self, ctx: click.Context, file: str) -> None:
        content = _content(file)
        if not is_script(content):
            return
        if not says_its_shell(file, content):
            raise click.ClickException(_no_script(file))
        ctx.params["script"] = content
        try:
            found = directives(content.decode("utf-8", "replace"))
        except ValueError as error:
            raise click.ClickException(f"{file}, {error}") from error
        origins: dict[str, int] = {}
        for directive in found:
            try:
                said = self._said(ctx, directive.words)
            except click.UsageError as error:
                text = error.format_message()
                if isinstance(error, click.NoSuchOption) and error.option_name in _TYPED_ONLY:
                    text = f"{error.option_name} is typed, as what to do with the output is no matter of a script"
                raise click.ClickException(f"{file}, line {directive.line}: {text}") from error
            for name, value in said.items():
                if name == "pairs":  # the later wins, in the program's environment
                    ctx.params[name] = (*value, *ctx.params[name])
                elif not _typed(ctx, name) and not (name in _ONE_OF and any(_typed(ctx, one) for one in _ONE_OF)):
                    ctx.params[name] = value
                    origins[name] = directive.line
        ctx.params["origins"] = Origins(file, origins)

    def _said(self, ctx: click.Context, words: list[str]) -> dict[str, Any]:
        """What one line of a script says; raises click.UsageError."""
        options = [option for option in self.params if option.name not in _NOT_IN_SCRIPTS]
        own = click.Command(WORD, params=options, add_help_option=False)
        inner = own.make_context(WORD, list(words), parent=ctx)
        return {name: value for name, value in inner.params.items() if _typed(inner, name)}


def _typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check_program(name: str) -> None:
    """Without -- a program is here, as the script that somebody means is: else it is a slip."""
    if os.path.isdir(name):
        raise click.ClickException(f"{name} is a folder, not a program or a script")
    if shutil.which(name) is None:
        where = "no file" if "/" in name else "neither a file in this folder nor a program on PATH"
        raise click.ClickException(
            f"{name} is {where} here; `asyncluster submit … -- {name}` names a program that only the nodes have"
        )


def _no_script(file: str) -> str:
    """Of a text that a shell would take for commands, whatever it is."""
    python = file.endswith(".py")
    whole = f"`submit -- {'python' if python else 'PROGRAM'} {file}`"
    line = f"#!/usr/bin/env {'python3' if python else 'PROGRAM'}"
    return f"{file} has no `#!` line, so nothing says what runs it; {whole} does, or {line} as its first line"


def _content(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            content = stream.read(SCRIPT_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}") from error
    content = content.removeprefix(codecs.BOM_UTF8)  # before #! no kernel would know its interpreter
    if len(content) > SCRIPT_BYTES and is_script(content):
        raise click.ClickException(f"{file} is longer than {SCRIPT_BYTES:,} bytes; `submit -- {file}` runs it in place")
    return content


def _name(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not text.isprintable():
        raise click.BadParameter(f"{text!r} has characters that cannot be shown in a list: write a line of text")
    return text


@attrs.frozen
class _Tasks:
    """Which tasks there are: places in the array, and their lines."""

    indices: Sequence[int]
    lines: Sequence[str] | None = None

    def line(self, task: int) -> str | None:
        """Of that task."""
        return None if self.lines is None else self.lines[task]


@click.command(cls=_Submit, context_settings={"allow_interspersed_args": False})
@click.option(
    "--array", callback=parsed(array), metavar="1-1000[:STEP]", help=f"A task for each number, which is in ${INDEX}."
)
@click.option(
    "--each-line", metavar="FILE", help=f"A task for each line of a file, or of -, that is not blank; it is in ${LINE}."
)
@click.option("-n", "--count", type=click.IntRange(1, 1_000_000), help=f"So many tasks; ${INDEX} counts from 0.")
@click.option("--name", callback=_name, metavar="TEXT", help="In lists of jobs.  [default: the program's]")
@click.option("--cwd", metavar="FOLDER", help="As for `exec`.  [default: the current folder; with --master the node's]")
@env_option
@click.option("--stdin", metavar="FILE", help="What each task reads, - for our own input.  [default: nothing]")
@click.option("--niceness", type=click.IntRange(0, 19), default=0, help="Of the program.")
@click.option("--priority", type=int, default=0, help="The higher goes first; above 0 is for administrators.")
@need_options
@click.option("--wait", is_flag=True, help="Show what it writes and wait for its end; exit as `exec` does.")
@json_option
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def submit(place: Place, /, program: tuple[str, ...], wait: bool, as_json: bool, **given: Any) -> None:
    """Hand a program in as a job, print the job's number, and return.

    After -- comes a program of the nodes, whatever is here.  Without -- it has to be here, too: a text file of
    ours is a script, which travels with the job; it has a first line #!, or a name in .sh, and its lines
    #ASYNCLUSTER, before its first command, are options like those here; what is typed wins.  Anything else is a
    program on our PATH.

    Each task finds ASYNCLUSTER_JOB, ASYNCLUSTER_TASK (its number, from 0), ASYNCLUSTER_INDEX and, with --each-line,
    ASYNCLUSTER_LINE in its environment.  One that ends with another code than 0 has failed.  What tasks
    write and how they end is kept until `asyncluster job forget`, or for as long as the master's
    configuration says.

    \b
    Examples:
      asyncluster submit -- ./simulate --steps 1000
      asyncluster submit --array 1-100 --retries 2 -- sh -c './measure $ASYNCLUSTER_INDEX'
      asyncluster submit --cores 4 --memory 8G --time-limit 2h script.sh
      find . -name '*.csv' | asyncluster submit --each-line - -- sh -c './read "$ASYNCLUSTER_LINE"'

    \b
    A script:
      #!/bin/sh
      #ASYNCLUSTER --cores 4 --time-limit 2h
      #ASYNCLUSTER --array 1-10
      ./simulate --seed $ASYNCLUSTER_INDEX
    """
    check_named(program)
    tasks = _tasks(given)
    try:
        job = _hand_in(place, program, tasks, given)
    except RefusedError as error:
        raise _placed(error, given["origins"]) from None
    try:
        if as_json:
            render.print_json({"job": job, "tasks": len(tasks.indices)})
        else:
            click.echo(f"job {job}" if wait else job, err=wait)
    except OSError as error:  # a full disk: nobody else knows the number
        text = f"job {job} was submitted, and its number could not be written: {error.strerror}"
        raise AsynClusterError(text) from error
    if wait:
        code = _see_through(place, job, as_json)
        click.get_current_context().exit(code)


def _tasks(given: dict[str, Any]) -> _Tasks:
    ways = [name for name in _ONE_OF if given[name] is not None]
    origins: Origins = given["origins"]
    if len(ways) > 1:
        raise _slip(origins.of(ways), "give one of --array, --each-line and -n")
    if given["each_line"] == "-" == given["stdin"]:
        raise _slip(origins.of(("each_line", "stdin")), "--each-line and --stdin cannot both read our input")
    if given["each_line"] is not None:
        data = _content_of(given, "each_line", files.MOST_TEXT)
        with said():
            found = lines(files.lines(data))  # what bytes they are, as a program finds them, text or not
        if not found:
            raise click.ClickException(
                f"{origins.of(['each_line'])}there are no lines in {given['each_line']}: nothing to do"
            )
        return _Tasks(range(len(found)), found)
    return _Tasks(given["array"] if given["array"] is not None else range(given["count"] or 1))


def _slip(where: str, text: str) -> click.ClickException:
    """Of who typed, or of the script."""
    return click.ClickException(where + text) if where else click.UsageError(text)


def _content_of(given: dict[str, Any], option: str, most: int) -> bytes:
    try:
        return files.content(given[option], most)
    except click.ClickException as error:
        raise click.ClickException(given["origins"].of([option]) + error.format_message()) from error


def _hand_in(place: Place, program: tuple[str, ...], tasks: _Tasks, given: dict[str, Any]) -> int:
    environ = environment(given["pairs"])
    folder = given["cwd"] or (os.getcwd() if place.master is None else None)
    stdin = None if given["stdin"] is None else _content_of(given, "stdin", files.MOST_INPUT)
    name = given["name"] or shown(Path(program[0]).name)
    options = {"name": name[:200], "niceness": given["niceness"], "priority": given["priority"], **need_of(given)}
    with open_cluster(place, output=None, detached=True, **options) as cluster:
        call = program_call(program, {**environ, JOB: str(cluster.job)}, folder, stdin, given["script"])
        ends = [cluster.submit(call, task, index, tasks.line(task)) for task, index in enumerate(tasks.indices)]
        job = cluster.detach()
    refusals = [end.exception() for end in ends if not end.cancelled()]
    too_many = [each for each in refusals if isinstance(each, RefusedError) and QUEUED in each.needs]
    if too_many:  # all of it or nothing, so that it can be submitted again as it is
        with open_jobs(place) as jobs:
            jobs.forget(job)
        raise RefusedError(f"nothing of this was submitted: of {len(ends):,} tasks one was told {too_many[0]}")
    if all(isinstance(refusal, RefusedError) for refusal in refusals):  # nothing of it will ever run
        with open_jobs(place) as jobs:
            jobs.forget(job)
        raise refusals[0] or RefusedError(f"job {job} was refused")
    return job


def _placed(refusal: RefusedError, origins: Origins) -> RefusedError:
    """What the master refuses, with the line of the script that asks for it."""
    return RefusedError(origins.of(refusal.needs) + str(refusal), refusal.needs)


def _see_through(place: Place, job: int, as_json: bool) -> int:
    with left_alone([job]), open_jobs(place) as jobs:
        if not as_json:
            follow(jobs, job, -1, 0, on=True)
        return settle(jobs, [job], as_json)
