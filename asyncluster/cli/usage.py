"""`asyncluster usage`: who used how much, with a chart in plain text; `asyncluster audit`: who changed what."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import click

from asyncluster.accounts.report import AXES
from asyncluster.cli import peopletables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_accounts

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--by", "axis", type=click.Choice(AXES), default="user", show_default=True, help="What is summed up.")
@click.option("--since", type=_DAY, help="First day.  [default: a year before the last]")
@click.option("--until", type=_DAY, help="Last day.  [default: today]")
@click.option("--top", type=click.IntRange(1), default=40, show_default=True, help="Lines; days are all shown.")
@json_option
@click.pass_obj
def usage(place: Place, axis: str, since: datetime | None, until: datetime | None, top: int, as_json: bool) -> None:
    """Show how much was used: hours at workstations, and core-hours of tasks.

    Days are those of the site's time zone.  A session counts when it has ended.  Memory is the most that a task was
    seen to use, where tasks ask for some.  The bar is both kinds of hours together.

    \b
    Examples:
      asyncluster usage
      asyncluster usage --by day --since 2026-11-01
      asyncluster usage --by job --json
    """
    with open_accounts(place) as accounts:
        last = until.date() if until else date.fromisoformat(accounts.today())
        first = since.date() if since else last - timedelta(days=365)
        lines = accounts.usage(axis, first.isoformat(), last.isoformat())
    if as_json:
        render.print_json({"by": axis, "since": str(first), "until": str(last), "lines": lines})
    else:
        peopletables.print_usage(axis, lines, len(lines) if axis == "day" else top)


@click.command()
@click.option("--last", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many.")
@json_option
@click.pass_obj
def audit(place: Place, last: int, as_json: bool) -> None:
    """Show what administrators did with accounts, the latest first, in the site's time zone.

    \b
    Example:
      asyncluster audit --last 10
    """
    with open_accounts(place) as accounts:
        acts = accounts.audit(last)
    if as_json:
        render.print_json(acts)
    else:
        peopletables.print_acts(acts)
