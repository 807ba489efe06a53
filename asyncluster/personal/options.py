"""Which option of `up --batch` or `Cluster.from_batch` a place in the asyncluster.yaml that is made of them stands for.

People are told of what they wrote, not of a file that they may never see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_FLAGS = {"directives": "--directive"}
_ELSEWHERE = {"max_idle_time": "max_idle"}
_SHOWN = 60

Spelling = Callable[[str], str]
"""How an option's name is written."""


def flag(name: str) -> str:
    """As it is written after `asyncluster up`."""
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def argument(name: str) -> str:
    """As it is written in a call."""
    return f"{name}="


def option(key: str) -> str:
    """The option's name, for a key of the section `cloud` or `dynamic-cluster`; "" where none stands for it."""
    _, _, below = key.partition(".")
    if below == "quantity.max":
        return "max_nodes"
    if below.startswith("config."):
        return below.split(".")[1]
    return _ELSEWHERE.get(key, "")


def differences(now: str, wanted: str) -> list[str]:
    """Which of the options that `wanted` is made of are others in `now`, which may be anything, a sentence each."""
    import yaml  # which most who start a master need not

    try:
        runs, asked = (dict(_flat(yaml.safe_load(text))) for text in (now, wanted))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    pools = [{key.split(".")[1] for key in each if key.startswith("cloud.")} for each in (runs, asked)]
    if pools[0] != pools[1]:
        return [f"--batch {_shown(sorted(pools[1]))}: the master runs with {_shown(sorted(pools[0]))}"]
    found = []
    for key in sorted(asked.keys() | runs.keys()):
        if runs.get(key) != asked.get(key):
            name = option(key.partition(".")[2])
            told = flag(name) if name else f"--batch, {key}"
            given = f"{told} {_shown(asked[key])}" if key in asked else f"no {told}"
            found.append(f"{given}: the master runs with {_shown(runs[key]) if key in runs else 'none'}")
    return found


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
