"""What the demonstration prints: values in, rich things out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asyncluster.demo.survey import Totals

BAR = 24


@attrs.frozen
class Process:
    """One service: memory in bytes (with its workers), CPU time in seconds."""

    name: str
    memory: int
    cpu: float


@attrs.frozen
class Findings:
    """All that was measured; times in seconds.

    machine: how much more so many plain processes get done here than one, which bounds any speed-up;
    files: done by each node; tasks: in which it got them.
    """

    start: float
    serial: float
    cluster: float
    slots: int
    machine: float
    totals: Totals
    files: Mapping[str, int]
    tasks: Mapping[str, int]
    processes: Sequence[Process]

    @property
    def speedup(self) -> float:
        """Serial time over the cluster's."""
        return self.serial / self.cluster


def report(found: Findings) -> RenderableType:
    """The whole report."""
    return Group(_library(found.totals), Text(), _times(found), Text(), _nodes(found))


def bar(value: float, most: float, style: str = "cyan") -> Text:
    """A bar as long as the share of the greatest."""
    return Text("█" * max(1, round(BAR * value / most)) if most and value else "", style=style)


def _library(totals: Totals) -> RenderableType:
    head = Text.assemble(
        "The standard library: ",
        (f"{totals.files:,} files, {totals.size / 1e6:.1f} MB, ", "bold"),
        (f"{totals.functions:,} functions, {totals.branches:,} branches", "bold"),
        f"; {totals.faulty} files are faulty on purpose (test data)." if totals.faulty else ".",
    )
    table = Table(title="longest functions", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    most = totals.longest[0].longest_lines if totals.longest else 0
    for one in totals.longest:
        where = "/".join(one.path.split("/")[-2:])
        table.add_row(
            one.longest, Text(where, style="dim"), f"{one.longest_lines:,} lines", bar(one.longest_lines, most)
        )
    return Group(head, Text(), table)


def _times(found: Findings) -> RenderableType:
    most = max(found.serial, found.cluster)
    table = Table(title="time", title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("one after the other", f"{found.serial:.2f} s", bar(found.serial, most, "yellow"))
    table.add_row(f"on {found.slots} slots", f"{found.cluster:.2f} s", bar(found.cluster, most, "green"))
    words = f"{found.speedup:.2f} times as fast, with equal results file by file."
    if found.machine < 0.85 * found.slots:
        words += (
            f" {found.slots} plain processes do only {found.machine:.2f} times the work of one here just now:"
            " the machine is small or busy, and no cluster on it can do much better."
        )
    return Group(table, Text(words, style="bold"))


def _nodes(found: Findings) -> RenderableType:
    table = Table(title="nodes", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column, justify in (("node", "left"), ("files", "right"), ("tasks", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]  # a literal each, typed as str by the tuple
    most = max(found.files.values(), default=0)
    for name, count in sorted(found.files.items()):
        table.add_row(name, f"{count:,}", f"{found.tasks.get(name, 0):,}", bar(count, most))
    services = "   ".join(
        f"{one.name}: {one.memory / 2**20:.0f} MiB, {one.cpu:.1f} s of CPU" for one in found.processes
    )
    return Group(table, Text(), Text(services, style="dim"))
