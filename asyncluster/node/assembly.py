"""Builds a node daemon from its configuration: the only place that names what it is made of."""

from __future__ import annotations

import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import attrs
from twisted.application.service import MultiService
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from asyncluster.config.base_conf import Settings
from asyncluster.errors import ConfigError
from asyncluster.interfaces import IReactor
from asyncluster.model.messages import Message
from asyncluster.model.peer import Role
from asyncluster.node.becoming import lookup
from asyncluster.node.birth import take_birth
from asyncluster.node.facts import gather
from asyncluster.node.gpus import found
from asyncluster.node.identity import serves
from asyncluster.node.keyring import KeyRing
from asyncluster.node.readable import for_everybody, shut_folder
from asyncluster.node.seat import Seat, may_begin
from asyncluster.node.seat_service import SeatKeeper
from asyncluster.node.seat_socket import SeatFactory, seat_listener
from asyncluster.node.seeking import Seeking
from asyncluster.node.service import NodeService
from asyncluster.node.supervisor import Manner, Supervisor
from asyncluster.node.yielding import Yielding
from asyncluster.people import user_name
from asyncluster.version import VERSION
from asyncluster.wire.accounts import Credentials
from asyncluster.wire.connect import connect_tcp
from asyncluster.wire.doors import Door
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.retry import Retry
from asyncluster.wire.spill import Spill

_log = Logger()


class NodeTree(MultiService):
    """The node's service tree.  failure: why it ended though nobody asked it to, "" = it did not."""

    failure = ""


def assemble(settings: Settings, reactor: IReactor) -> MultiService:
    """The node's service tree.  Raises ConfigError when its tasks could never run."""
    common, client = settings.common, settings.client
    for warning in settings.warnings:
        _log.warn("{warning}", warning=warning)
    if client.run_tasks_as and lookup(client.run_tasks_as) is None:
        raise ConfigError(f"[client] run tasks as = {client.run_tasks_as}: this machine knows no such user")
    if os.geteuid() == 0 and not client.run_tasks_as and (shut := shut_folder(sys.path, for_everybody)):
        _log.warn(
            "not everybody may go through {shut}, where this node's Python or its modules are: tasks of owners who may "
            "not cannot run here. Open it (chmod o+x {shut}), or install asyncluster where everybody may read",
            shut=shut,
        )
    birth = take_birth(os.environ, time.time(), client.drain_limit, random.random())  # noqa: S311 (jitter)
    name = birth.name or client.name or socket.gethostname()
    gpus = client.gpus if client.gpus is not None else found(os.environ.get("CUDA_VISIBLE_DEVICES"))
    served = serves(os.geteuid(), user_name(os.geteuid()), client.run_tasks_as)
    facts = gather(name, client.slots, served, VERSION, gpus=len(gpus), features=client.features)
    facts = attrs.evolve(facts, session=secrets.token_hex(8), birthplace=birth.place, pool=birth.pool)
    manner = Manner(
        output_limit=client.output_limit,
        memory_limit=client.memory_limit,
        run_tasks_as=client.run_tasks_as,
        cores=facts.cores,
        memory=facts.memory,
        gpus=gpus,
        hide_gpus=bool(client.gpus),
    )

    def make_supervisor(tell: Callable[[list[Message]], None]) -> Supervisor:
        return Supervisor(reactor, name, facts.slots, manner, tell, spill.room)

    def finished(reason: str) -> None:
        _log.info("this node ends: {reason}", reason=reason)
        tree.failure = node.failure
        with suppress(ReactorNotRunning):  # it stops already
            cast(IReactorCore, reactor).stop()

    spill = Spill(client.payload_memory, client.payload_folder, "[client] payload folder")
    ring = KeyRing(
        Credentials(client.user, client.password.reveal(), common.server_password.reveal() or None),
        Path(client.state_folder),
    )

    async def connect(host: str, port: int, handler: Callable[[Link], LinkHandler]) -> Link:
        return await ring.join(lambda keys: connect_tcp(reactor, host, port, Role.NODE, keys, handler, name=name))

    tree = NodeTree()
    node = NodeService(
        reactor=reactor,
        connect=Seeking(reactor, [(host, port or common.tcp_port) for host, port in client.host], connect),
        facts=facts,
        make_supervisor=make_supervisor,
        retry=Retry(client.retry_every, client.give_up_after, lease=client.lease),
        drain_limit=client.drain_limit,
        finished=finished,
        spill=spill,
        lifetime=birth.lifetime,
    )
    node.setServiceParent(tree)
    if client.spot_metadata:
        from asyncluster.node.reclaim import Reclaim  # and with it a client for HTTP, which others do not need

        node.watch = Reclaim(reactor, client.spot_metadata, node.reclaimed, time.time)
    if client.seat_socket:
        _open_seat(settings, reactor, node).setServiceParent(tree)
    return tree


def _open_seat(settings: Settings, reactor: IReactor, node: NodeService) -> MultiService:
    """The socket for programs at this machine's seat.  It is stopped before the node, whose workers it may hold up."""
    uid, path = os.geteuid(), settings.client.seat_socket

    def refusal(peer: int, user: str) -> str:
        return may_begin(peer, uid, user, user_name, lookup(user))

    keeper = SeatKeeper(
        reactor,
        Seat(node.facts.name, settings.display.niceness),
        Yielding(settings.client.when_in_use),
        refusal,
        lambda step: node.supervisor.do(step),  # noqa: PLW0108 (made when the node starts)
        path,
    )
    node.seat = keeper
    door = Door(reactor, seat_listener(path, uid), SeatFactory(reactor, keeper), f"seat {path}")
    seat = MultiService()
    for each in (door, keeper):
        each.setServiceParent(seat)
    return seat
