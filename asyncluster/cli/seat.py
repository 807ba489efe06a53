"""`asyncluster seat login | status`: sessions at this machine, by its node daemon."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

import click
from click.core import ParameterSource

from asyncluster.cli import render
from asyncluster.cli.cluster import json_option
from asyncluster.errors import AsynClusterError

LONGEST_PASSWORD = 4096
"""Bytes of a line that is read; a password is shorter."""

MENDS = {
    "password": "try again, or have an administrator set another: asyncluster user password {user}",
    "attempts": "wait, or ask an administrator whether somebody else tries your password",
    "disabled": "that is: asyncluster user enable {user}",
    "opening": "`asyncluster user show {user}` lists the openings to administrators",
    "daily": "ask an administrator for more: asyncluster user restrict {user} --daily HOURS",
    "weekly": "ask an administrator for more: asyncluster user restrict {user} --weekly HOURS",
    "session": "end the other session first; an administrator can: asyncluster user kick {user}",
    "seat": "`asyncluster seat status` shows who sits here",
}
"""By the rule that refused; other reasons say it themselves."""


class LoginCommand(click.Command):
    """USER is before `--`, if anywhere, and the command behind it; without `--` the first word is USER."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Part them before click forgets where `--` stood."""
        if "--" in args:
            place = args.index("--")
            ctx.meta["asyncluster.command"] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)


@click.group()
def seat() -> None:
    """Sessions at this machine: what its users need who sit down at it.

    The machine is a node with a `seat socket` in the [client] section of its configuration.
    """


def _no_master(ctx: click.Context, path: str | None) -> None:
    """Whoever names a master's socket, and none of a node's, has taken the one for the other."""
    for name in ("socket", "master"):
        place = ctx.find_root()
        if path is None and place.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name} names a master, and seats are the node daemon's: `asyncluster seat "
                f"{ctx.info_name} --seat PATH` names its socket"
            )


seat_option = click.option("--seat", "path", metavar="PATH", help="The node daemon's socket for seats.")


@seat.command(cls=LoginCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@seat_option
@click.option("--quiet", is_flag=True, help="Show warnings and messages, not the time left every half minute.")
@click.argument("user", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def login(ctx: click.Context, path: str | None, quiet: bool, user: str | None, command: tuple[str, ...]) -> None:
    """Begin a session, run COMMAND in it (or the user's login shell), and end with it.

    The password is asked for, or read as the first line of stdin where that is no terminal.  Root may log in anybody,
    for it can become anybody; everybody else only himself.  When the session ends first (no time left, kicked,
    disabled), the command and all that it started get SIGTERM, and SIGKILL five seconds later.  The exit code is the
    command's.

    \b
    Examples:
      asyncluster seat login
      asyncluster seat login -- make -j4
      sudo asyncluster seat login jane -- /usr/bin/startkde
    """
    _no_master(ctx, path)
    if "asyncluster.command" in ctx.meta:
        if command:
            raise click.UsageError("one user only before --")
        command = ctx.meta["asyncluster.command"]
    from asyncluster.cli.seat_child import Child, Order
    from asyncluster.cli.seat_session import TerminalSession, say, time_left
    from asyncluster.cli.seat_talk import Talk, seat_path
    from asyncluster.model.seat import Begin, Granted, Left

    whose = _whom(user)
    talk = Talk(seat_path(path, os.environ))
    answer = talk.ask(Begin(whose.name, _password(whose.name)))
    if not isinstance(answer, Granted):
        raise AsynClusterError(_refusal(answer, whose.name))
    say(f"session of {answer.user} at {answer.node}, {time_left(answer.left)}{'' if answer.left is None else ' left'}")
    talk.unread = [notice for notice in talk.unread if not isinstance(notice, Left)]
    talk.socket.settimeout(None)
    try:
        child = Child.start(Order(command, whose, answer.niceness, answer.session))
    except OSError as error:
        raise AsynClusterError(f"cannot start anything: {error.strerror}") from error
    ctx.exit(TerminalSession(talk, child, quiet).run())


@seat.command()
@seat_option
@json_option
@click.pass_context
def status(ctx: click.Context, path: str | None, as_json: bool) -> None:
    """Tell who has a session here, and how long.

    \b
    Example:
      asyncluster seat status --json
    """
    from asyncluster.cli.seat_session import time_left
    from asyncluster.cli.seat_talk import Talk, seat_path
    from asyncluster.model.seat import AskStatus, SeatStatus

    _no_master(ctx, path)
    talk = Talk(seat_path(path, os.environ))
    told = talk.ask(AskStatus())
    talk.close()
    if not isinstance(told, SeatStatus):
        raise AsynClusterError(_refusal(told, ""))
    if as_json:
        session = told.user and {"user": told.user, "number": told.session, "used": told.used, "left": told.left}
        render.print_json(
            {"node": told.node, "linked": told.linked, "when_in_use": told.in_use, "session": session or None}
        )
        return
    left = "" if told.left is None else f", {time_left(told.left)} left"
    who = f"{told.user}, {time_left(told.used)} used{left}" if told.user else "nobody"
    click.echo(f"node      {told.node}")
    click.echo(f"session   {who}")
    click.echo(f"master    {'linked' if told.linked else 'away; nobody can log in until it is back'}")
    click.echo(f"tasks     {told.in_use}, while somebody has a session")


def _whom(user: str | None) -> Any:
    """The identity for whom to run; raises AsynClusterError where this process cannot become him."""
    import attrs

    from asyncluster.node.becoming import lookup
    from asyncluster.people import user_name

    own = os.geteuid()
    name = user_name(own) if user is None else user
    found = lookup(name)
    if own == 0 and (found is None or found.uid == 0):
        what = "this machine knows no such user" if found is None else "root has no sessions"
        raise AsynClusterError(f"{what}; name a user of this machine: asyncluster seat login USER")
    if found is None or own not in (0, found.uid):
        raise AsynClusterError(
            f"only root can run anything as {name[:64]!r}; log yourself in, or: sudo asyncluster seat login USER"
        )
    return attrs.evolve(found, change=own == 0)


def _password(user: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {user}: ")
    line = b""
    while not line.endswith(b"\n") and len(line) < LONGEST_PASSWORD and (byte := os.read(0, 1)):
        line += byte  # one by one: what follows is the command's
    try:
        password = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise AsynClusterError("the password is no UTF-8") from None
    if not password:
        raise AsynClusterError("no password is given: write it as the first line of stdin, or log in at a terminal")
    return password


def _refusal(answer: Any, user: str) -> str:
    reason = getattr(answer, "reason", None) or getattr(answer, "text", None) or "the node daemon answered nonsense"
    mend = MENDS.get(getattr(answer, "rule", ""), "").format(user=user)
    return f"{reason}; {mend}" if mend else str(reason)
