"""What holds, key by key, and from where: for `asyncluster config show --origin`.  Secrets stay masked."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from asyncluster.config.base_conf import SECTIONS
from asyncluster.config.cloud_conf import Custom, shape_of
from asyncluster.config.cluster_conf import CLUSTERS
from asyncluster.config.elastic_conf import (
    AdminServer,
    DynamicCluster,
    Logging,
    PluginChecker,
    PoolPart,
    PortChecker,
    Quantity,
    Reservation,
)
from asyncluster.config.elastic_load import load_elastic
from asyncluster.config.elastic_parts import SECRET_WORD
from asyncluster.config.elastic_section import Part, keys
from asyncluster.config.fields import Secret
from asyncluster.config.ini import Reading
from asyncluster.config.load import load, read_text
from asyncluster.config.yaml_text import YamlText

Path = tuple[str, ...]


@attrs.frozen
class Shown:
    """One value.  place: section and key; origin: file and line, or that it is the default."""

    place: str
    value: str
    origin: str


def shown_settings(path: str) -> list[Shown]:
    """All of asyncluster.conf.  Raises ConfigError with its faults."""
    settings = load(path, need="client")
    lines = Reading(path, read_text(path)[0]).lines
    found = []
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            key = name.replace("_", " ")
            line = lines.get((section, key))
            value = getattr(getattr(settings, section), name)
            found.append(Shown(f"[{section}] {key}", _text(value), f"{path}:{line}" if line else "default"))
    return found


def shown_elastic(path: str | None) -> list[Shown]:
    """All of asyncluster.yaml; None: the defaults.  Raises ConfigError with its faults."""
    load_elastic(path)
    text = YamlText(path or "", read_text(path)[0] if path else "")
    return [
        Shown(_place((*place, name)), _text(_value(model, name, text, (*place, name))), _origin(text, (*place, name)))
        for place, model in _parts(text)
        for name in keys(model)
    ] + [
        Shown(_place(place), "***" if _is_secret(place) else str(value), _origin(text, place))
        for place, value in _free(text)
    ]


def _parts(text: YamlText) -> Iterator[tuple[Path, type[Part]]]:
    yield ("dynamic-cluster",), DynamicCluster
    yield ("dynamic-cluster", "admin-server"), AdminServer
    yield ("dynamic-cluster", "config-checker", "port"), PortChecker
    yield ("dynamic-cluster", "config-checker", "plugin"), PluginChecker
    yield ("cluster", "config"), CLUSTERS[str(_at(text, ("cluster", "type")) or "asyncluster")]
    for name in _mapping(_at(text, ("cloud",))):
        pool = ("cloud", name)
        yield pool, PoolPart
        yield (*pool, "reservation"), Reservation
        yield (*pool, "quantity"), Quantity
        yield (*pool, "config"), shape_of(str(_at(text, (*pool, "type")))) or Custom  # checked before
    yield ("logging",), Logging


def _free(text: YamlText) -> Iterator[tuple[Path, object]]:
    """What has no shape of ours: types, and plugins with their arguments."""
    yield ("cluster", "type"), _at(text, ("cluster", "type")) or "asyncluster"
    for name in _mapping(_at(text, ("cloud",))):
        yield ("cloud", name, "type"), _at(text, ("cloud", name, "type"))
        for key, value in _mapping(_at(text, ("cloud", name, "config", "arguments"))).items():
            yield ("cloud", name, "config", "arguments", key), value
    for name, plugin in _mapping(_at(text, ("plugins",))).items():
        for key, value in _mapping(plugin).items():
            if key != "arguments":
                yield ("plugins", name, key), value
        for key, value in _mapping(_at(text, ("plugins", name, "arguments"))).items():
            yield ("plugins", name, "arguments", key), value


def _value(model: type[Part], name: str, text: YamlText, path: Path) -> object:
    """The value as the models read it."""
    given = _at(text, path)
    part = model.model_validate({} if given is None else {name: given})
    return getattr(part, name)


def _at(text: YamlText, path: Path) -> object:
    value: object = text.values
    for name in path:
        value = _mapping(value).get(name)
    return value


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _origin(text: YamlText, path: Path) -> str:
    return f"{text.origin}:{text.lines[path]}" if _at(text, path) is not None else "default"


def _place(path: Path) -> str:
    return f"[{path[0]}] {'.'.join(path[1:])}"


def _is_secret(path: Path) -> bool:
    return SECRET_WORD.search(path[-1]) is not None


def _text(value: object) -> str:
    if isinstance(value, Secret):
        return "***" if value else ""
    if isinstance(value, tuple):
        return ", ".join(
            f"{each[0]}:{each[1]}".removesuffix(":0") if isinstance(each, tuple) else str(each) for each in value
        )
    return f"{value:g}" if isinstance(value, float) else str(value)
