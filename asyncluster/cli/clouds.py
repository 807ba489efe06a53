"""`asyncluster cloud`: whether a pool's cloud could launch, and what clouds have that nobody looks after."""

from __future__ import annotations

import sys
from typing import Any

import click

from asyncluster.cli import cloudtables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_pools
from asyncluster.cli.waiting import saying
from asyncluster.units import count


def _waiting(name: str | None) -> str:
    return f"waiting for the cloud of {name} …" if name else "waiting for the clouds of all pools …"


@click.group()
def cloud() -> None:
    """Check the clouds of pools, and find what was left running in them."""


@cloud.command()
@click.argument("name", metavar="[POOL]", required=False)
@json_option
@click.pass_obj
def check(place: Place, name: str | None, as_json: bool) -> None:
    """Look whether a pool's cloud could launch a node now, and say what to mend.

    Endpoint, credentials, image, flavor, quota left, network, key, user data, price, as far as the pool's cloud has
    them; nothing is launched.  The exit code is 1 when something fails.  Without POOL all pools are
    checked, side by side.  A cloud that hangs counts as one that fails after 3 minutes at the latest.

    \b
    Examples:
      asyncluster cloud check
      asyncluster cloud check burst
    """
    with open_pools(place) as pools, saying("" if as_json else _waiting(name)):
        found = pools.examine(name or "")
    if as_json:
        render.print_json(found)
    else:
        for pool, findings in found.items():
            cloudtables.print_findings(pool, findings)
    click.get_current_context().exit(cloudtables.fails(found))


@cloud.command()
@click.argument("name", metavar="[POOL]", required=False)
@click.option("--destroy", is_flag=True, help="End those that bear our tag; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force",
    metavar="WHY",
    help="End also what runs jobs, or may: its scheduler is silent, or another master's; the log keeps the sentence.",
)
@json_option
@click.pass_obj
def orphans(place: Place, name: str | None, destroy: bool, yes: bool, force: str | None, as_json: bool) -> None:
    """List what clouds have that nobody looks after, with age and cost.

    What bears our tag and is in no record of the master, and what another master has left behind: its lease is over.
    What it has while its lease is not over is counted below the list, and not ended.
    What is only named like ours is listed too, and never touched.  Unless --force says why, nothing is ended that the
    scheduler has jobs on, nothing while it does not answer, and nothing of another master: its jobs are another
    scheduler's and cannot be seen from here.  Without POOL the clouds of all pools are asked, side
    by side; one that hangs counts as one that did not answer after 2 minutes.  The exit code is 1 when
    some cloud did not answer, when nodes are where no pool is any more, of which nobody can say what became, or when
    something was to be ended and was not; what is skipped for want of --force is told, and no fault.

    \b
    Examples:
      asyncluster cloud orphans
      asyncluster cloud orphans burst --destroy
      asyncluster cloud orphans burst --destroy --force "the head node is lost, nobody waits for these jobs"
    """
    if force is not None and not force.strip():
        raise click.UsageError('--force wants a sentence that says why, for the log: --force "the head node is lost"')
    if force and not destroy:
        raise click.UsageError("--force is about --destroy; give that as well")
    if as_json and destroy and not yes:
        raise click.UsageError("--json cannot ask; give --yes as well")
    with open_pools(place) as pools:
        with saying("" if as_json else _waiting(name)):
            found = pools.orphans(name or "")
        left = [each for each in found["orphans"] if each["may"]]
        chosen = [each["id"] for each in left if force or not each.get("force")]
        if not as_json:
            cloudtables.print_orphans(found)
            if destroy:
                cloudtables.print_skipped([each for each in left if each["id"] not in set(chosen)])
            else:
                cloudtables.print_ways(left, name or "")
        ended: dict[str, Any] = {}
        if destroy and chosen and (yes or click.confirm(f"End {count(len(chosen), 'instance')}?")):
            with saying("" if as_json else _waiting(name)):
                ended = pools.destroy_orphans(name or "", chosen, force or "")
    if as_json:
        render.print_json(found | {"ended": ended} if ended else found)
    elif ended:
        cloudtables.print_ended(ended)
    elif destroy and not left:
        click.echo("There is nothing that could be ended.")
    if found["faults"] or found.get("unasked") or ended.get("faults"):
        sys.exit(1)
