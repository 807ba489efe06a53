"""Prints a run as plain text: one table a figure, then the targets with pass or miss. Pure; gives lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.stats import Spread, spread
from bench.targets import TARGETS, Round, Target, Verdict, judge, values

# figure it is stored under, value, heading; "cpu" and "bulk" are taken together
COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "start": (("start", "seconds", "start to first result, s"), ("start", "worker_start_ms", "worker start, ms")),
    "latency": (("latency", "p50_ms", "round trip p50, ms"), ("latency", "p99_ms", "round trip p99, ms")),
    "balance": (("balance", "share", "200 x 20 ms: share of ideal"),),
    "map": (("map", "calls_s", "map, calls/s"), ("map", "chunked_calls_s", "chunks by hand, calls/s")),
    "bulk": (("bulk", "tasks_s", "tracked no-op tasks/s"),),
    "cpu": (("bulk", "cpu_us", "CPU a task, all processes, µs"), ("bulk", "master_cpu_us", "master's CPU a task, µs")),
    "memory": (("memory", "growth_mib", "master's growth, MiB"), ("memory", "after_mib", "master after, MiB")),
    "payloads": (
        ("payloads", "mb_s", "4 MB both ways, MB/s"),
        ("payloads", "master_mib", "master after payloads, MiB"),
    ),
}


def number(value: float) -> str:
    """Three significant digits, thousands parted: 1,234 · 12.3 · 0.0123."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ranged(found: Spread | None) -> str:
    """Median and range; a single value alone."""
    if found is None:
        return "-"
    if found.count == 1:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} .. {number(found.high)})"


def grid(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first to the left, the others to the right; the first row is a heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return [lines[0], "-" * max(len(line) for line in lines), *lines[1:]]


def measured(rounds: Sequence[Round], systems: Mapping[str, str], figures: Sequence[str]) -> list[str]:
    """One table: a row a system (`systems`: label by name), a column a value."""
    columns = [column for figure in figures for column in COLUMNS[figure]]
    rows = []
    for name, label in systems.items():
        found = [values(rounds, name, figure, value) for figure, value, _ in columns]
        if any(found):
            rows.append([label, *(ranged(spread(cell) if cell else None) for cell in found)])
    return grid([["", *(heading for _, _, heading in columns)], *rows]) if rows else []


def wanted(target: Target) -> str:
    """The bound in words: `≥ 4 x ppe`, `≤ 10 µs`."""
    sign = "≥" if target.least else "≤"
    if not target.rivals:
        return f"{sign} {number(target.bound)} {target.unit}"
    whom = target.rivals[0] if len(target.rivals) == 1 else f"best of {', '.join(target.rivals)}"
    return f"{sign} {number(target.bound)} x {whom}"


def heading(target: Target) -> str:
    """What the target is about, in the words of the tables."""
    return next(
        text
        for columns in COLUMNS.values()
        for figure, value, text in columns
        if (figure, value) == (target.figure, target.value)
    )


def line(verdict: Verdict) -> list[str]:
    """One row of the table of targets."""
    word = verdict.word
    if verdict.absent and verdict.spread is not None:
        word += f" (without {', '.join(verdict.absent)})"
    return [heading(verdict.target), wanted(verdict.target), ranged(verdict.spread), word]


def judged(rounds: Sequence[Round], subject: str, figures: Sequence[str]) -> list[str]:
    """The targets of the figures asked for, for one of our variants."""
    mine = [
        target
        for target in TARGETS
        if any((target.figure, target.value) == column[:2] for figure in figures for column in COLUMNS[figure])
    ]
    rows = [line(judge(rounds, subject, target)) for target in mine]
    return grid([["target", "bound", "this run", "verdict"], *rows]) if rows else []


def report(
    rounds: Sequence[Round],
    systems: Mapping[str, str],
    figures: Sequence[str],
    subjects: Sequence[str],
    notes: Sequence[str] = (),
) -> str:
    """The whole text of a run: tables, targets for each of `subjects` that was measured, notes."""
    blocks = [measured(rounds, systems, [figure]) for figure in figures]
    for subject in subjects:
        if any(subject in taken for taken in rounds):
            blocks.append([f"{systems.get(subject, subject)} against the targets:", *judged(rounds, subject, figures)])
    if notes:
        blocks.append(["notes:", *(f"  {note}" for note in notes)])
    return "\n\n".join("\n".join(block) for block in blocks if block)
