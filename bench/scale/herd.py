"""Many nodes in one process: real links with TLS, both proofs, registration, heartbeats and retries; no workers.

    python -m bench.scale.herd CONFIG COUNT AT_ONCE

Starts AT_ONCE of them together, and one more as one is registered: one process cannot be five thousand that start.
Uses the node's own service with a supervisor that has no processes, so that what is measured at the master is what
so many daemons would do to it.  Their passwords are stretched once, not once a node: real nodes have processors of
their own for that.  Prints `registered N` as nodes come, and `gave up` for one that does.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
from functools import lru_cache, partial
from typing import Any, ClassVar, cast

import attrs
import scramp
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from asyncluster.config.load import load
from asyncluster.daemon import raise_file_limit
from asyncluster.interfaces import IReactor
from asyncluster.model.messages import Held, Message
from asyncluster.model.peer import Role
from asyncluster.node.facts import gather
from asyncluster.node.service import NodeService
from asyncluster.node.supervisor import Supervisor
from asyncluster.version import VERSION
from asyncluster.wire import accounts, conversation
from asyncluster.wire.accounts import Credentials
from asyncluster.wire.connect import connect_tcp
from asyncluster.wire.retry import Retry


class Idle:
    """A supervisor without workers."""

    def __init__(self, tell: object) -> None:
        self.tell = tell

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def receive(self, messages: list[Message]) -> None:
        raise AssertionError(f"an idle node was given work: {messages}")

    def held(self) -> list[Held]:
        return []

    def started_again(self) -> list[Message]:
        return []

    def drain(self, limit: float) -> Deferred[None]:
        return succeed(None)

    def abandon(self) -> None:
        pass


class CountingRetry(Retry):
    """Prints how many are registered, and starts another one."""

    here = 0
    waiting: ClassVar[list[NodeService]] = []

    def registered(self) -> None:
        super().registered()
        CountingRetry.here += 1
        print("registered", CountingRetry.here, flush=True)
        if self.waiting:
            self.waiting.pop().startService()


def share_the_work() -> None:
    """What is the same for all nodes, and what each does beside its own reactor, is done once."""
    vars(hashlib)["pbkdf2_hmac"] = lru_cache(hashlib.pbkdf2_hmac)
    for module in (accounts, scramp.core):
        vars(module)["saslprep"] = lru_cache(scramp.utils.saslprep)
    vars(conversation)["deferToThreadPool"] = lambda reactor, pool, call, *args: maybeDeferred(call, *args)


def main(config: str, count: int, at_once: int) -> None:
    """Start them and keep them until killed."""
    raise_file_limit()
    share_the_work()
    settings = load(config, need="node")
    common, client = settings.common, settings.client
    known = gather("herd", 1, "*", VERSION)
    credentials = Credentials(client.user, client.password.reveal(), common.server_password.reveal())
    for number in range(count):
        facts = attrs.evolve(known, name=f"herd-{number}", session=secrets.token_hex(8))
        service = NodeService(
            reactor=cast(IReactor, reactor),
            connect=partial(
                connect_tcp,
                cast(IReactor, reactor),
                client.host[0][0],
                common.tcp_port,
                Role.NODE,
                credentials,
                name=facts.name,
            ),
            facts=facts,
            make_supervisor=lambda tell: cast(Supervisor, Idle(tell)),
            retry=CountingRetry(client.retry_every, client.give_up_after),
            drain_limit=1.0,
            finished=lambda reason: print("gave up:", reason, flush=True),
        )
        if number < at_once:
            service.startService()
        else:
            CountingRetry.waiting.append(service)
    cast(Any, reactor).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
