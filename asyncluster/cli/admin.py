"""`asyncluster-admin`: Dynamic Torque's admin.py, flag by flag, over the verbs of `asyncluster`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from asyncluster.cli import pooltables, render
from asyncluster.cli.connect import Place, open_pools
from asyncluster.cli.main import Telling, place, where_options
from asyncluster.version import VERSION

_PARTS = {
    "Worker nodes": ("up", "held"),
    "Nodes being deleted": ("retiring", "holding", "empty", "removed", "destroying", "gone"),
}
"""Headings, with the steps of a node's life that stand below them; all others are on their way up."""


@click.command(cls=Telling, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="asyncluster-admin")
@where_options
@click.option(
    "-i", "--info", "info", is_flag=True, help="List worker nodes, nodes being started and deleted, and waiting jobs."
)
@click.option(
    "-c", "--continuous", "every", metavar="S", type=click.FloatRange(0.1), help="With -i: again every S seconds."
)
@click.option(
    "-s", "--sleep", "sleep", is_flag=True, help="Sleep: start no node; nodes that are there may still be deleted."
)
@click.option("--wake", "wake", is_flag=True, help="End the sleep.")
@click.option("-k", "--kill", "kill", metavar="HOST", help="Delete the node HOST, which must run no job.")
@click.option(
    "-f",
    "--forceoff",
    "flush",
    is_flag=True,
    help="Delete all nodes: no new job, then each goes when its jobs are over.",
)
@click.option("--json", "as_json", is_flag=True, help="With -i: one JSON document.")
@click.pass_context
def main(
    ctx: click.Context, /, info: bool, every: float | None, sleep: bool, wake: bool, kill: str | None, flush: bool,
    as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Look at the nodes that pools have launched, and delete some, with the flags of Dynamic Torque's admin.py.

    `asyncluster pool`, `asyncluster cluster` and `asyncluster elastic` do this, and more.  Static nodes of a cluster
    are never touched.

    \b
    Examples:
      asyncluster-admin -i
      asyncluster-admin -i -c 5
      asyncluster-admin -k cloud-3
      asyncluster-admin -s -f    # all go, and none comes: the image has changed
      asyncluster-admin --wake   # from now on the new ones come
    """
    if sum((info, bool(kill), sleep or flush, wake)) != 1:
        raise click.UsageError("give one of -i, -s, --wake, -k HOST, -f; only -s and -f go together")
    if (every is not None or as_json) and not info:
        raise click.UsageError("-c and --json go with -i")
    if as_json and every is not None:
        raise click.UsageError("--json is printed once: leave -c out")
    ctx.meta[render.JSON] = as_json
    there = place(**where)
    if info:
        _show(there, every, as_json)
    if sleep or wake:
        _sleep(there, on=sleep)
    if kill:
        _kill(there, kill)
    if flush:
        _flush(there)


def _show(there: Place, every: float | None, as_json: bool) -> None:
    """Until the user has enough of it, where it is to be repeated."""
    with open_pools(there) as pools:
        while True:
            status, jobs = pools.status(), pools.plan()["jobs"]
            if every is not None:
                click.clear()
            if as_json:
                render.print_json({**status, "jobs": jobs})
            else:
                _print(status, jobs)
            if every is None:
                return
            time.sleep(every)


def _print(status: Mapping[str, Any], jobs: Mapping[str, Any]) -> None:
    pooltables.print_status(status)
    nodes = dict(status["nodes"])
    parts = {
        heading: {name: nodes.pop(name) for name, each in status["nodes"].items() if each["life"] in lives}
        for heading, lives in _PARTS.items()
    }
    first, last = _PARTS
    for heading, found in ((first, parts[first]), ("Nodes being started", nodes), (last, parts[last])):
        click.echo(f"\n{heading}: {len(found)}")
        if found:
            pooltables.print_nodes(found)
    running = sum(len(each["jobs"]) for each in status["nodes"].values())
    click.echo(f"\nJobs on these nodes: {running}; waiting jobs: {len(jobs)}")
    if jobs:
        pooltables.print_reasons("job", jobs, "")


def _sleep(there: Place, *, on: bool) -> None:
    with open_pools(there) as pools:
        pools.set("sleep", on)
    click.echo(
        "Asleep: no node is started; `asyncluster-admin --wake` ends it." if on else "Awake: nodes start as needed."
    )


def _kill(there: Place, host: str) -> None:
    with open_pools(there) as pools:
        nodes = pools.status()["nodes"]
        if host not in nodes:
            known = ", ".join(nodes) or "none"
            raise click.ClickException(
                f"{host} is no node that a pool launched, so it is left alone; there are: {known}"
            )
        jobs = nodes[host]["jobs"]
        if jobs:
            raise click.ClickException(
                f"{host} runs {', '.join(jobs)}; `asyncluster cluster delete {host}` waits for them, with --force they "
                "begin anew elsewhere"
            )
        pools.delete(host)
    click.echo(f"Node {host} gets no more jobs and goes.")


def _flush(there: Place) -> None:
    with open_pools(there) as pools:
        status = pools.status()
        nodes = [name for name, each in status["nodes"].items() if each["life"] not in ("destroying", "gone")]
        for name in nodes:
            pools.delete(name)
    if not nodes:
        click.echo("There is no node to be deleted.")
        return
    click.echo(f"No new job for {', '.join(nodes)}: each goes when its jobs are over.")
    if not status["engine"]["sleep"]:
        click.echo(
            "New ones start where work waits or a pool's minimum asks for them; `asyncluster-admin -s` keeps them away."
        )
