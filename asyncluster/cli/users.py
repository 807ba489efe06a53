"""`asyncluster user …`: accounts of people, who come across the network or sit at workstations."""

from __future__ import annotations

import sys
from typing import Any

import click

from asyncluster.cli import peopletables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_accounts
from asyncluster.cli.given import MOST_PASSWORD, GivenFile, lines
from asyncluster.cli.values import count_option, hours_option, said, shown
from asyncluster.model.account import check_name


def _somebody_types() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _password(_ctx: click.Context, _parameter: click.Parameter, given: str | None) -> str:
    if given is not None:
        return given
    if _somebody_types():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    try:
        line = sys.stdin.readline(MOST_PASSWORD).rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("the password in stdin is no UTF-8") from None
    if line:
        return line
    raise click.UsageError(
        "no password is given, and here is no terminal to ask for one: set $ASYNCLUSTER_PASSWORD, or write it to stdin"
    )


password_option = click.option(
    "--password",
    envvar="ASYNCLUSTER_PASSWORD",
    callback=_password,
    help="Better in $ASYNCLUSTER_PASSWORD: `ps` shows options.  Else it is asked for, or is the first line of stdin "
    "where that is no terminal.  At least 12 characters.",
)
daily_option = hours_option("--daily", "Hours a day: 4h, 90m, or none for no limit.")
weekly_option = hours_option("--weekly", "Hours a week.")
slots_option = count_option("--slots", "Slots that tasks may take at once, on all nodes; or none for no limit.")
queued_option = count_option("--queued", "Tasks that may be queued or wait for others; those beyond are refused.")


@click.group()
def user() -> None:
    """Accounts of people, for administrators of a running master.

    On the master's own machine nobody needs one to run tasks: the kernel says who asks.  Who comes across the network,
    or sits down at a workstation, does.  A new account is disabled and restricted until it is said otherwise.
    """


@user.command()
@click.argument("name")
@click.option("--enable", is_flag=True, help="It can be used at once.")
@click.option("--unrestrict", is_flag=True, help="It needs no opening and no hours left.")
@daily_option
@weekly_option
@slots_option
@queued_option
@password_option
@json_option
@click.pass_obj
def add(
    place: Place, /, name: str, enable: bool, unrestrict: bool, password: str, as_json: bool, **limits: int | str | None
) -> None:
    """Make an account.  The master keeps what a password can be checked by, not the password.

    Without --enable it is of no use until `user enable`; where `quota applies to` in [server] names tasks, those of
    who has worked without an account end then, and wait.

    \b
    Examples:
      asyncluster user add jane --enable --daily 4h --weekly 20h
      asyncluster user add bob --enable --unrestrict --slots 8 --queued 10000
    """
    with said():
        check_name(name)
    with open_accounts(place) as accounts, said():
        accounts.add(name, password, enabled=enable, restricted=not unrestrict, **_given(**limits))
        made = accounts.show(name)
        peopletables.print_user(made, as_json)
    if waits := peopletables.tasks_end(made):
        click.echo(f"warning: {waits}", err=True)


@user.command(name="list")
@json_option
@click.pass_obj
def list_(place: Place, as_json: bool) -> None:
    """List the accounts, and who has a session where.

    \b
    Example:
      asyncluster user list --json
    """
    with open_accounts(place) as accounts:
        found = list(accounts.all())
    if as_json:
        render.print_json(found)
    else:
        peopletables.print_users(found)


@user.command()
@click.argument("name")
@json_option
@click.pass_obj
def show(place: Place, name: str, as_json: bool) -> None:
    """Show one account, and what a login would be told now.

    \b
    Example:
      asyncluster user show jane
    """
    with open_accounts(place) as accounts:
        peopletables.print_user(accounts.show(name), as_json)


@user.command()
@click.argument("name")
@password_option
@json_option
@click.pass_obj
def password(place: Place, name: str, password: str, as_json: bool) -> None:
    """Give an account a new password.

    \b
    Example:
      asyncluster user password jane
    """
    with open_accounts(place) as accounts, said():
        accounts.password(name, password)
    _done(as_json, f"{name} has a new password.")


def _switch(what: str, short: str, meaning: str, **changes: bool) -> None:
    """A verb that sets a flag; short: for the list of verbs."""

    @user.command(name=what, short_help=short, help=f"{meaning}\n\n\b\nExample:\n  asyncluster user {what} jane")
    @click.argument("name")
    @json_option
    @click.pass_obj
    def switch(place: Place, name: str, as_json: bool) -> None:
        with open_accounts(place) as accounts:
            accounts.set(name, what, **changes)
            peopletables.print_user(accounts.show(name), as_json)


_switch("enable", "Let somebody use the account.", "Let somebody use the account.", enabled=True)
_switch(
    "disable",
    "Let nobody use the account; its session ends.",
    "Let nobody use the account; a session that is on ends, and so do links across the network, of programs and of own "
    "nodes.  Where `quota applies to` in [server] names tasks, those that run end and wait until it is enabled again.",
    enabled=False,
)
_switch(
    "unrestrict",
    "No openings and no hours for the account.",
    "Let the account have sessions at any time, without limit of hours.",
    restricted=False,
)


