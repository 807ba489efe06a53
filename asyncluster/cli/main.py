"""The `asyncluster` command: its options, its verbs, and how its errors are told.

Verbs are imported when they are used, and they import the client when they need it.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, ClassVar, TypeVar

import click

from asyncluster.cli.connect import Place
from asyncluster.errors import AsynClusterError
from asyncluster.version import VERSION

F = TypeVar("F", bound=Callable[..., Any])

DEBUG = "ASYNCLUSTER_DEBUG"
READER_GONE = 141
"""What a shell shows of a program that SIGPIPE has ended."""


_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Of our output: a full disk, and what is like it."""


_ENDLESS = re.compile(r"\S{1000,}")
"""No path and no name of ours is so long."""


class Telling(click.Command):
    """A command whose faults are told in words."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what AsynCluster noticed itself is a message, not a traceback."""
        _show_all_letters()
        words = list(ctx.args)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _shorten(error)
            if "--json" not in words[: words.index("--") if "--" in words else None]:
                raise
            _tell_failure(ctx, error, as_json=True)  # the slip may have come before it was read
            ctx.exit(error.exit_code)
        except UnicodeEncodeError as error:  # of what was typed, with bytes that are no text
            _tell_failure(ctx, click.ClickException(f"{error.object!a} is no text that can be sent: use UTF-8"))
            ctx.exit(1)
        except (AsynClusterError, click.ClickException) as error:
            if os.environ.get(DEBUG):
                raise
            _tell_failure(ctx, error)
            _let_go_of_output()
            ctx.exit(1)
        except BrokenPipeError:
            _let_go_of_output()
            ctx.exit(READER_GONE)
        except KeyboardInterrupt:
            click.echo("cancelled", err=True)
            ctx.exit(130)


class Verbs(Telling, click.Group):
    """Subcommands that are imported on use; their one-line help stands here."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's; that nothing more can be written is a sentence, also of `--help`."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in _NOT_WRITTEN or error.filename is not None:
                raise
            with suppress(OSError):
                click.echo(f"asyncluster: nothing more can be written: {error.strerror}", err=True)
            _let_go_of_output()
            sys.exit(1)

    verbs: ClassVar[dict[str, tuple[str, str]]] = {
        "up": ("asyncluster.cli.cluster:up", "Start a personal master and nodes on this machine."),
        "down": ("asyncluster.cli.cluster:down", "Stop them; running tasks have half a minute to finish."),
        "status": ("asyncluster.cli.cluster:status", "Tell what the master does."),
        "nodes": ("asyncluster.cli.nodes:nodes", "List the nodes and what they do."),
        "node": ("asyncluster.cli.nodes:node", "Add or remove a node."),
        "run": ("asyncluster.cli.run:run", "Call a function of a Python file on the cluster."),
        "user": (
            "asyncluster.cli.users:user",
            "Accounts of people: add, list, enable, restrict, kick, import, export.",
        ),
        "opening": ("asyncluster.cli.openings:opening", "When restricted users may have sessions."),
        "seat": ("asyncluster.cli.seat:seat", "Sessions at this machine: log in, see who has one."),
        "usage": ("asyncluster.cli.usage:usage", "Who used how much, by user, day, node or job."),
        "audit": ("asyncluster.cli.usage:audit", "What administrators did with accounts."),
        "exec": ("asyncluster.cli.programs:execute", "Run a program on the cluster, and wait for it."),
        "submit": ("asyncluster.cli.submit:submit", "Hand a program or a script in as a job, and return."),
        "job": ("asyncluster.cli.jobs:job", "List jobs; wait for, look at, cancel or forget them."),
        "config": ("asyncluster.cli.config:config", "Check the configuration, show it, import Dynamic Torque's."),
        "pool": ("asyncluster.cli.pools:pool", "Pools of nodes: list, show, check, launch, freeze, drain, restore."),
        "cloud": ("asyncluster.cli.clouds:cloud", "Check pools' clouds, and find what was left running in them."),
        "cluster": ("asyncluster.cli.pools:cluster_nodes", "Nodes that pools launched, and jobs that wait for some."),
        "elastic": (
            "asyncluster.cli.pools:elastic",
            "The engine that launches and gives up nodes: its plan, its modes.",
        ),
        "explain": ("asyncluster.cli.jobs:explain", "Say why a task or job waits, and why a node or pool is as it is."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of use."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import that verb."""
        if cmd_name not in self.verbs:
            return None
        module, _, name = self.verbs[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_where, text) in self.verbs.items()])


