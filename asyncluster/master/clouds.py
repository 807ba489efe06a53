"""What a pool in a real cloud is made of: its class, threads for its library, and the user data of its instances."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from asyncluster.config.elastic_here import no_library, without_library
from asyncluster.config.elastic_values import PoolSettings
from asyncluster.config.load import template_text
from asyncluster.errors import CloudError, ConfigError
from asyncluster.interfaces import ICloud
from asyncluster.model.peer import OWN_ACCOUNT
from asyncluster.model.supply import Order, Pool
from asyncluster.model.supply_options import AwsUnit, CustomUnit, OpenStackUnit
from asyncluster.supply.blocking import Blocking
from asyncluster.supply.node_conf import Account, NodeConf, node_conf
from asyncluster.supply.userdata import MOST, PACKED, UserData, render

UserDataText = Callable[[Order], Deferred[str]]
"""The user data of the instance for an order, "" = none; asked for just before it is made, and told to nobody."""

Issue = Callable[[Order], Deferred[tuple[str, str]]]
"""The account and the secret with which the node for an order registers once; the same again for the same order."""

InThread = Callable[..., Deferred[str]]
"""Runs something that blocks: `deferToThread`."""

KINDS: Mapping[str, tuple[str, str]] = {
    "openstack": ("asyncluster.supply.openstack", "OpenStackCloud"),
    "aws": ("asyncluster.supply.aws", "AwsCloud"),
}
"""Module and class of what is imported only where a pool needs it."""

STATE_FOLDER = "/var/lib/asyncluster"
"""Of a node that user data has made."""

RETRY = 10.0
"""Seconds after which such a node looks for its master again."""


@attrs.frozen
class CloudMeans:
    """What a cloud is made of.

    pool: its settings; unit: one node, as the file has it; realm: of our master; folder: for what has to outlive the
    master, not made yet; blocking: where its library is called; userdata: of an instance; wall: the time of day.
    """

    reactor: Any
    pool: Pool
    unit: Any
    realm: str
    folder: Path
    blocking: Blocking
    userdata: UserDataText = attrs.field(repr=False)
    wall: Callable[[], float] = time.time


def cloud_of(means: CloudMeans) -> ICloud:
    """The cloud of one pool.  Raises ConfigError where its library is not installed."""
    lacking = no_library(means.pool.name, means.pool.kind)
    if lacking:
        raise ConfigError(lacking)
    module, name = KINDS[means.pool.kind]
    return cast(ICloud, getattr(import_module(module), name).of(means))


@attrs.frozen
class Machine:
    """What the machines of a pool are told.

    file: with the template, "" = they are told nothing; masters: host or host:port, () = the account's; features;
    account: where the master is, and how nodes of ours behave; issue: None = they are not ours but a batch system's;
    spot_metadata: where a spot instance looks for its notice, "" = they are none.
    """

    file: str
    masters: tuple[str, ...]
    features: tuple[str, ...]
    account: Account
    realm: str
    issue: Issue | None = None
    spot_metadata: str = ""


def userdata(pool: str, machine: Machine, in_thread: InThread = deferToThread) -> UserDataText:
    """The user data of a pool's instances, as the file has them when each is made: the one that `trial` tells of.

    Raises ConfigError for a file that cannot be read or is no template; where it is so later, a launch is refused.
    """
    if not machine.file:
        return lambda order: _told("")
    _try(pool, machine, read_template(pool, machine.file))
    return lambda order: Deferred.fromCoroutine(_text(pool, machine, order, in_thread))


def trial(pool: str, machine: Machine, most: int, packs: bool = False) -> Callable[[], Deferred[str]]:
    """Renders what the file has now for nobody, in a thread: a sentence about it, "" = there is none.

    most: bytes that the cloud takes; packs: what is longer is packed.
    """

    return lambda: deferToThread(rendered, pool, machine, most, packs)


def rendered(pool: str, machine: Machine, most: int, packs: bool = False) -> str:
    """As `trial`, at once.  Raises ConfigError: with file and line for a template that names what there is not."""
    if not machine.file:
        return ""
    plain = _try(pool, machine, read_template(pool, machine.file)).encode()
    size = f"{len(plain)} bytes"
    if len(plain) > most:
        packed = len(gzip.compress(plain)) if packs else len(plain)
        size += f", {packed} when packed" if packs else ""
        if packed > most:
            raise ConfigError(f"{machine.file} gives {size}, and the cloud takes {most}")
    return f"{machine.file} renders to {size}"


def unfit(pools: Sequence[PoolSettings], own: bool) -> Iterator[str]:
    """Why a master with these pools would not start: a sentence for each library that is not there, and for each
    template of user data that is not here or does not render, with values for a trial.

    own: nodes are ours, and are told how to register.
    """
    yield from filter(None, map(without_library, pools))
    account = Account("~trial-1", "trial", "trial", 9080, "master.example.org")
    for settings in pools:
        unit, pool = settings.unit, settings.pool
        if not isinstance(unit, AwsUnit | CustomUnit | OpenStackUnit):
            continue
        file = unit.userdata_file
        if not file:
            continue
        machine = Machine(
            file, unit.masters, unit.features, account, "trial", (lambda order: Deferred()) if own else None
        )
        try:
            rendered(pool.name, machine, MOST.get(pool.kind, 1 << 30), pool.kind in PACKED)
        except ConfigError as error:
            where = f"[cloud] {pool.name}.config.userdata_file: "
            yield where + str(error).removeprefix(where)


def _try(pool: str, machine: Machine, template: str) -> str:
    issued = (f"{OWN_ACCOUNT}{pool}-1", "trial") if machine.issue else ("", "")
    return text_for(machine, template, Order(f"{pool}-1", "token", pool, 600.0), issued)


def read_template(pool: str, file: str) -> str:
    """The text of a template; raises ConfigError."""
    return template_text(file, f"[cloud] {pool}.config.userdata_file")


async def _text(pool: str, machine: Machine, order: Order, in_thread: InThread) -> str:
    try:
        template = await in_thread(read_template, pool, machine.file)
        issued = ("", "") if machine.issue is None else await machine.issue(order)
        return text_for(machine, template, order, issued)
    except ConfigError as error:  # the cloud has not been asked yet
        refusal = CloudError(f"{order.name} was not asked for: {error}")
    raise refusal


def text_for(machine: Machine, template: str, order: Order, issued: tuple[str, str]) -> str:
    """The user data for an order.  issued: account and secret of the node, "" for those of a batch system."""
    account, secret = issued
    masters = masters_of(machine)
    conf = ""
    if account:
        own = attrs.evolve(machine.account, user=account, password=secret, server_password="")
        what = NodeConf(
            ", ".join(masters), "auto", ", ".join(machine.features), order.lease, order.lease, RETRY, order.name,
            STATE_FOLDER, machine.spot_metadata,
        )  # fmt: skip
        conf = node_conf(own, what)
    told = UserData(
        order.name, order.pool, machine.realm, order.token, order.lease, order.lifetime, masters, conf, secret,
        machine.features,
    )  # fmt: skip
    return render(template, told, machine.file)


def masters_of(machine: Machine) -> tuple[str, ...]:
    """Where a node looks for its master: host:port."""
    given = machine.masters or tuple(filter(None, map(str.strip, machine.account.host.split(","))))
    return tuple(_with_port(host, machine.account.port) for host in given)


def _with_port(host: str, port: int) -> str:
    """host:port; an IPv6 address in brackets."""
    if host.startswith("["):
        return host if host.rpartition("]")[2] else f"{host}:{port}"
    if host.count(":") > 1:
        return f"[{host}]:{port}"
    return host if ":" in host else f"{host}:{port}"


def _told(text: str) -> Deferred[str]:
    told: Deferred[str] = Deferred()
    told.callback(text)
    return told
