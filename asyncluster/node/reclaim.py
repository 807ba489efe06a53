"""Looks whether the spot instance that this node is on is about to be taken back, and has the node leave in time.

AWS says so at an address that only the instance sees: two minutes ahead that it ends, sometimes earlier that it may.
It is asked by IMDSv2: a token first, which each question bears.  An instance that is none of the kind has no such page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

_log = Logger()

EVERY = 5.0
"""Seconds between two looks, as AWS recommends."""

LIMIT = 4.0
"""Seconds that one look may take."""

TOKEN_LIFE = 21600
"""Seconds for which a token is asked."""

KEPT = 20.0
"""Seconds of the last two minutes that are kept for the last results."""

UNTIL_DONE = 7 * 86400.0
"""Seconds that running tasks have where nothing is to be hurried."""

LONGEST = 65536
"""Bytes of an answer that are looked at."""

ENDS, MAY_END = "spot/instance-action", "events/recommendations/rebalance"


@attrs.frozen
class Notice:
    """reason: for the master and its users; limit: seconds that running tasks have."""

    reason: str
    limit: float


def notice_of(page: str, body: bytes, now: float) -> Notice | None:
    """What a page says; None = nothing that we know.  now: seconds since the epoch."""
    try:
        told = json.loads(body)
        moment = datetime.fromisoformat(told["time" if page == ENDS else "noticeTime"])
        seconds = moment.timestamp() - now
    except (ValueError, KeyError, TypeError):
        return None
    if page == MAY_END:
        return Notice("its spot instance may be taken back soon (rebalance recommendation)", UNTIL_DONE)
    action = str(told.get("action", "end"))[:20]
    when = moment.strftime("%H:%M:%S UTC")
    return Notice(f"its spot instance is taken back ({action} at {when})", max(1.0, seconds - KEPT))


class _Body(Protocol):
    """Of an answer, as much as one needs of it."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._got = b""

    def dataReceived(self, data: bytes) -> None:
        if len(self._got) < LONGEST:
            self._got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.whole.called:
            self.whole.callback(self._got)


class Reclaim(Service):
    """Looks until there is no more to be told."""

    def __init__(
        self, reactor: Any, address: str, leave: Callable[[str, float], None], wall: Callable[[], float]
    ) -> None:
        """What it works with.

        address: URL of the metadata service; leave: called with the reason and the seconds that running tasks have,
        once more where it may end, and then does; wall: the time of day.
        """
        self._reactor = reactor
        self._address = address.rstrip("/") + "/latest/"
        self._leave = leave
        self._wall = wall
        self._agent = Agent(reactor, connectTimeout=LIMIT)
        self._token = b""
        self._fault = ""
        self._pages: tuple[str, ...] = (ENDS, MAY_END)
        self._asking: Deferred[None] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start(EVERY)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._asking is not None:
            self._asking.cancel()

    def _look(self) -> Deferred[None]:
        self._asking = Deferred.fromCoroutine(self._ask()).addTimeout(LIMIT, self._reactor)
        return self._asking.addErrback(self._unheard)

    def _unheard(self, failure: Any) -> None:
        """Whatever it was, it is asked again."""
        self._token = b""
        fault = failure.getErrorMessage() or failure.type.__name__
        if fault != self._fault and not failure.check(CancelledError):
            _log.warn(
                "{address} does not say whether this spot instance stays: {fault}", address=self._address, fault=fault
            )
        self._fault = fault

    async def _ask(self) -> None:
        if not self._token:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": [str(TOKEN_LIFE)]}
            status, body = await self._request(b"PUT", "api/token", Headers(headers))
            if status != 200:
                raise OSError(f"{status} for a token")
            self._token = body
        for page in self._pages:
            headers = {"X-aws-ec2-metadata-token": [self._token.decode("latin-1")]}
            status, body = await self._request(b"GET", f"meta-data/{page}", Headers(headers))
            if status not in (200, 404):
                raise OSError(f"{status} for {page}")
            notice = notice_of(page, body, self._wall()) if status == 200 else None
            if notice is not None:
                self._heed(page, notice)
                return
        self._fault = ""

    def _heed(self, page: str, notice: Notice) -> None:
        """What may end is looked at still: once it does, what runs there has less time."""
        self._pages = () if page == ENDS else (ENDS,)
        if not self._pages:
            self._loop.stop()
        self._leave(notice.reason, notice.limit)

    async def _request(self, method: bytes, page: str, headers: Headers) -> tuple[int, bytes]:
        answer = await self._agent.request(method, f"{self._address}{page}".encode(), headers)
        body = _Body()
        answer.deliverBody(body)
        return answer.code, await body.whole
