"""`asyncluster opening add | list | remove`: when restricted users may sit at workstations."""

from __future__ import annotations

import attrs
import click

from asyncluster.accounts.openings import parse_clock, parse_days
from asyncluster.cli import peopletables, render
from asyncluster.cli.cluster import json_option
from asyncluster.cli.connect import Place, open_accounts
from asyncluster.cli.values import said
from asyncluster.model.account import EVERYBODY, Opening

for_option = click.option(
    "--for", "user", default=EVERYBODY, metavar="USER", help="Of one user alone.  [default: everybody's]"
)


@click.group()
def opening() -> None:
    """Openings: when restricted users may have sessions, each week anew, in the site's time zone.

    A user who has openings of his own has these in the place of everybody's.
    """


@opening.command()
@click.argument("days")
@click.argument("start")
@click.argument("end")
@for_option
@json_option
@click.pass_obj
def add(place: Place, days: str, start: str, end: str, user: str, as_json: bool) -> None:
    """Add an opening on each of these days.  Openings that meet are one; 24:00 is the end of the day.

    \b
    Examples:
      asyncluster opening add Mon-Fri 08:00 18:00
      asyncluster opening add Sat,Sun 10:00 24:00 --for jane
    """
    with said():
        some = _openings(days, start, end, user)
    with open_accounts(place) as accounts:
        accounts.add_openings(some)
        _show(accounts.openings(), as_json)


@opening.command(name="list")
@click.option("--for", "user", metavar="USER", help="Those that hold for that user: his own, or else everybody's.")
@json_option
@click.pass_obj
def list_(place: Place, user: str | None, as_json: bool) -> None:
    """List the openings, of everybody and of single users.

    \b
    Examples:
      asyncluster opening list
      asyncluster opening list --for jane
    """
    with open_accounts(place) as accounts:
        _show(accounts.openings() if user is None else accounts.openings_of(user), as_json)


@opening.command()
@click.argument("days")
@click.argument("start")
@click.argument("end")
@for_option
@json_option
@click.pass_obj
def remove(place: Place, days: str, start: str, end: str, user: str, as_json: bool) -> None:
    """Take openings away that are there with exactly these times.

    \b
    Example:
      asyncluster opening remove Fri 08:00 18:00
    """
    with said():
        some = _openings(days, start, end, user)
    with open_accounts(place) as accounts:
        if not accounts.remove_openings(some):
            raise click.ClickException("there is no such opening; `asyncluster opening list` shows them")
        _show(accounts.openings(), as_json)


def _openings(days: str, start: str, end: str, user: str) -> list[Opening]:
    return [Opening(user, day, parse_clock(start), parse_clock(end)) for day in parse_days(days)]


def _show(found: list[Opening], as_json: bool) -> None:
    if as_json:
        render.print_json([attrs.asdict(each) for each in found])
    else:
        peopletables.print_openings(found)
