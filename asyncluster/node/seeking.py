"""The master's addresses, tried one after another: a compute node may not see all of the head node's networks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError, MasterNotFoundError
from asyncluster.wire.link import Link, LinkHandler

_log = Logger()

PATIENCE = 10.0
"""Seconds for one of several addresses: one behind a firewall answers nothing at all."""

Handler = Callable[[Link], LinkHandler]


class Seeking:
    """A `Connect` of the node's service over several addresses; the one that worked last is tried first."""

    def __init__(
        self,
        reactor: IReactorTime,
        addresses: Sequence[tuple[str, int]],
        connect: Callable[[str, int, Handler], Awaitable[Link]],
    ) -> None:
        self._reactor = reactor
        self._addresses = list(addresses)
        self._connect = connect

    async def __call__(self, handler: Handler) -> Link:
        """A proven link.  Raises the error of a single address; MasterNotFoundError that tells of each of several."""
        if len(self._addresses) == 1:
            return await self._connect(*self._addresses[0], handler)
        problems = []
        for address in list(self._addresses):
            shown = f"{address[0]}:{address[1]}"
            try:
                link = await Deferred.fromCoroutine(self._one(address, handler)).addTimeout(PATIENCE, self._reactor)
            except DeferredTimeoutError:
                problems.append(f"{shown} did not answer within {PATIENCE:.0f} s")
            except AsynClusterError as error:
                problems.append(str(error))
            else:
                _log.info("of the master's addresses {address} works", address=shown)
                self._addresses.remove(address)
                self._addresses.insert(0, address)
                return link
        raise MasterNotFoundError("no address of the master works: " + "; ".join(problems))

    async def _one(self, address: tuple[str, int], handler: Handler) -> Link:
        return await self._connect(*address, handler)
