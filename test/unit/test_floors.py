"""The contracts of imports in pyproject.toml name every module that they are about.

`lint-imports` holds the named ones to their contracts; what is new and not named would be held to nothing.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import grimp

SHELLS = ("asyncluster.cli", "asyncluster.demo", "asyncluster.testing")
"""Packages in which nothing has to be pure."""

ACTS = {
    "asyncluster.client.output": "writes to what it is given",
    "asyncluster.client.stays": "is told by the collector",
    "asyncluster.collecting": "steers the collector",
    "asyncluster.supply.aws.groups": "asks EC2 by what it is given",
    "asyncluster.wire.pen": "writes to what it is given",
}
"""What imports nothing of the world, and is not pure all the same."""


@cache
def contract(begin: str) -> dict[str, Any]:
    """The contract whose name begins so."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    contracts: list[dict[str, Any]] = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return next(each for each in contracts if each["name"].startswith(begin))


@cache
def graph() -> grimp.ImportGraph:
    """Who imports whom."""
    return grimp.build_graph("asyncluster", include_external_packages=True, exclude_type_checking_imports=True)


def named(module: str, patterns: list[str]) -> bool:
    """Whether a contract with these sources is about it: it, or what it is in, is named."""
    return any(re.fullmatch(re.escape(one).replace(r"\*", "[^.]+") + r"(\..+)?", module) for one in patterns)


def test_what_touches_no_world_is_to_stay_so() -> None:
    """A module that imports no reactor, clock, file or process, and nothing that does, is in the contract."""
    pure = contract("Pure modules")
    world, sources = set(pure["forbidden_modules"]), pure["source_modules"]
    missing = [
        module
        for module in sorted(graph().modules)
        if module.startswith("asyncluster.")
        and not module.startswith(SHELLS)
        and not graph().find_children(module)  # a package's own file says what is in it
        and not named(module, sources)
        and module not in ACTS
        and not graph().find_upstream_modules(module) & world
    ]
    assert missing == []


def test_every_package_stands_on_a_floor() -> None:
    """And only the store, of all packages, may import a database."""
    there = graph().find_children("asyncluster")
    floors = {name.strip() for line in contract("Floors")["layers"] for name in line.split("|")}
    assert floors == there
    assert {*contract("The database")["source_modules"], "asyncluster.store"} == there