@user.command(short_help="Sessions in openings and within hours only.")
@click.argument("name")
@daily_option
@weekly_option
@json_option
@click.pass_obj
def restrict(place: Place, name: str, daily: int | str | None, weekly: int | str | None, as_json: bool) -> None:
    """Let the account have sessions only within openings, and hours that are left.

    \b
    Examples:
      asyncluster user restrict jane --daily 4h --weekly 20h
      asyncluster user restrict jane --daily none
    """
    with open_accounts(place) as accounts:
        accounts.set(name, "restrict", restricted=True, **_given(daily=daily, weekly=weekly))
        peopletables.print_user(accounts.show(name), as_json)


@user.command()
@click.argument("name")
@daily_option
@weekly_option
@slots_option
@queued_option
@json_option
@click.pass_obj
def limit(place: Place, /, name: str, as_json: bool, **limits: int | str | None) -> None:
    """Change limits, and nothing else; they hold at once.

    Slots and queued tasks are limited whether the account is restricted or not.  Hours count for who is restricted: at
    workstations, and for tasks where `quota applies to` in [server] says so.

    \b
    Examples:
      asyncluster user limit jane --slots 8 --queued 10000
      asyncluster user limit jane --slots none --daily 6h
    """
    given = _given(**limits)
    if not given:
        raise click.UsageError("say which limit: --slots, --queued, --daily or --weekly")
    with open_accounts(place) as accounts:
        accounts.set(name, "limit", **given)
        peopletables.print_user(accounts.show(name), as_json)


@user.command()
@click.argument("name")
@click.argument("text")
@json_option
@click.pass_obj
def message(place: Place, name: str, text: str, as_json: bool) -> None:
    """Show a message to a user who has a session.

    \b
    Example:
      asyncluster user message jane 'The lab closes in ten minutes'
    """
    with open_accounts(place) as accounts:
        accounts.message(name, text)
    _done(as_json, f"{name} is told.")


@user.command()
@click.argument("name")
@click.argument("text", default="")
@json_option
@click.pass_obj
def kick(place: Place, name: str, text: str, as_json: bool) -> None:
    """End a user's session, with a last word.  The account stays as it is: see `disable`.

    \b
    Example:
      asyncluster user kick jane 'The lab is closed'
    """
    with open_accounts(place) as accounts:
        accounts.kick(name, text)
    _done(as_json, f"The session of {name} has ended.")


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def remove(place: Place, name: str, yes: bool, as_json: bool) -> None:
    """Take an account away, with its openings.  A session that is on ends, and so do links across the network.

    On a terminal it asks first; `disable` keeps the account, and nobody can use it.

    \b
    Example:
      asyncluster user remove jane
    """
    if not (yes or as_json) and _somebody_types():
        click.confirm(f"Take away the account of {shown(name)}, its limits, openings and password?", abort=True)
    with open_accounts(place) as accounts:
        accounts.remove(name)
    _done(as_json, f"{name} has no account any more.")


@user.command(name="import")
@click.argument("file", type=GivenFile())
@json_option
@click.pass_obj
def import_(place: Place, file: bytes, as_json: bool) -> None:
    """Make accounts from a CSV file, or change those that are there.  - is stdin.

    The first line names the columns: name, and any of enabled, restricted (yes or no), daily, weekly (such as 4h, or
    none), slots, queued (a number, or none), and argon2 and scram as `export --hashes` gives them.  What has no column,
    or an empty cell, stays as it is.  Nothing is done where a line makes no sense; where the master refuses one, it is
    told how many were imported before, a hundred at a time, and the file may be imported again.  A new account without
    hashes has no password: `asyncluster user password NAME` gives it one.

    \b
    Example:
      asyncluster user import students.csv
    """
    from asyncluster.cli.csvfiles import read_accounts

    with said():
        rows = read_accounts(lines(file, "utf-8-sig", "strict"))
    with open_accounts(place) as accounts:
        count = accounts.import_all(rows)
    _done(as_json, f"{count} {'account is' if count == 1 else 'accounts are'} imported.", accounts=count)


@user.command()
@click.option("--hashes", is_flag=True, help="With what passwords are checked by: keep such a file as safe as them.")
@json_option
@click.pass_obj
def export(place: Place, hashes: bool, as_json: bool) -> None:
    """Print all accounts as CSV, as `import` reads them.

    \b
    Example:
      asyncluster user export > accounts.csv
      (umask 077; asyncluster user export --hashes > moving.csv)
    """
    from asyncluster.cli.csvfiles import write_accounts

    with open_accounts(place) as accounts:
        rows = list(accounts.all())
        if hashes:
            rows = [row | accounts.hashes(row["name"]) for row in rows]
    if as_json:
        render.print_json(rows)
    else:
        click.echo(write_accounts(rows), nl=False)


def _given(**limits: int | str | None) -> dict[str, Any]:
    """Of the limits those that were given; "none" as None."""
    return {name: None if value == "none" else value for name, value in limits.items() if value is not None}


def _done(as_json: bool, text: str, **told: object) -> None:
    if as_json:
        render.print_json({"done": True, **told})
    else:
        click.echo(text)
