"""What the engine has to know of a pool's `config:` without understanding it: where that is, and whether it changed."""

from __future__ import annotations

import re
from hashlib import sha256

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


def fingerprint(unit: Unit) -> str:
    """Another one for any change of it, but for passwords: they are masked, or left out of URLs, before it is made."""
    return sha256(_without_user(repr(unit)).encode()).hexdigest()[:16]


def _without_user(url: str) -> str:
    """A URL, or a text with such, without the name and the password that may stand in it."""
    return re.sub(r"//[^/@]*@", "//", url)
