"""One command for the figures of scale; see bench/README.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.scale import figures
from bench.scale.figures import Values


class Figure(NamedTuple):
    """How it is measured and what is asked of it: value, least or most, bound."""

    measure: Callable[[], Values]
    asked: tuple[tuple[str, str, float], ...] = ()


ROUNDS = 3
"""Of each depth of the queue."""


def flat() -> Values:
    """Tasks a second with little and much queued, each the median of its rounds, which take turns.

    deep_of_shallow: the least rate of the deeper queues against that of the shallowest: what depth costs.
    least_of_most: of all; on two cores, that the master shares with all others, it varies by a third from run to run.
    """
    rounds: dict[int, list[Values]] = {depth: [] for depth in (1_000, 10_000, 100_000, 1_000_000)}
    for _ in range(ROUNDS):
        for depth, values in rounds.items():
            values.append(figures.queue(depth))
    found = {depth: {key: median(one[key] for one in values) for key in values[0]} for depth, values in rounds.items()}
    rates = {f"tasks_s_{depth}": values["tasks_s"] for depth, values in found.items()}
    spent = {f"master_us_{depth}": values["master_us_a_task"] for depth, values in found.items()}
    shallow, *deeper = rates.values()
    against = {"deep_of_shallow": min(deeper) / shallow, "least_of_most": min(rates.values()) / max(rates.values())}
    return {**rates, **spent, **against, "kib_a_task": found[1_000_000]["kib_a_task"]}


FIGURES = {
    "killed": Figure(figures.killed, (("ratio", "<=", 1.5), ("lost", "<=", 0), ("twice", "<=", 0))),
    "durable": Figure(figures.durable, (("ratio", ">=", 0.5),)),
    "queue": Figure(flat, (("kib_a_task", "<=", 1.0), ("deep_of_shallow", ">=", 0.8))),
    "idle": Figure(partial(figures.nodes, 5_000), (("growth_mib", "<=", 300), ("cpu_share", "<=", 0.1))),
    "storm": Figure(partial(figures.nodes, 1_000, 5.0), (("all_s", "<=", 20), ("gave_up", "<=", 0))),
    "programs": Figure(figures.programs, (("ratio", ">=", 1),)),
    "recovery": Figure(figures.recovery, (("first_dispatch_s", "<=", 5),)),
}


def main() -> None:
    """Measure what is asked for, all of it by default, and say what was asked of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}; default: all")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there, too")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.figures if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    found: dict[str, Values] = {}
    for name in arguments.figures or FIGURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        values = found[name] = FIGURES[name].measure()
        bounds = {value: (how, bound) for value, how, bound in FIGURES[name].asked}
        for value, number in values.items():
            print(f"{name:9} {value:18} {number:12,.3f}  {_verdict(number, *bounds.get(value, ('', 0.0)))}", flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


def _verdict(number: float, how: str, bound: float) -> str:
    if not how:
        return ""
    good = number <= bound if how == "<=" else number >= bound
    return f"{how} {bound:g}: {'pass' if good else 'MISS'}"


if __name__ == "__main__":
    main()
