"""Checks one mapping of asyncluster.yaml against its shape: unknown keys, with the nearest known one, and values.

Knows the whole file's keys only to say where a key that stands in the wrong place belongs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

from asyncluster.config.cloud_conf import POOLS, Custom
from asyncluster.config.cluster_conf import CLUSTERS
from asyncluster.config.elastic_conf import DynamicCluster, Logging, PoolPart, Quantity, Reservation
from asyncluster.config.elastic_section import Part, keys
from asyncluster.config.fields import Secret
from asyncluster.config.ini import Fault
from asyncluster.config.yaml_text import Path, YamlText

P = TypeVar("P", bound=Part)

SECRET_WORD = re.compile(r"pass|secret|token|credential|api_?key", re.IGNORECASE)
"""Keys of ours and of classes that we do not know whose values nobody may see."""


def _places() -> dict[str, str]:
    """Where each key belongs; for messages."""
    found: dict[str, str] = {}
    for name, cluster in CLUSTERS.items():
        for each in keys(cluster):
            found.setdefault(each, "`cluster: config:`" + ("" if name == "asyncluster" else f" of type {name}"))
    for name, pool in POOLS.items():
        for each in keys(pool):
            found.setdefault(each, f"the `config:` of a pool of type {name}")
    for each in keys(Custom):
        found.setdefault(each, "the `config:` of a pool of a class of your own")
    found |= dict.fromkeys(keys(Reservation), "a pool's `reservation:`")
    found |= dict.fromkeys(keys(Quantity), "a pool's `quantity:`")
    found |= dict.fromkeys((*keys(PoolPart), "reservation", "quantity"), "a pool, beside its `type`")
    found |= dict.fromkeys(keys(Logging), "`logging:`")
    return found | dict.fromkeys((*keys(DynamicCluster), "admin-server", "config-checker"), "`dynamic-cluster:`")


_BELONGS = _places()


class Checking:
    """The checks of one file, and all their faults."""

    def __init__(self, text: YamlText) -> None:
        self.text = text
        self.faults: list[Fault] = list(text.faults)

    def fault(self, path: Path, problem: str) -> None:
        """Note one."""
        self.faults.append(self.text.fault(path, problem))

    def mapping(self, path: Path, value: object) -> dict[str, object]:
        """A mapping without what is empty; anything else is a fault."""
        if value is None:
            return {}
        if isinstance(value, dict):
            return {str(name): each for name, each in value.items() if each is not None}
        self.fault(path, "needs keys of its own, indented below it, as in `key: value`")
        return {}

    def unknown(self, path: Path, values: Iterable[str], known: Collection[str], what: str = "key") -> None:
        """Fault all that is not known there."""
        for name in values:
            if name not in known:
                self.fault((*path, name), _unknown(name, known, what))

    def texts(self, path: Path, value: object) -> dict[str, str]:
        """Arguments for a class that we do not know: texts by name."""
        found = {}
        for name, each in self.mapping(path, value).items():
            if isinstance(each, str):
                found[name] = each
            else:
                self.fault((*path, name), "is no single value")
        return found

    def arguments(self, path: Path, value: object) -> dict[str, str | Secret]:
        """The same, masked where their names tell of a secret."""
        return {key: Secret(text) if SECRET_WORD.search(key) else text for key, text in self.texts(path, value).items()}

    def part(self, path: Path, values: dict[str, object], model: type[P], below: Collection[str] = ()) -> P | None:
        """The values as that part; `below`: keys that are there too and are looked at elsewhere.  None with faults."""
        own = keys(model)
        self.unknown(path, values, {**own, **dict.fromkeys(below)})
        known = {name: value for name, value in values.items() if name in own}
        for name in [name for name, value in known.items() if isinstance(value, dict)]:
            self.fault((*path, name), "is one value, not a mapping of keys")
            del known[name]
        error: ValidationError | None = None
        try:
            return model.model_validate(known)
        except ValidationError as refused:
            error = refused
        # outside of the `except`, so that no traceback of ours drags pydantic's, which knows the values
        for entry in error.errors(include_url=False, include_input=False):
            cause = entry.get("ctx", {}).get("error")
            problem = str(cause) if cause is not None else entry["msg"]
            self.fault((*path, *(str(name) for name in entry["loc"])), problem)
        return None


def _unknown(name: str, known: Collection[str], what: str) -> str:
    if name in _BELONGS:
        return f"belongs in {_BELONGS[name]}"
    plain = re.sub(r"[\W_]+", "_", name.lower())
    near = get_close_matches(plain, {re.sub(r"[\W_]+", "_", each): each for each in known}, 1, 0.6)
    if near:
        right = next(each for each in known if re.sub(r"[\W_]+", "_", each) == near[0])
        return f"there is no such {what}; did you mean `{right}`?"
    far = get_close_matches(plain, _BELONGS, 1, 0.75)
    if far:
        return f"there is no such {what}; did you mean `{far[0]}` in {_BELONGS[far[0]]}?"
    return f"there is no such {what} here; there are: {', '.join(known)}"
