"""What the engine has to know of a pool's `config:` without understanding it: where that is."""

from __future__ import annotations

import re

from asyncluster.config.elastic_values import Unit
from asyncluster.model.supply_options import AwsUnit, BatchUnit, OpenStackUnit


def place(kind: str, unit: Unit) -> str:
    """In words; another place has none of the instances of this one.

    Keys and passwords are no part of it, since they rotate: who changes the account by these alone is not noticed.
    """
    if isinstance(unit, OpenStackUnit):
        parts = {
            "cloud": unit.cloud, "auth_url": _without_user(unit.auth_url), "project": unit.project,
            "region_name": unit.region_name,
        }  # fmt: skip
    elif isinstance(unit, AwsUnit):
        parts = {"region_name": unit.region_name, "endpoint": _without_user(unit.endpoint)}
    elif isinstance(unit, BatchUnit):
        parts = {"system": unit.system}
    else:
        parts = {}
    return ", ".join([kind, *(f"{key} {value}" for key, value in parts.items() if value)])


def _without_user(url: str) -> str:
    """A URL without a name and a password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", url)
