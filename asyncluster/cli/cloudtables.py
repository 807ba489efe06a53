"""Findings and orphans into tables and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.units import count

_MARKS = {True: "OK", False: "FAILED", None: "-"}


def print_findings(pool: str, findings: Sequence[Mapping[str, Any]]) -> None:
    """A line for each, and one with what to mend."""
    click.echo(f"pool {pool}")
    for finding in findings:
        click.echo(f"  {finding['name']:<12} {_MARKS[finding['ok']]:<7} {finding['text']}")
        if finding["mend"]:
            click.echo(f"  {'':<12} {'':<7} mend: {finding['mend']}")


def fails(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether something is not as it has to be."""
    return any(finding["ok"] is False for findings in found.values() for finding in findings)


def print_orphans(found: Mapping[str, Any]) -> None:
    """A table, what it has cost in all, which clouds did not answer, and which nodes are where nobody can ask."""
    for pool, fault in found["faults"].items():
        click.echo(f"the cloud of pool {pool} does not answer, so what it has is not known: {fault}", err=True)
    unasked = found.get("unasked", [])  # no earlier master tells it
    for report in unasked:
        click.echo(f"{report} (no cloud of the file can be asked for them)", err=True)
    all_of_them = found["orphans"]
    if all_of_them:
        _print_table(all_of_them)
    elif not found["faults"] and not unasked:
        click.echo(
            "Nothing was left behind: what is there is in the book, or of another master whose lease is not over."
        )
    for each in found.get("leased", []):  # likewise
        click.echo(f"{_leased(each['count'], bool(all_of_them))} to master {each['owner']}, {_until(each['left'])}")


def _leased(number: int, more: bool) -> str:
    return (
        f"{number} more belong{'s' if number == 1 else ''}"
        if more
        else (f"{count(number, 'instance')} belong{'s' if number == 1 else ''}")
    )


def _until(left: float) -> str:
    if left > 0.0:
        return f"whose lease is over in {left:.0f} s at the latest, unless it renews it"
    return f"whose lease is over since {-left:.0f} s: what stays is listed when it has been for five minutes"


def _print_table(all_of_them: Sequence[Mapping[str, Any]]) -> None:
    headings = ("instance", "name", "state", "pool", "age", "cost", "why")
    rows = [
        (
            *(each["id"], each["name"], each["state"], each["of"] or each["pool"]),
            render.age(each["age"]) if each["age"] else "-",
            f"{each['cost']:.2f}" if each["price"] and each["age"] else "-",
            each["why"],
        )
        for each in all_of_them
    ]
    render.table(headings, rows, right={"age", "cost"}, colors=render.COLORS)


def print_ways(left: Sequence[Mapping[str, Any]], pool: str) -> None:
    """The commands that end these, as they have to be typed.  pool: the one that was named, "" = none was."""
    command = f"asyncluster cloud orphans{f' {pool}' if pool else ''} --destroy"
    plain = [each for each in left if not each.get("force")]
    if plain:
        click.echo(f"\n{count(len(plain), 'instance')} may be ended{_money(plain)}: {command}")
    forced = [each for each in left if each.get("force")]
    if forced:
        told = f"{count(len(forced), 'instance')} may be ended with a sentence that says why{_money(forced)}"
        click.echo(f'\n{told}: {command} --force "why"')
    for why, some in _by_force(forced).items():
        click.echo(f"  {', '.join(each['id'] for each in some)}: {why}")


def print_skipped(left: Sequence[Mapping[str, Any]]) -> None:
    """Which of these are not ended without --force, and why."""
    for why, some in _by_force(left).items():
        click.echo(f'skipped: {", ".join(each["id"] for each in some)}: {why}; --force "why" ends what is so, too')


def _by_force(left: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Those that want a sentence, by why they do."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for each in left:
        if each.get("force"):  # no earlier master tells it
            found.setdefault(each["force"], []).append(each)
    return found


def _money(some: Sequence[Mapping[str, Any]]) -> str:
    cost = sum(each["cost"] for each in some)
    hourly = sum(each["price"] for each in some)
    return f"; they have cost {cost:.2f} and cost {hourly:.2f} an hour" if hourly else ""


def print_ended(ended: Mapping[str, Any]) -> None:
    """What became of an order to end some."""
    done = ended["destroyed"]
    if done:
        click.echo(f"{count(len(done), 'instance')} end: {', '.join(done)}")
    for name, fault in ended["faults"].items():
        click.echo(f"{name} was not ended: {fault}", err=True)
