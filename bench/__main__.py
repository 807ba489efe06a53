"""`python -m bench`: prepare the environments, let the systems take turns, write JSON, print the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bench import keeper
from bench.environments import ROOT, CannotInstallError, prepare
from bench.plan import FIGURES, SUBJECTS, SYSTEMS, System, chosen, quick
from bench.table import report

RESULTS = ROOT / "bench" / "results"


def options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    names = tuple(system.name for system in SYSTEMS)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", help=f"systems, comma-separated, of {','.join(names)}")
    parser.add_argument("--figures", help=f"figures, comma-separated, of {','.join(FIGURES)}")
    parser.add_argument("--rounds", type=int, default=3, help="how many turns each system takes (default 3)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load: tries the harness, measures nothing")
    parser.add_argument("--limit", type=float, help="seconds for one turn of one system (default: its own)")
    parser.add_argument("--json", type=Path, help="where to write the JSON (default: bench/results/TIME.json)")
    parsed = parser.parse_args(arguments)
    try:
        parsed.only = chosen(parsed.only, names)
        parsed.figures = chosen(parsed.figures, FIGURES)
    except ValueError as error:
        parser.error(str(error))
    if parsed.rounds < 1:
        parser.error("--rounds wants 1 or more")
    return parsed


def say(text: str) -> None:
    """Progress goes to stderr: the table alone is on stdout."""
    print(text, file=sys.stderr, flush=True)


def ready(names: tuple[str, ...], skipped: dict[str, str]) -> list[tuple[System, Path]]:
    """The systems that can be run, with their Pythons; the others go to `skipped` with the reason."""
    found = []
    for system in SYSTEMS:
        if system.name in names:
            say(f"environment of {system.name}")
            try:
                found.append((system, prepare(system)))
            except CannotInstallError as error:
                skipped[system.name] = str(error)
                say(f"  skipped: {error}")
    return found


def take_turns(
    systems: list[tuple[System, Path]], parsed: argparse.Namespace, log: Path
) -> list[dict[str, dict[str, Any]]]:
    """A B C A B C …; a system that failed to give anything in a round is still tried in the next."""
    rounds: list[dict[str, dict[str, Any]]] = []
    for turn in range(parsed.rounds):
        rounds.append({})
        for system, python in systems:
            load = quick(system.load) if parsed.quick else system.load
            figures = parsed.figures
            if turn > 0 and "memory" in figures:  # a million tasks once are enough
                figures = tuple(figure for figure in figures if figure != "memory")
            if parsed.limit:
                load = type(load)(**{**vars(load), "limit": parsed.limit})
            if not figures or (figures == ("memory",) and not load.memory):
                continue
            begin = time.monotonic()
            outcome = keeper.drive(system, python, load, figures, log)
            rounds[-1][system.name] = outcome
            fault = f", {outcome['error']}" if "error" in outcome else ""
            say(f"round {turn + 1}/{parsed.rounds} {system.name}: {time.monotonic() - begin:.1f} s{fault}")
    return rounds


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def remarks(rounds: list[dict[str, dict[str, Any]]], skipped: dict[str, str], before: dict[str, Any]) -> list[str]:
    """What a reader of the table must know: skips, errors, leftovers, a machine that was busy."""
    notes = [f"{name}: skipped, {reason}" for name, reason in skipped.items()]
    for turn, measured in enumerate(rounds, 1):
        for name, outcome in measured.items():
            if "error" in outcome:
                notes.append(f"{name}, round {turn}: {outcome['error']}")
            if outcome.get("left_behind"):
                notes.append(
                    f"{name}, round {turn}: {outcome['left_behind']} processes still ran after its stop (ended)"
                )
    if before["load"] > 0.5:
        notes.append(f"the machine was not idle at the beginning (load {before['load']:.1f}): take the figures again")
    return notes


def main(arguments: list[str]) -> int:
    """Run it all; 0 when every system gave all its figures, 1 otherwise."""
    parsed = options(arguments)
    before = machine()
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = time.strftime("%Y%m%dT%H%M%S")
    skipped: dict[str, str] = {}
    systems = ready(parsed.only, skipped)
    keeper.become_reaper()
    log = RESULTS / f"{name}.log"
    try:
        rounds = take_turns(systems, parsed, log)
    finally:
        keeper.clear()
    target = parsed.json or RESULTS / f"{name}.json"
    record = {"time": name, "machine": before, "quick": parsed.quick, "skipped": skipped, "rounds": rounds}
    target.write_text(json.dumps(record, indent=1) + "\n")
    notes = remarks(rounds, skipped, before)
    if parsed.quick:
        notes.append("--quick: these figures show that the harness works, nothing else")
    figures = [{system: outcome["figures"] for system, outcome in measured.items()} for measured in rounds]
    labels = {system.name: f"{system.label} {version(rounds, system.name)}".rstrip() for system in SYSTEMS}
    print(report(figures, labels, parsed.figures, SUBJECTS, notes))
    print(f"\n{target}")
    return 1 if any("error" in outcome for measured in rounds for outcome in measured.values()) else 0


def version(rounds: list[dict[str, dict[str, Any]]], name: str) -> str:
    """The release that was measured, once known."""
    return next((measured[name]["version"] for measured in rounds if "version" in measured.get(name, {})), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
