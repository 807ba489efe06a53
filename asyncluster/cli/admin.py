"""`asyncluster-admin`: Dynamic Torque's admin.py, flag by flag, over the verbs of `asyncluster`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from asyncluster.cli import pooltables, render
from asyncluster.cli.connect import Place, open_pools
from asyncluster.cli.main import Telling, place, where_options
from asyncluster.errors import RefusedError
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")
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
    if every is not None and not info:
        raise click.UsageError("-c goes with -i")
    if as_json and every is not None:
        raise click.UsageError("--json is printed once: leave -c out")
    ctx.meta[render.JSON] = as_json
    there = place(**where)
    if info:
        _show(there, every, as_json)
    done: dict[str, Any] = {}
    texts: list[str] = []
    try:
        if sleep or wake:
            done |= _sleep(there, texts, on=sleep)
        if kill:
            done |= _kill(there, texts, kill)
        if flush:
            done |= _flush(there, texts)
    finally:  # with -s -f the first is told of, though the second fail
        if texts and not as_json:
            click.echo("\n".join(texts))
    if as_json and done:
        render.print_json(done)


def _show(there: Place, every: float | None, as_json: bool) -> None:
    """Until the user has enough of it, where it is to be repeated."""
    with open_pools(there) as pools:
        while True:
            status, jobs = pools.status(), pools.jobs()
            if every is not None:
                click.clear()
            if as_json:
                render.print_json({**status, **jobs})
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
    click.echo(f"\nJobs on these nodes: {running}; waiting jobs: {jobs['waiting']}")
    if jobs["jobs"]:
        pooltables.print_jobs(jobs, "")


def _sleep(there: Place, texts: list[str], *, on: bool) -> dict[str, Any]:
    with open_pools(there) as pools:
        pools.set("sleep", on)
    texts.append(
        "Asleep: no node is started; `asyncluster-admin --wake` ends it." if on else "Awake: nodes start as needed."
    )
    return {"sleep": on}


def _kill(there: Place, texts: list[str], host: str) -> dict[str, Any]:
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
    texts.append(f"Node {host} gets no more jobs and goes.")
    return {"deleted": [host]}


def _flush(there: Place, texts: list[str]) -> dict[str, Any]:
    """A node that has gone since the master was asked keeps no other from going."""
    deleted: list[str] = []
    refused: dict[str, str] = {}
    with open_pools(there) as pools:
        status = pools.status()
        for name, each in status["nodes"].items():
            if each["life"] in ("destroying", "gone"):
                continue
            try:
                pools.delete(name)
                deleted.append(name)
            except RefusedError as error:
                refused[name] = str(error)
        left = pools.status()["nodes"] if refused else {}
    if still := [name for name in refused if name in left]:  # no right, for one
        raise RefusedError(f"{', '.join(still)} could not be deleted: {refused[still[0]]}")
    texts.append(_flushed(deleted, [*refused], asleep=status["engine"]["sleep"]))
    return {"deleted": deleted, "gone_meanwhile": [*refused]}


def _flushed(deleted: list[str], gone: list[str], *, asleep: bool) -> str:
    if not deleted and not gone:
        return "There is no node to be deleted."
    lines = []
    if deleted:
        lines.append(f"No new job for {', '.join(deleted)}: each goes when its jobs are over.")
    if gone:
        lines.append(f"Gone meanwhile: {', '.join(gone)}.")
    if not asleep:
        lines.append(
            "New ones start where work waits or a pool's minimum asks for them; `asyncluster-admin -s` keeps them away."
        )
    return "\n".join(lines)
