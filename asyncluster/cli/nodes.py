"""`asyncluster nodes` and `asyncluster node add | remove`."""

from __future__ import annotations

import socket

import click

from asyncluster.cli import render
from asyncluster.cli.cluster import json_option, own_places
from asyncluster.cli.connect import Place, open_cluster, open_pools
from asyncluster.cli.waiting import wait_for_name
from asyncluster.errors import RefusedError
from asyncluster.personal import daemons


@click.command()
@json_option
@click.pass_obj
def nodes(place: Place, as_json: bool) -> None:
    """List the nodes and what they do.

    \b
    Examples:
      asyncluster nodes
      asyncluster nodes --json | jq '.[].name'
    """
    with open_cluster(place, output=None) as cluster:
        found = cluster.nodes()
    if as_json:
        render.print_json([render.node_json(one) for one in found])
    elif not found and _has_pools(place):
        click.echo("The master has no nodes now: they come as tasks wait.  `asyncluster pool list` shows from where.")
    else:
        render.print_nodes(found)


def _has_pools(place: Place) -> bool:
    try:
        with open_pools(place) as pools:
            return bool(pools.status()["pools"])
    except RefusedError:
        return False


@click.group()
def node() -> None:
    """Add or remove a node."""


@node.command()
@click.option("--slots", type=click.IntRange(1, 4096), help="Tasks at a time.  [default: one per core]")
@click.option(
    "--elsewhere", metavar="NAME", help="Do not start one here; tell how to on another machine, by this name."
)
@click.option("--host", metavar="NAME", help="How that machine reaches this one.  [default: this machine's name]")
@json_option
@click.pass_obj
def add(place: Place, slots: int | None, elsewhere: str | None, host: str | None, as_json: bool) -> None:
    """Start one more node for the personal master, here or elsewhere.

    For another machine this writes the settings that it needs, with the passwords, to a file that only
    you can read, and prints the lines to type.

    \b
    Examples:
      asyncluster node add --slots 2
      asyncluster node add --elsewhere desk-17
    """
    if not place.is_personal:
        raise click.UsageError("nodes are added to the personal master; see etc/asyncluster.conf for a site's")
    own = own_places()
    if elsewhere is None:
        name = daemons.add_node(own, slots)
        with open_cluster(place, output=None) as cluster:
            wait_for_name(cluster.nodes, name, own.log(name))
        if as_json:
            render.print_json({"node": name, "log": str(own.log(name))})
        else:
            click.echo(f"Node {name} has joined; its log is {own.log(name)}")
        return
    conf = daemons.for_other_machine(own, host or socket.getfqdn(), elsewhere)
    if as_json:
        render.print_json({"node": elsewhere, "config": str(conf)})
    else:
        click.echo(render.elsewhere(conf, elsewhere))


@node.command()
@click.argument("name")
@click.option("--reason", default="", help="For the logs.")
@json_option
@click.pass_obj
def remove(place: Place, name: str, reason: str, as_json: bool) -> None:
    """Send a node away: its running tasks finish, the rest goes to others.

    \b
    Example:
      asyncluster node remove local-2 --reason "needed for the practical"
    """
    with open_cluster(place, output=None) as cluster:
        cluster.dismiss(name, reason)
    if as_json:
        render.print_json({"removed": name})
    else:
        click.echo(f"Node {name} finishes what it runs and then ends.")
