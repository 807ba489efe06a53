"""`asyncluster exec -- PROGRAM …`: programs as tasks."""

from __future__ import annotations

import os
from concurrent.futures import Future
from functools import partial
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.cli.cluster import json_option, own_places
from asyncluster.cli.connect import Place, open_cluster
from asyncluster.cli.desk import Desk, PlainDesk
from asyncluster.cli.given import MOST_INPUT, GivenFile
from asyncluster.cli.needs import need_of, need_options
from asyncluster.cli.slips import Leading
from asyncluster.cli.values import shown
from asyncluster.cli.waiting import watch
from asyncluster.errors import AsynClusterError, ProgramFailedError, ProgramNotStartedError
from asyncluster.programs import INDEX, NOT_ALLOWED, program_call

CUT = 1


def check_named(program: tuple[str, ...]) -> None:
    """Raise click.UsageError where the program's name is empty, as of a variable that is not set."""
    if not program[0]:
        raise click.UsageError("the program has no name: is a variable empty?")


def _pairs(_ctx: click.Context, _parameter: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if not word.partition("=")[0] or "=" not in word:
            raise click.BadParameter(f"write NAME=VALUE, not {word!r}")
    return words


env_option = click.option(
    "--env",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_pairs,
    help="Add to its environment; may be repeated.",
)
"""Of commands that run programs; `environment` reads it."""


@click.command("exec", cls=Leading, context_settings={"ignore_unknown_options": True})
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 1_000_000),
    default=1,
    help=f"Run so many; each finds its number, from 0, in ${INDEX}.",
)
@click.option(
    "--cwd", metavar="FOLDER", help="Where it runs.  [default: the current folder; with --master the node's own]"
)
@env_option
@click.option(
    "--stdin",
    "stdin",
    type=GivenFile(MOST_INPUT),
    metavar="FILE",
    help="What it reads, - for our own input.  [default: nothing]",
)
@click.option("--niceness", type=click.IntRange(0, 19), default=0, help="Of the program.")
@need_options
@json_option
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(
    place: Place,
    /,
    count: int,
    cwd: str | None,
    pairs: tuple[str, ...],
    stdin: bytes | None,
    niceness: int,
    program: tuple[str, ...],
    as_json: bool,
    **need: Any,
) -> None:
    """Run a program on the cluster; its output is ours, as it comes, and so is its exit code.

    As in a shell a program ended by signal N gives 128 + N, one that is not there 127 and one that
    cannot be executed 126.  Of several the highest code counts, and each line of output begins with
    the name of its worker.  When whoever reads our output goes, as `head` does, the program is ended.

    A node passes on 16 MiB of each program's output, or what `output limit` in [client] of its
    configuration says.  What is above that is dropped: stderr then says so and where that is set, and
    the exit code is 1 where it would be 0.  Have programs that write more write to a file.

    With --json its output goes to stderr, and stdout gets an object with the exit code that counts, those of all
    programs by number, and the nodes that left output out.

    \b
    Examples:
      asyncluster exec -- uname -a
      asyncluster exec -n 8 --env SEED=7 -- ./simulate --steps 1000
      asyncluster exec --stdin input.txt -- sort
      asyncluster exec --cores 4 --time-limit 10m --retries 2 -- ./simulate

    `asyncluster submit` hands a program in and returns at once.
    """
    check_named(program)
    environ = environment(pairs)
    folder = cwd or (os.getcwd() if place.master is None else None)
    desk = PlainDesk(as_json) if count == 1 else Desk(as_json)
    call = program_call(program, environ, folder, stdin)
    with open_cluster(place, output=desk, name=shown(program[0])[:200], niceness=niceness, **need_of(need)) as cluster:
        why = watch(cluster.nodes, cluster.jobs, cluster.job)
        try:
            for index in range(count):
                cluster.submit(call, index, index, None).add_done_callback(partial(_put, desk, index))
            ends = {index: _end(future, program[0]) for index, future in desk.ends(count, why)}
        except BaseException:  # our output has no reader any more, say: then the programs have none either
            cluster.shutdown(wait=False, cancel_futures=True)
            raise
    for end in ends.values():
        if isinstance(end, AsynClusterError):
            raise end
    highest = max(end for end in ends.values() if isinstance(end, int))
    code = highest or (CUT if desk.cut or desk.missed else 0)
    if desk.cut:
        click.echo(cut_text(place, sorted(desk.cut)), err=True)
    if desk.missed:
        nodes = ", ".join(sorted(desk.missed))
        click.echo(
            f"asyncluster: output of {nodes} was dropped, as said above; exit code {CUT} stands for it.", err=True
        )
    if as_json:
        codes = [ends[index] for index in range(count)]
        render.print_json({"code": code, "codes": codes, "output_left_out": sorted({*desk.cut, *desk.missed})})
    click.get_current_context().exit(code)


def _put(desk: Desk, index: int, future: Future[int]) -> None:
    desk.put((index, future))


def cut_text(place: Place, nodes: list[str]) -> str:
    """That output is missing, and where the limits of these nodes are set."""
    files = [own_places().node_conf(node) for node in nodes] if place.is_personal else []
    ours = [str(path) for path in files if path.exists()]
    where = " and ".join([*ours, *(["asyncluster.conf on the node"] if len(ours) < len(nodes) else [])])
    again = "`asyncluster down`, then `up`" if ours else "a restart of the node"
    return (
        f"asyncluster: output was left out on {', '.join(nodes)}, which exit code {CUT} stands for.  "
        f"`output limit` is set in [client] of {where}; {again} makes it count."
    )


def environment(pairs: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE words as a mapping; the last of a name counts."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _end(future: Future[int], program: str) -> int | AsynClusterError:
    """The exit code, or why there is none."""
    try:
        return future.result()
    except ProgramNotStartedError as error:
        click.echo(f"asyncluster: {error}", err=True)
        return error.code
    except ProgramFailedError as error:
        return error.code
    except AsynClusterError as error:
        return error
    except Exception as error:  # before it came to the program
        click.echo(f"asyncluster: {program} cannot be started: {error}", err=True)
        return NOT_ALLOWED


def exit_code(error: BaseException) -> int:
    """What a shell would give for a program that ended so."""
    return error.code if isinstance(error, ProgramFailedError) else 1
