"""What the demonstration prints."""

from __future__ import annotations

import io

from rich.console import Console

from asyncluster.demo.report import Findings, Process, bar, report
from asyncluster.demo.survey import Facts, total


def test_report_tells_speedup_tasks_and_processes() -> None:
    """Every figure that was measured is in the text."""
    out = io.StringIO()
    found = Findings(
        start=1.0,
        serial=10.0,
        cluster=4.0,
        slots=2,
        machine=1.2,
        totals=total([Facts("/lib/x/y.py", 100, 1, 1, "f", 7)]),
        files={"local-1": 3, "local-2": 4},
        tasks={"local-1": 1, "local-2": 2},
        processes=[Process("master", 40 * 2**20, 1.5)],
    )
    Console(file=out, width=120).print(report(found))
    text = out.getvalue()
    for part in ("2.50 times as fast", "1.20 times", "x/y.py", "local-2", "40 MiB", "1.5 s of CPU"):
        assert part in text


def test_bars_are_shares() -> None:
    """The greatest fills the width, the least is never invisible, nothing is nothing."""
    assert len(bar(10, 10)) == 24
    assert len(bar(0.001, 10)) == 1
    assert len(bar(0, 10)) == len(bar(0, 0)) == 0
