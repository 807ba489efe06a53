"""`asyncluster up | down | status`: the personal master, and what any master says of itself."""

from __future__ import annotations

import os
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.cli.connect import Place, open_cluster
from asyncluster.cli.waiting import wait_for_nodes
from asyncluster.errors import MasterNotFoundError
from asyncluster.personal import daemons
from asyncluster.personal.files import DRAIN_SECONDS
from asyncluster.personal.paths import Places, places


def _remember(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> bool:
    ctx.meta[render.JSON] = wanted  # whoever tells of a failure looks there
    return wanted


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_remember,
    help='Print JSON, for programs; a failure is {"error": {"type": ..., "message": ..., "traceback": ...}}.',
)


def own_places() -> Places:
    """Where the user's own personal master lives."""
    return places(os.environ, os.getuid())


@click.command()
@click.option(
    "--nodes", "count", type=click.IntRange(0, 64), default=1, show_default=True, help="Nodes on this machine."
)
@click.option("--slots", type=click.IntRange(1, 4096), help="Tasks at a time of each node.  [default: one per core]")
@click.option(
    "--subnets", metavar="LIST", default="", help="Who else may connect; opens the port.  [default: this machine only]"
)
@json_option
def up(count: int, slots: int | None, subnets: str, as_json: bool) -> None:
    """Start a personal master and nodes on this machine, in the background.

    Needs no root and no file: passwords, certificate and settings are made in your own folders.
    Does nothing when they run already.

    \b
    Examples:
      asyncluster up
      asyncluster up --nodes 2 --slots 4
      asyncluster up --subnets 127.0.0.1,192.168.1.0/24
    """
    own = own_places()
    before = {daemon.pid for daemon in daemons.running(own)}
    started = daemons.up(own, count, slots, subnets)
    fresh = [daemon for daemon in started if daemon.pid not in before]
    with open_cluster(Place(socket=own.socket), output=None) as cluster:
        wait_for_nodes(cluster.nodes, count if fresh else 0)
        status = cluster.status()
    if as_json:
        render.print_json({"socket": own.socket, "config": str(own.conf), "status": status, "daemons": _plain(started)})
        return
    if not fresh:
        click.echo("Your personal master runs already; `asyncluster down` stops it.")
        if slots or subnets or count != len(started) - 1:
            click.echo("What you asked for differs or may differ: stop it first, or see `asyncluster node add --help`.")
    render.print_daemons(started)
    click.echo(f"socket    {own.socket}\nsettings  {own.conf} (holds passwords; only you can read it)")
    if os.getuid() == 0:
        click.echo("warning: you are root, and tasks of this cluster run as root too", err=True)
    click.echo(
        "\nNext:\n  asyncluster status\n  asyncluster exec -- uname -a\n"
        "  python -c 'from asyncluster import Cluster; print(sum(Cluster().map(abs, range(-9, 0))))'"
    )


@click.command()
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(0, 86400),
    default=40.0,
    show_default=True,
    help="Seconds after which whatever has not ended is killed.",
)
@json_option
def down(seconds: float, as_json: bool) -> None:
    """Stop your personal master and its nodes on this machine.

    Running tasks have 30 seconds to finish, or --wait where that is less.  Tasks that wait are dropped,
    and the programs that are connected are told.  Nodes on other machines are not stopped: they go on
    looking for the master.

    \b
    Examples:
      asyncluster down
      asyncluster down --wait 5
    """
    own = own_places()
    running = daemons.running(own)
    if running and not as_json:
        given = min(seconds, DRAIN_SECONDS)
        click.echo(f"Stopping {_listed(running)}; running tasks have {given:g} s to finish.")
    found, killed = daemons.down(own, seconds)
    ended = [daemon for daemon in found if daemon not in killed]
    if as_json:
        render.print_json({"stopped": _plain(ended), "killed": _plain(killed)})
        return
    if not found:
        click.echo("You have no personal master or node running on this machine.")
    if ended:
        click.echo(f"Stopped {_listed(ended)}.")
    if killed:
        click.echo(
            f"Killed {_listed(killed)}: not ended after {seconds:g} s.  Tasks that still ran are lost.", err=True
        )
    if found and (others := daemons.elsewhere(own)):
        click.echo(f"Nodes on other machines ({', '.join(others)}) go on looking for the master until stopped there.")


@click.command()
@json_option
@click.pass_obj
def status(place: Place, as_json: bool) -> None:
    """Tell what the master does: nodes, slots, tasks.

    \b
    Examples:
      asyncluster status
      asyncluster --socket /run/asyncluster/control status --json
    """
    own = own_places()
    found = daemons.running(own) if place.is_personal else []
    try:
        with open_cluster(place, output=None) as cluster:
            answer: dict[str, Any] = cluster.status()
    except MasterNotFoundError:
        if found:
            click.echo(f"These run, but nothing answers at {own.socket}; `asyncluster down` ends them:", err=True)
            render.print_daemons(found, err=True)
        raise
    if as_json:
        render.print_json({**answer, "daemons": _plain(found)})
        return
    render.print_status(answer)
    if found:
        click.echo()
        render.print_daemons(found)


def _listed(found: list[daemons.Daemon]) -> str:
    return ", ".join(daemon.name for daemon in found)


def _plain(found: list[daemons.Daemon]) -> list[dict[str, object]]:
    return [{"name": daemon.name, "pid": daemon.pid, "log": str(daemon.log)} for daemon in found]
