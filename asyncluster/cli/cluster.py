"""`asyncluster up | down | status`: the personal master, and what any master says of itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.cli.batch import batch_options, pools_text
from asyncluster.cli.connect import Place, open_cluster, open_pools
from asyncluster.cli.waiting import CLOUD_SECONDS, silent_clouds, wait_for_name, wait_for_nodes
from asyncluster.errors import MasterNotFoundError, RefusedError
from asyncluster.model.node import NodeView
from asyncluster.personal import batch, daemons
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
    "--nodes",
    "count",
    type=click.IntRange(0, 64),
    help="Nodes on this machine.  [default: 1; none with --batch]",
)
@click.option("--slots", type=click.IntRange(1, 4096), help="Tasks at a time of each node.  [default: one per core]")
@click.option(
    "--subnets",
    metavar="LIST",
    default="",
    help="Who else may connect; opens the port.  [default: this machine only; with --batch its networks]",
)
@batch_options
@json_option
def up(count: int | None, slots: int | None, subnets: str, as_json: bool, **asked: Any) -> None:
    """Start a personal master and nodes on this machine, in the background.

    Needs no root and no file: passwords, certificate and settings are made in your own folders.
    Does nothing when they run already; the exit code is 1 when they run otherwise than asked for.
    Where the master was killed and its nodes go on, they join the new one with what they run and hold.
    Nodes that were killed are started again.

    With --batch nodes come from a batch system instead, one a batch job, as tasks wait for them, and go when they are
    idle; `asyncluster down` cancels those jobs.  The pool is kept for the next `up`; --batch none forgets it.

    \b
    Examples:
      asyncluster up
      asyncluster up --batch slurm --queue long --cores 8 --memory 16GiB --walltime 4:00:00 --max-nodes 20
      asyncluster up --nodes 2 --slots 4
      asyncluster up --subnets 127.0.0.1,192.168.1.0/24
    """
    own = own_places()
    context = click.get_current_context()
    pools = pools_text(asked)
    if pools:
        subnets = subnets or batch.subnets()
    before = {daemon.pid for daemon in daemons.running(own)}
    started = daemons.up(own, count, slots, subnets, elastic=pools)
    fresh = [daemon for daemon in started if daemon.pid not in before]
    anew = any(daemon.name == daemons.MASTER for daemon in fresh)
    joined = [daemon for daemon in started if anew and daemon.pid in before]
    again = [daemon for daemon in fresh if not anew]
    with open_cluster(Place(socket=own.socket), output=None) as cluster:
        wait_for_nodes(cluster.nodes, len(fresh) - 1 if anew else 0)
        for daemon in [*joined, *again]:
            wait_for_name(cluster.nodes, daemon.name, daemon.log)
        status = cluster.status()
        present = cluster.nodes()
    silent = _silent(own)
    amiss = _not_in_effect(own, started, present, count, slots, subnets) if joined or not anew else []
    if not anew and pools is not None and daemons.has_pools(own, pools) == (not pools):
        amiss += daemons.other_pools(own, pools)
    if as_json:
        told: dict[str, Any] = {
            "socket": own.socket,
            "config": str(own.conf),
            "status": status,
            "daemons": _plain(started),
            "pools": str(own.elastic) if daemons.has_pools(own) else None,
        }
        names = {"joined_again": [each.name for each in joined], "started_again": [each.name for each in again]}
        render.print_json({**told, "not_in_effect": amiss, "silent": silent, **names})
        context.exit(1 if amiss else 0)
    for daemon in joined:
        click.echo(f"node {daemon.name} of the earlier master joined again")
    if again:
        click.echo(f"Your personal master runs already, and had lost nodes: {_listed(again)} started again.")
    elif not fresh:
        click.echo("Your personal master runs already; `asyncluster down` stops it.")
    _tell_what_runs(own, started)
    for text in silent:
        click.echo(f"warning: {text}", err=True)
    for text in amiss:
        click.echo(f"not in effect: {text}", err=True)
    if amiss:
        click.echo("`asyncluster down`, then `up` as you want it; or see `asyncluster node add --help`", err=True)
    elif anew:
        _tell_what_next(bool(present) or not silent)
    context.exit(1 if amiss else 0)


def _silent(own: Places) -> list[str]:
    """Which pools get no nodes as their batch system does not answer."""
    if not daemons.has_pools(own):
        return []
    try:
        with open_pools(Place(socket=own.socket)) as pools:
            return silent_clouds(pools.status, CLOUD_SECONDS)
    except RefusedError:  # a master that runs without them
        return []


def _tell_what_runs(own: Places, started: list[daemons.Daemon]) -> None:
    render.print_daemons(started)
    click.echo(f"socket    {own.socket}\nsettings  {own.conf} (holds passwords; only you can read it)")
    if daemons.has_pools(own):
        click.echo(f"pools     {own.elastic} (nodes come as tasks wait; `asyncluster pool list`)")


def _tell_what_next(works: bool) -> None:
    if os.getuid() == 0:
        click.echo("warning: you are root, and tasks of this cluster run as root too", err=True)
    if not works:  # a task would wait for ever
        click.echo("\nNext:\n  asyncluster pool check")
        return
    click.echo(
        "\nNext:\n  asyncluster status\n  asyncluster exec -- uname -a\n"
        "  python -c 'from asyncluster import Cluster; print(sum(Cluster().map(abs, range(-9, 0))))'"
    )


def _not_in_effect(
    own: Places,
    started: Sequence[daemons.Daemon],
    present: Sequence[NodeView],
    count: int | None,
    slots: int | None,
    subnets: str,
) -> list[str]:
    """Which of the options that were given a cluster that runs does not have."""
    amiss = []
    names = {daemon.name for daemon in started if daemon.name != daemons.MASTER}
    if count not in (None, len(names)):
        amiss.append(f"--nodes {count}: {len(names)} run{'s' if len(names) == 1 else ''} here")
    if slots is not None and not names:
        amiss.append(
            f"--slots {slots}: no node runs here" + (", they come from a pool" if daemons.has_pools(own) else "")
        )
    ours = [node for node in present if node.name in names]
    if other := [f"{node.name} has {node.slots}" for node in ours if slots not in (None, node.slots)]:
        amiss.append(f"--slots {slots}: {', '.join(other)}")
    if subnets and (now := daemons.refuses(own, subnets)):
        amiss.append(f"--subnets {subnets}: the master lets in {now}")
    return amiss


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

    Running tasks have 30 seconds to finish, or --wait where that is less; those that do not are begun again
    later.  Jobs are kept, and go on with the next `up`: detached ones by themselves, those of programs as long as these
    wait for the master to come back.  `job cancel` and `job forget` end jobs.  Nodes on other machines are
    not stopped: they go on looking for the master.

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
            f"Killed {_listed(killed)}: not ended after {seconds:g} s.  "
            "Tasks that still ran begin again with the next `up`.",
            err=True,
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
            click.echo(
                f"These run, but nothing answers at {own.socket}; "
                "`asyncluster up` starts a master for them, `asyncluster down` ends them:",
                err=True,
            )
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
