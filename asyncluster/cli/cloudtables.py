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
    if not all_of_them:
        if not found["faults"] and not unasked:
            click.echo(
                "Nothing was left behind: what is there is in the book, or of another master whose lease is not over."
            )
        return
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
    left = [each for each in all_of_them if each["may"]]
    if left:
        cost = sum(each["cost"] for each in left)
        hourly = sum(each["price"] for each in left)
        money = f"; they have cost {cost:.2f} and cost {hourly:.2f} an hour" if hourly else ""
        told = f"{count(len(left), 'instance')} may be ended{money}: asyncluster cloud orphans --destroy"
        click.echo(f"\n{told}")


def print_ended(ended: Mapping[str, Any]) -> None:
    """What became of an order to end some."""
    done = ended["destroyed"]
    if done:
        click.echo(f"{count(len(done), 'instance')} end: {', '.join(done)}")
    for name, fault in ended["faults"].items():
        click.echo(f"{name} was not ended: {fault}", err=True)
