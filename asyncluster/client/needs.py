"""What calls need, from the words that users give; wrong ones are told at once, by name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypedDict

import msgspec

from asyncluster.model.need import PLAIN, Need
from asyncluster.units import parse_duration, parse_size


class NeedOptions(TypedDict, total=False):
    """What a call needs; whatever is left out is as the cluster has it.

    cores: of one node, for each call; memory: bytes, or "4 GiB", for choosing a node and as a limit; gpus: whole
    devices; features: words that the node must have, or "a, b"; time_limit: seconds, or "90 min", of each attempt;
    retries: how often a call that raised, or went over a limit, is tried again; wait: rather wait
    than fail where no node that is present could ever run it.
    """

    cores: int
    memory: int | str
    gpus: int
    features: str | Iterable[str]
    time_limit: float | str | timedelta
    retries: int
    wait: bool


NAMES = tuple(NeedOptions.__annotations__)


def make_need(given: dict[str, Any] | NeedOptions, base: Need = PLAIN, others: Iterable[str] = ()) -> Need:
    """`base` with what was given.  Raises ValueError, or TypeError for an unknown name, naming the option.

    others: what else could have been given there, for that.
    """
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise TypeError(f"there is no option {name!r}; there are {', '.join((*others, *NAMES))}")
        if value is not None:
            fields[name] = _READ[name](name, value)
    need: Need = msgspec.structs.replace(base, **fields)
    fault = need.fault()
    if fault:
        raise ValueError(fault)
    return need


def _wrong(name: str, right: str, value: object) -> ValueError:
    return ValueError(f"{name} is {right}, not {value!r}")


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, "a whole number", value)
    return value


def _memory(name: str, value: object) -> int:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, 'a number of bytes or a text like "4 GiB"', value)
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, 'a number of seconds or a text like "90 min"', value)
    return float(value)


def _words(name: str, value: object) -> tuple[str, ...]:
    words: list[Any] = (
        value.split(",") if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [None]
    )
    if not all(isinstance(word, str) for word in words):
        raise _wrong(name, 'a list of words or a text like "a, b"', value)
    return tuple(sorted({word.strip() for word in words} - {""}))


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


_READ = {
    "cores": _count,
    "memory": _memory,
    "gpus": _count,
    "features": _words,
    "time_limit": _seconds,
    "retries": _count,
    "wait": _flag,
}
