"""Options that say what a task needs, the same for every command that runs something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from asyncluster.model.need import MOST_RETRIES, is_feature
from asyncluster.units import parse_duration, parse_size

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def parsed(parse: Callable[[str], T]) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """A callback for an option whose text a function of ours reads; its ValueError is the message."""

    def read(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> T | None:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


def _features(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(word.strip() for text in texts for word in text.split(","))
    for word in words:
        if not is_feature(word):
            raise click.BadParameter(f"{word!r} is no printable word of at most 64 characters")
    return words


_OPTIONS = (
    click.option("--cores", type=click.IntRange(1, 65536), help="Cores of one node, for each task.  [default: a slot]"),
    click.option(
        "--memory",
        metavar="SIZE",
        callback=parsed(parse_size),
        help="Memory of each task, as 4G: what a node must have free, and its limit.  0, and the default: no matter.",
    ),
    click.option("--gpus", type=click.IntRange(0, 65536), help="Whole GPUs for each task."),
    click.option(
        "--feature",
        "features",
        metavar="WORD",
        multiple=True,
        callback=_features,
        help="That its node must have; may be repeated, or several parted by commas.",
    ),
    click.option(
        "--time-limit",
        metavar="TIME",
        callback=parsed(parse_duration),
        help="An attempt that takes longer, as 90m or 2h, is ended.  0, and the default: none is.",
    ),
    click.option(
        "--retries", type=click.IntRange(0, MOST_RETRIES), help="How often a task that failed is tried again."
    ),
    click.option(
        "--patient",
        is_flag=True,
        help="Wait where no present node could ever run it, rather than fail at once; wait=True in Python.",
    ),
)


def need_options(function: F) -> F:
    """Give a command these options; `need_of` reads them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def need_of(given: dict[str, Any]) -> dict[str, Any]:
    """As `Cluster` takes them; what was not said is left out."""
    words = {name: given[name] for name in ("cores", "memory", "gpus", "time_limit", "retries")}
    found = {name: value for name, value in words.items() if value is not None}
    if given["features"]:
        found["features"] = list(given["features"])
    if given["patient"]:
        found["wait"] = True
    return found
