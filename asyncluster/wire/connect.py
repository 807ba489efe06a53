"""Finding a master: over its UNIX socket or over TCP with TLS and the proof.  For nodes and clients alike."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    UnknownHostError,
)
from twisted.internet.interfaces import IAddress, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory

from asyncluster.errors import MasterNotFoundError
from asyncluster.interfaces import IReactor
from asyncluster.model.peer import Role
from asyncluster.wire.accounts import Credentials
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.conversation import JoinerEnd, our_hello
from asyncluster.wire.link import Link, LinkHandler
from asyncluster.wire.proof import Binding, JoinerProof
from asyncluster.wire.tls import ClientTLS, exporter, peer_certificate_hash

TIMEOUT = 30.0
"""Seconds for connection, TLS and proof together; a proof may wait behind a thousand others."""


class _OneBroker(Factory[LinkBroker]):
    """Makes the broker of one connection."""

    noisy = False

    def __init__(self, end: JoinerEnd) -> None:
        self.end = end

    def buildProtocol(self, addr: IAddress | None) -> LinkBroker:
        """The broker, its end told."""
        self.end.broker = LinkBroker(self.end, is_client=True)
        self.end.broker.factory = self
        return self.end.broker


async def connect_unix(
    reactor: IReactor, path: str, role: Role, name: str, handler: Callable[[Link], LinkHandler]
) -> Link:
    """A link to the master at a UNIX socket.

    Raises MasterNotFoundError, VersionMismatchError or RefusedError.
    """
    end = JoinerEnd(reactor, our_hello(role, name), path, handler=handler)
    return await _connect(reactor, UNIXClientEndpoint(reactor, path), end)


async def connect_tcp(
    reactor: IReactor,
    host: str,
    port: int,
    role: Role,
    credentials: Credentials,
    handler: Callable[[Link], LinkHandler],
    name: str = "",
) -> Link:
    """A link to the master at `host`:`port`; `name` is how this node or program calls itself.

    Raises MasterNotFoundError, ProofError, VersionMismatchError or RefusedError.
    """

    def begin(broker: LinkBroker, ours: bytes, theirs: bytes) -> JoinerProof:
        transport = broker.transport
        binding = Binding(role, exporter(transport), peer_certificate_hash(transport), ours, theirs)
        return JoinerProof(credentials, binding)

    end = JoinerEnd(reactor, our_hello(role, name), f"{host}:{port}", handler=handler, begin_proof=begin)
    return await _connect(reactor, HostnameEndpoint(reactor, host, port), end, ClientTLS(reactor).wrap)


async def _connect(
    reactor: IReactor,
    endpoint: IStreamClientEndpoint,
    end: JoinerEnd,
    wrap: Callable[[Factory[LinkBroker]], IProtocolFactory] = lambda factory: factory,
) -> Link:
    connected: Deferred[Any] = endpoint.connect(wrap(_OneBroker(end)))

    async def proven() -> Link:
        await connected
        return await end.link_made

    try:
        return await Deferred.fromCoroutine(proven()).addTimeout(TIMEOUT, reactor)
    except (DeferredTimeoutError, ConnectingCancelledError) as error:
        end.give_up()
        raise MasterNotFoundError(f"{end.address} gave no proof within {TIMEOUT:.0f} s") from error
    except CancelledError:  # whoever asked wants no link any more
        end.give_up()
        raise
    except (ConnectError, DNSLookupError) as error:
        raise MasterNotFoundError(f"no master answers at {end.address}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """Why a connection could not be made, in words."""
    number = getattr(error, "osError", None)
    if isinstance(error, UnknownHostError | DNSLookupError):
        return "there is no machine of that name"
    if number == errno.ENOENT:
        return "there is no such socket"
    if isinstance(error, ConnectionRefusedError) or number == errno.ECONNREFUSED:
        return "nobody listens there; if a master was there, it has ended"
    return os.strerror(number) if isinstance(number, int) else str(number or error)
