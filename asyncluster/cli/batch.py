"""The options of `asyncluster up` that are about a batch system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from asyncluster.personal.batch import IDLE, MOST, SYSTEMS, Batch, check, elastic_text
from asyncluster.personal.options import flag

NONE = "none"

_OPTIONS = (
    click.option(
        "--batch",
        "system",
        type=click.Choice([*SYSTEMS, NONE]),
        help="Get nodes from this batch system as tasks wait; none: no more.  [default: as the last `up` had it]",
    ),
    click.option("--queue", metavar="NAME", help="With --batch: queue, or partition.  [default: the batch system's]"),
    click.option("--account", metavar="NAME", help="With --batch: account, or project.  [default: the batch system's]"),
    click.option("--cores", type=click.IntRange(1, 4096), help="With --batch: cores of each node.  [default: 1]"),
    click.option("--memory", metavar="SIZE", help="With --batch: memory of each node.  [default: not asked for]"),
    click.option("--gpus", type=click.IntRange(0, 64), help="With --batch: gpus of each node.  [default: 0]"),
    click.option("--walltime", metavar="TIME", help="With --batch: as 4:00:00 or 4h.  [default: the batch system's]"),
    click.option(
        "--max-nodes", type=click.IntRange(1, 100_000), help=f"With --batch: nodes at a time.  [default: {MOST}]"
    ),
    click.option("--max-idle", metavar="TIME", help=f"With --batch: how long idle nodes stay.  [default: {IDLE}]"),
    click.option("--environment", metavar="NAME", help="With --batch sge: parallel environment for several cores."),
    click.option(
        "--directive", "directives", metavar="LINE", multiple=True, help="With --batch: one more; may be repeated."
    ),
    click.option("--setup", metavar="LINE", multiple=True, help="With --batch: shell line before the node starts."),
)


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them, in this order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def pools_text(asked: dict[str, Any]) -> str | None:
    """The file with the pool that was asked for; "" for none, None where nothing was said.

    Raises click.UsageError for options without --batch, ConfigError for values that make no sense.
    """
    given = {name: value for name, value in asked.items() if value not in (None, ()) and name != "system"}
    if asked["system"] in (None, NONE):
        if given:
            raise click.UsageError(f"--{next(iter(given)).replace('_', '-')} goes with --batch")
        return None if asked["system"] is None else ""
    text = elastic_text(Batch(asked["system"], **given))
    check(text, flag)
    return text
