"""The reference page and the sample of asyncluster.yaml, made from the models.

Make both anew after a change:

    python -m asyncluster.config.elastic_reference > docs/elastic-configuration.md
    python -m asyncluster.config.elastic_reference sample > etc/asyncluster.yaml
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import attrs
import yaml

from asyncluster.config.cloud_conf import CUSTOM, POOLS, Custom
from asyncluster.config.cluster_conf import CLUSTERS, Cluster
from asyncluster.config.elastic_conf import (
    AdminServer,
    DynamicCluster,
    Graphite,
    Logging,
    Plugin,
    PluginChecker,
    PoolPart,
    PortChecker,
    Quantity,
    Reservation,
)
from asyncluster.config.elastic_section import Part, keys
from asyncluster.units import DURATION_FORMS, SIZE_FORMS

HEAD = f"""\
# Configuration: asyncluster.yaml

<!-- Made by `python -m asyncluster.config.elastic_reference > docs/elastic-configuration.md`; do not edit. -->

Where nodes come from, and whose queue they serve. Only the master reads this file: the one that
`$ASYNCLUSTER_YAML` names, otherwise the one beside its `asyncluster.conf` (`/etc/asyncluster.yaml` for
`/etc/asyncluster.conf`). Without one the master serves its own queue with the nodes that come by themselves.

`etc/asyncluster.yaml` in the source is a sample with every key and its default. A `dynamiccluster.yaml` works as it is:
copy it to that place. A `dynamic_torque.conf` becomes one by

    asyncluster config import dynamic_torque.conf cloud_resources.conf > asyncluster.yaml

`asyncluster config check` tells all that is wrong at once, each fault with file, line, section and key;
`asyncluster config show --origin` tells what holds and which of it stands in the file.

- A key that does not exist, or is given twice, is an error, not a silent default. A key without a value is not given.
- Durations are {DURATION_FORMS}.
- Sizes are {SIZE_FORMS}.
- Paths begin with `/` or `~/`.
- Commands are full paths with arguments, and `{{0}}`, `{{1}}` … for what is filled in; a brace of its own is written
  twice. They are run from argument lists, never by a shell; what a `| grep …` or `| awk …` behind one of Dynamic
  Cluster's commands asks for is done by AsynCluster itself.
- A file with a secret in it (a password, a secret key, a token) is refused unless it belongs to root or to the
  master's user, and nobody else may read it: `chmod 600 asyncluster.yaml`, or 640 for root and the service's own group.
