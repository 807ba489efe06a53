"""`asyncluster config check | show | import | template`: what the configuration says, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs
import click

from asyncluster.cli import render
from asyncluster.cli.cluster import json_option, own_places
from asyncluster.errors import ConfigError

T = TypeVar("T")

config_option = click.option(
    "--config", metavar="FILE", help="The asyncluster.conf.  [default: the one in use, or the personal master's]"
)
yaml_option = click.option("--yaml", metavar="FILE", help="The asyncluster.yaml.  [default: the one beside it]")


@click.group()
def config() -> None:
    """The configuration: check it, show what holds, or import Dynamic Torque's."""


def _find(named: str | None) -> str | None:
    from asyncluster.config.load import find

    if named is None and own_places().conf.exists():
        return str(own_places().conf)
    return find(named)


def _places(conf: str | None, yaml: str | None) -> tuple[str | None, str | None]:
    """The two files to look at; where only the YAML is named, only that."""
    from asyncluster.config.elastic_load import find_elastic

    first = None if yaml and not conf else _find(conf)
    second = find_elastic(yaml, beside=first)
    if first is None and second is None:
        raise ConfigError("there is no configuration here; name one with --config or --yaml")
    return first, second


@config.command()
@config_option
@yaml_option
@click.option("--for", "need", type=click.Choice(["master", "node", "client"]), default="master", show_default=True)
@json_option
def check(config: str | None, yaml: str | None, need: str, as_json: bool) -> None:
    """Tell all that is wrong with both files at once; the user data of pools are rendered with values for a trial.

    Run it where the master runs: libraries and user data that a pool needs and that are not here are faults, as a
    master would not start; what may come later is a warning.

    \b
    Example:
      asyncluster config check --config /etc/asyncluster.conf
    """
    from asyncluster.config.conf_here import absent
    from asyncluster.config.elastic_here import shut_out
    from asyncluster.config.elastic_load import load_elastic
    from asyncluster.config.load import load

    first, second = _places(config, yaml)
    problems: list[str] = []
    warnings: list[str] = []
    good: list[str] = []

    def look(path: str | None, read: Callable[[str], T]) -> T | None:
        if path is None:
            return None
        try:
            found = read(path)
        except ConfigError as error:
            problems.extend(str(error).split("\n"))
            warnings.extend(getattr(error, "warnings", ()))
            return None
        good.append(path)
        return found

    settings = look(first, lambda path: load(path, need=cast(Any, need)))
    elastic = look(second if need == "master" else None, load_elastic)
    if elastic is not None:
        from asyncluster.master.clouds import unfit

        if faults := list(unfit(elastic.pools, elastic.cluster.kind == "asyncluster")):
            problems += faults
            good.remove(cast(str, second))
    for found in (settings, elastic):
        warnings += found.warnings if found is not None else ()
    if settings is not None:
        warnings += absent(settings, cast(Any, need))
    if settings is not None and elastic is not None:
        warnings += shut_out(elastic, settings.server)
    if as_json:
        render.print_json({"good": good, "faults": problems, "warnings": warnings})
    else:
        for text in warnings:
            click.echo(f"warning: {text}")
        for path in good:
            click.echo(f"{path}: good for a {need}")
        for text in problems:
            click.echo(text, err=True)
    if problems:
        raise SystemExit(1)


@config.command()
@config_option
@yaml_option
@click.option("--origin", is_flag=True, help="Tell of each value whether it stands in the file or is the default.")
@json_option
def show(config: str | None, yaml: str | None, origin: bool, as_json: bool) -> None:
    """Show what holds, secrets masked.

    \b
    Example:
      asyncluster config show --origin --config /etc/asyncluster.conf
    """
    from asyncluster.config.showing import Shown, shown_elastic, shown_settings

    first, second = _places(config, yaml)
    found: list[Shown] = []
    if first is not None:
        found += shown_settings(first)
    found += shown_elastic(second)
    if as_json:
        render.print_json([attrs.asdict(each) for each in found])
        return
    for each in found:
        where = f"   # {each.origin}" if origin else ""
        click.echo(f"{each.place}: {each.value}{where}".rstrip())


@config.command("import")
@click.argument("conf", metavar="DYNAMIC_TORQUE.CONF")
@click.argument("tenants", metavar="[CLOUD_RESOURCES.CONF]", required=False)
def import_(conf: str, tenants: str | None) -> None:
    """Print Dynamic Torque's configuration as an asyncluster.yaml.

    \b
    Example:
      umask 077
      asyncluster config import dynamic_torque.conf cloud_resources.conf > asyncluster.yaml
    """
    from asyncluster.config.importing import import_torque
    from asyncluster.config.load import read_text

    text, _ = read_text(conf)
    more = read_text(tenants)[0] if tenants else ""
    click.echo(import_torque(text, conf, more, tenants or ""), nl=False)


@config.command()
def template() -> None:
    """Print the template of a pilot's job script, to be changed and named as `template` of a pool.

    \b
    Example:
      asyncluster config template > /etc/asyncluster/pilot.sh
    """
    from asyncluster.supply.pilot_template import TEMPLATE

    click.echo(TEMPLATE, nl=False)
