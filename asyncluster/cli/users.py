"""`asyncluster user add | list | remove`: accounts of people who reach the master across the network.

Works on the master's machine, on the file of verifiers in its state folder; the master notices.
"""

from __future__ import annotations

from pathlib import Path

import click

from asyncluster.cli import render
from asyncluster.cli.cluster import json_option, own_places
from asyncluster.errors import ConfigError
from asyncluster.wire.accounts import make_verifier
from asyncluster.wire.verifiers import ACCOUNTS_FILE, VerifierFile

SHORTEST = 12
"""Characters of a password: a dishonest master can try shorter ones offline (docs/wire.md)."""

config_option = click.option(
    "--config", metavar="FILE", help="The master's configuration.  [default: the personal master's]"
)


def _accounts(config: str | None) -> VerifierFile:
    from asyncluster.config.load import find, load

    path = find(config)
    if config is None and own_places().conf.exists():
        path = str(own_places().conf)
    if path is None:
        raise ConfigError("no master is configured here; name its configuration with --config, or `asyncluster up`")
    folder = Path(load(path, need="master").server.state_folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return VerifierFile(folder / ACCOUNTS_FILE)


@click.group()
def user() -> None:
    """Accounts for people who reach the master across the network.

    On the master's own machine nobody needs one: the kernel says who asks.
    """


@user.command()
@click.argument("name")
@config_option
@click.password_option(envvar="ASYNCLUSTER_PASSWORD", help="Asked for; or from $ASYNCLUSTER_PASSWORD.")
@json_option
def add(name: str, config: str | None, password: str, as_json: bool) -> None:
    """Make an account, or give it a new password.  The master keeps a verifier, not the password.

    \b
    Example:
      asyncluster user add jane --config /etc/asyncluster.conf
    """
    if not name.isprintable() or " " in name or len(password) < SHORTEST:
        raise ConfigError(f"a name has no blanks, and a password at least {SHORTEST} characters; let a machine make it")
    _accounts(config).put(make_verifier(name, "client", password))
    if as_json:
        render.print_json({"added": name})
    else:
        click.echo(f"{name} can connect: Cluster('HOST:PORT', user={name!r}, password=…)")


@user.command(name="list")
@config_option
@json_option
def list_(config: str | None, as_json: bool) -> None:
    """List the accounts.

    \b
    Example:
      asyncluster user list --json
    """
    names = sorted(name for name, role in _accounts(config).names() if role == "client")
    if as_json:
        render.print_json(names)
    else:
        for name in names:
            click.echo(name)


@user.command()
@click.argument("name")
@config_option
@json_option
def remove(name: str, config: str | None, as_json: bool) -> None:
    """Take an account away.  Who is connected stays so until the connection ends.

    \b
    Example:
      asyncluster user remove jane
    """
    if not _accounts(config).remove(name, "client"):
        raise ConfigError(f"there is no account {name}; `asyncluster user list` shows them")
    if as_json:
        render.print_json({"removed": name})
    else:
        click.echo(f"{name} can connect no more.")