"""

SAMPLE = """\
# AsynCluster: where nodes come from, and whose queue they serve.  Only the master reads this file.
#
# Install it beside asyncluster.conf (as /etc/asyncluster.yaml), mode 0640 where it holds secrets.  Every key stands
# here with its default; remove the # in front of those that you change, and of those that lead to them.  A
# dynamiccluster.yaml works in its place as it is.
# Check with: asyncluster config check
"""


OWN = "type: asyncluster"


@attrs.frozen
class Block:
    """One mapping of the file: where it stands, its shape, and what else there is to say."""

    path: tuple[str, ...]
    model: type[Part]
    title: str = ""
    below: tuple[str, ...] = ()


def blocks() -> Iterator[Block]:
    """All mappings, in the order of the file."""
    yield Block(("dynamic-cluster",), DynamicCluster)
    yield Block(("dynamic-cluster", "admin-server"), AdminServer)
    yield Block(("dynamic-cluster", "config-checker", "port"), PortChecker)
    yield Block(("dynamic-cluster", "config-checker", "plugin"), PluginChecker)
    for name, cluster in CLUSTERS.items():
        yield Block(("cluster", "config"), cluster, f"type: {name}")
    pool = ("cloud", "NAME")
    yield Block(pool, PoolPart)
    yield Block((*pool, "reservation"), Reservation)
    yield Block((*pool, "quantity"), Quantity)
    for name, config in POOLS.items():
        yield Block((*pool, "config"), config, f"type: {name}")
    yield Block((*pool, "config"), Custom, f"type: {CUSTOM}")
    yield Block(("plugins", "NAME"), Plugin)
    yield Block(("plugins", "NAME", "arguments"), Graphite, "graphite")
    yield Block(("logging",), Logging)


def reference() -> str:
    """The whole page, as Markdown."""
    return HEAD + "".join(_chapter(block) for block in blocks())


def _chapter(block: Block) -> str:
    title = " → ".join(f"`{part}:`" for part in block.path) + (f", {block.title}" if block.title else "")
    text = f"\n## {title}\n\n{' '.join((block.model.__doc__ or '').split())}\n"
    text += _notes(block)
    fields = keys(block.model)
    common = keys(Cluster) if block.title and issubclass(block.model, Cluster) and block.model is not Cluster else {}
    if common and block.title != OWN:
        text += "\nThe keys of type asyncluster, and:\n"
        fields = {name: field for name, field in fields.items() if name not in common}
    for name, field in fields.items():
        extra: Any = field.json_schema_extra
        text += f"\n### `{name}`\n\n{field.description}\n\n"
        text += f"- Default: {extra['shown'] or f'`{field.default}`'}\n"
        text += f"- Value: {extra['unit']}\n" if extra["unit"] else ""
        text += f"- Example: `{name}: {extra['example']}`\n" if extra["example"] else ""
    return text


def _types() -> str:
    return f"{', '.join(POOLS)}, or {CUSTOM} for a cloud of your own"


def _notes(block: Block) -> str:
    if block.path == ("cluster", "config") and block.title == OWN:
        return f"\n`cluster: type:` is one of {', '.join(CLUSTERS)}; the first is the default.\n"
    if block.path == ("cloud", "NAME"):
        return f"\nNAME is yours. `type:` has to be given, one of {_types()}.\n"
    return ""


def sample() -> str:
    """The sample file: all of it a comment but the sections, so that it means the defaults."""
    text = SAMPLE
    for block in blocks():
        text += "\n" + _heading(block)
        depth = "  " * len(block.path)
        for name, field in keys(block.model).items():
            extra: Any = field.json_schema_extra
            if block.path == ("cluster", "config") and block.title != OWN and name in keys(Cluster):
                continue
            default = f" Default: {extra['shown']}." if extra["shown"] else ""
            text += _comment(depth, f"{field.description}{default}")
            text += f"{depth}#{name}: {_scalar(str(field.default))}".rstrip() + "\n"
    return text


def _heading(block: Block) -> str:
    """What stands above the keys of a block: what it is, and the keys that lead there where they are new."""
    depth = "  " * (len(block.path) - 1)
    about = _comment(depth, f"{block.title}: {block.model.__doc__}" if block.title else block.model.__doc__ or "")
    if len(block.path) == 1:
        return f"{about}{block.path[0]}:\n"
    if block.path == ("cluster", "config"):
        if block.title != OWN:
            return about
        whose = _comment("  ", f"Whose queue is served: {', '.join(CLUSTERS)}.")
        return f"cluster:\n{whose}  type: asyncluster\n{about}  config:\n"
    if block.path[1:] == ("NAME",):
        kinds = f"    # One of {_types()}; has to be given.\n    #type: batch\n" if block.path[0] == "cloud" else ""
        return f"{about[2:]}{block.path[0]}:\n  #NAME:\n{kinds}"
    if block.path[-1] == "config" and block.title != f"type: {next(iter(POOLS))}":
        return about
    opened = "  #config-checker:\n" if block.path[1:] == ("config-checker", "port") else ""
    return f"{opened}{about}{depth}#{block.path[-1]}:\n"


def _comment(depth: str, text: str) -> str:
    lead = f"{depth}# "
    return textwrap.fill(" ".join(text.split()), 118, initial_indent=lead, subsequent_indent=lead) + "\n"


def _scalar(default: str) -> str:
    """A default as YAML has it; of what has none, an empty place."""
    return default if not default or _plain(default) else "'" + default.replace("'", "''") + "'"


def _plain(text: str) -> bool:
    """Whether YAML reads the text back without quotes."""
    try:
        found = yaml.compose(f"x: {text}", Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return False
    return found is not None and bool(found.value[0][1].value == text)


if __name__ == "__main__":
    print(sample() if sys.argv[1:] == ["sample"] else reference(), end="")
