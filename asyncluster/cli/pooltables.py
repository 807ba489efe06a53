"""Pools, launched nodes and plans into tables and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from asyncluster.cli import render
from asyncluster.units import CANNOT, WAITED_FOR, clip, count, unanswered

COLORS = {**render.COLORS, "open": "green", "frozen": "yellow", "draining": "yellow"}

FIRST, LAST = 60, 180
"""Letters of what is longer: which command it was stands at the front, and what is wrong with it at the end."""

_ABOUT = ("kind", "mode", "least", "most", "starting", "priority", "asked", "failures", "fault", "stopped", "reason")


def print_pools(pools: Mapping[str, Any], clouds: Mapping[str, Any]) -> None:
    """The table of pools; clouds: of each, when it has answered, and why not."""
    headings = ("pool", "kind", "mode", "nodes", "starting", "min", "max", "why")
    rows = [
        (
            *(name, each["kind"], each["mode"]),
            *(str(each[number]) for number in ("nodes", "starting", "least", "most")),
            (each["stopped"] and _short(each["stopped"]))
            or _silent(name, each["kind"], clouds.get(name))
            or _short(each["fault"] or each["reason"]),
        )
        for name, each in pools.items()
    ]
    render.table(headings, rows, right={"nodes", "starting", "min", "max"}, colors=COLORS)


def _silent(name: str, kind: str, cloud: Mapping[str, Any] | None) -> str:
    """That its cloud did not answer when it was asked last, and what tells more; "" where it did."""
    if not cloud or not cloud["fault"]:
        return ""
    verb = "pool check" if kind == "batch" else "cloud check"
    words = (cloud["fault"].strip().splitlines() or [""])[-1].rpartition("gave no answer: ")[2]
    return f"{unanswered(cloud['fault'], clip(words, LAST)[1:-1])}; `asyncluster {verb} {name}`"


def print_pool(name: str, found: Mapping[str, Any]) -> None:
    """One pool, a line each, then its nodes."""
    _lines({"pool": name, **{key: found[key] for key in _ABOUT if found.get(key) not in ("", None)}})
    if found["cloud"] is not None:
        click.echo(_source("its cloud", found["cloud"]))
    click.echo("")
    print_nodes(found["nodes"], ("instance", "address"))


def print_nodes(nodes: Mapping[str, Any], shown: Sequence[str] = ("pool",)) -> None:
    """The table of nodes that were launched.  shown: what of each has a column behind its state."""
    if not nodes:
        click.echo("No node of a pool is there.")
        return
    headings = ("node", "state", *shown, "step", "for", "why")
    rows = [
        (name, each["state"], *(each[key] or "-" for key in shown), each["life"], render.age(each["since"]), _why(each))
        for name, each in nodes.items()
    ]
    render.table(headings, rows, right={"for"}, colors=COLORS)


def print_machine(told: Mapping[str, str]) -> None:
    """Which machine a node is, where that is known; nothing of what is none."""
    found = [f"{key} {told[key]}" for key in ("instance", "address") if told.get(key)]
    if found:
        click.echo(", ".join(found))


def _why(node: Mapping[str, Any]) -> str:
    """What is wrong with it, with what follows from that; for a node that nobody looks after the latter only."""
    fault, reason = node["fault"], node["reason"]
    if fault and fault in reason and node.get("rule") != "orphan":
        return _short(reason[reason.index(fault) :])
    return _short(reason if node.get("rule") == "orphan" else fault or reason)


def print_status(status: Mapping[str, Any]) -> None:
    """The engine, a line each, then its pools."""
    engine = status["engine"]
    shown = {mode: "on" if engine[mode] else "off" for mode in ("auto", "sleep", "passive")}
    _lines({**shown, "now": _short(engine["fault"] or engine["reason"])})
    click.echo(_source("the scheduler", status["scheduler"]))
    for name, cloud in status["clouds"].items():
        click.echo(_source(f"the cloud of pool {name}", cloud))
    for report in engine["reports"]:
        click.echo(f"found: {_short(report)}")
    click.echo("")
    print_pools(status["pools"], status["clouds"])


def print_plan(plan: Mapping[str, Any]) -> None:
    """What would be done, and the reasons."""
    if not plan["actions"]:
        click.echo("Nothing would be done: " + plan["engine"]["text"])
    for action in plan["actions"]:
        click.echo(f"{action['does']} {action['node']} (pool {action['pool']}): {action['cause']}")
    click.echo("")
    for kind in ("pools", "nodes", "jobs"):
        for name, reason in plan[kind].items():
            click.echo(f"{kind[:-1]} {name}: {reason['text']}")
    _print_more(plan)


def print_jobs(found: Mapping[str, Any], none: str) -> None:
    """A table of the first jobs that wait, and how many more there are."""
    if not found["waiting"]:
        click.echo(none)
        return
    if found["jobs"]:
        render.table(("job", "why"), [(name, reason["text"]) for name, reason in found["jobs"].items()], set(), {})
    _print_more(found)


def _print_more(found: Mapping[str, Any]) -> None:
    more = found["waiting"] - len(found["jobs"])
    if more > 0:
        click.echo(f"and {count(more, 'job')} more; `asyncluster explain job` tells of any")


def print_road(pool: str, steps: Sequence[Mapping[str, Any]]) -> None:
    """The steps of a check, and what to mend."""
    click.echo(f"pool {pool}")
    for step in steps:
        mark = {True: "OK", False: "FAILED", None: "-"}[step["ok"]]
        click.echo(f"  {step['name']:<12} {mark:<7} {step['text']}")
        if step["mend"]:
            click.echo(f"  {'':<12} {'':<7} mend: {step['mend']}")


def _short(text: str) -> str:
    """On one line: what a program printed may be long; --json has all of it."""
    text = " ".join(text.split())
    return text if len(text) <= FIRST + LAST else f"{text[:FIRST]} … {text[-LAST:]} (--json tells all)"


def _source(what: str, source: Mapping[str, Any]) -> str:
    if source["fault"].startswith((CANNOT, WAITED_FOR)):
        return f"{what} {_short(source['fault'])}"
    if source["age"] is None:
        return f"{what} has not answered yet" + (f": {_short(source['fault'])}" if source["fault"] else "")
    if source["fault"]:
        return f"{what} does not answer, since {render.age(source['age'])}: {_short(source['fault'])}"
    return f"{what} answered {render.age(source['age'])} ago"


def _lines(values: Mapping[str, Any]) -> None:
    width = max(map(len, values))
    for key, value in values.items():
        click.echo(f"{key:<{width}}  {value}")