def _show_all_letters() -> None:
    """What a terminal has no letter for is escaped there, rather than an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_output() -> None:
    """Keep the interpreter from complaining at exit about what cannot be written: nobody reads it, the disk is full."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _tell_failure(ctx: click.Context, error: AsynClusterError | click.ClickException, as_json: bool = False) -> None:
    from asyncluster.cli import render

    if as_json or ctx.meta.get(render.JSON):
        try:
            click.echo(render.json_line({"error": render.error_json(error)}))
        except OSError:  # what has happened is worth more than how it is written
            _let_go_of_output()
            click.echo(str(error), err=True)
    elif isinstance(error, click.ClickException):
        _shorten(error)
        error.show()
    else:
        click.echo(brief(tell(error)), err=True)


def brief(text: str) -> str:
    """The same with words that are no words clipped: what somebody pasted by mistake fills no screen."""
    return _ENDLESS.sub(lambda found: found[0][:60] + "…", text)


def _shorten(error: click.ClickException) -> None:
    """In its place: what it shows besides, the usage and a hint, is click's."""
    vars(error)["message"] = brief(error.message)


def tell(error: AsynClusterError) -> str:
    """The message of an error and, below it, the hint of its class."""
    return f"asyncluster: {error}" + (f"\n\n{error.hint}" if error.hint else "")


_WHERE = (
    click.option(
        "--socket", metavar="PATH", envvar="ASYNCLUSTER_SOCKET", help="UNIX socket of the master on this machine."
    ),
    click.option("--master", metavar="HOST:PORT", envvar="ASYNCLUSTER_MASTER", help="A master across the network."),
    click.option("--user", metavar="NAME", envvar="ASYNCLUSTER_USER", help="Account there; default: your login name."),
    click.option("--password-file", metavar="FILE", help="Its password is the first line of this file."),
)


def where_options(command: F) -> F:
    """The options that say where the master is; their values make a `place`."""
    for option in reversed(_WHERE):
        command = option(command)
    return command


def place(socket: str | None, master: str | None, user: str | None, password_file: str | None) -> Place:
    """Where the master is; raises UsageError for what does not go together."""
    if socket and master:
        raise click.UsageError("give --socket or --master, not both")
    if (user or password_file) and not master and not os.environ.get("ASYNCLUSTER_USER"):
        raise click.UsageError("--user and --password-file go with --master; a socket knows who you are")
    return Place(socket, master, user, password_file)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="asyncluster")
@where_options
@click.pass_context
def main(
    ctx: click.Context, socket: str | None, master: str | None, user: str | None, password_file: str | None
) -> None:
    """Run Python on whatever machines you have.

    Without options the personal master is used, which `asyncluster up` starts.  The password for
    --master is asked for, or comes from --password-file or $ASYNCLUSTER_PASSWORD.

    \b
    Examples:
      asyncluster up
      asyncluster run analysis.py main 2026
      asyncluster run --map files.txt analysis.py measure
      asyncluster exec -n 4 -- hostname
      asyncluster submit --array 1-100 -- ./measure
      asyncluster --master head:9080 --user jane nodes
    """
    ctx.obj = place(socket, master, user, password_file)


if __name__ == "__main__":
    main(prog_name="asyncluster")
