"""A node on a spot instance learns from the metadata service, played on loopback, that it is about to go."""

from __future__ import annotations

import time
from typing import Any

import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from asyncluster.node import reclaim
from asyncluster.node.reclaim import ENDS, MAY_END, UNTIL_DONE, Reclaim, notice_of

pytestmark = pytest.mark.real

END = b'{"action": "terminate", "time": "2027-01-15T08:02:00Z"}'
NOW = 1_800_000_000.0


class Metadata(Resource):
    """As it is seen from within an instance: a token, then pages, which are not there until something is to be said."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, bytes] = {}
        self.token = b"one"
        self.asked: list[str] = []
        self.broken = False

    def render(self, request: Request) -> bytes:
        """Refuses who brings no token, or an old one."""
        path = (request.path or b"").decode()
        self.asked.append(path)
        if self.broken:
            request.setResponseCode(500)
            return b""
        if request.method == b"PUT" and path == "/latest/api/token":
            assert request.getHeader("X-aws-ec2-metadata-token-ttl-seconds")
            return self.token
        if request.getHeader("X-aws-ec2-metadata-token") != self.token.decode():
            request.setResponseCode(401)
            return b""
        body = self.pages.get(path.removeprefix("/latest/meta-data/"))
        if body is None:
            request.setResponseCode(404)
        return body or b""


class Reclaimed(TestCase):
    """What the node is told."""

    timeout = 120

    def setUp(self) -> None:
        self.patch(reclaim, "EVERY", 0.05)
        self.metadata = Metadata()
        self.port: Any = reactor.listenTCP(0, Site(self.metadata), interface="127.0.0.1")  # type: ignore[attr-defined]  # the reactor is a module
        self.addCleanup(lambda: Deferred.fromCoroutine(self.close()))
        self.told: list[tuple[str, float]] = []
        self.left: Deferred[tuple[str, float]] = Deferred()
        address = f"http://127.0.0.1:{self.port.getHost().port}"
        self.service = Reclaim(reactor, address, self.leave, lambda: NOW)
        self.service.startService()

    def leave(self, reason: str, limit: float) -> None:
        """What the node would do."""
        self.told.append((reason, limit))
        if not self.left.called:
            self.left.callback(self.told[0])

    async def close(self) -> None:
        """Leave no connection behind."""
        self.service.stopService()
        await self.port.stopListening()
        await task.deferLater(reactor, 0.05)

    async def looked(self, more: int = 6) -> None:
        """It has asked so many times more."""
        upto, end = len(self.metadata.asked) + more, time.monotonic() + 60
        while len(self.metadata.asked) < upto:
            assert time.monotonic() < end
            await task.deferLater(reactor, 0.02)

    async def test_a_notice(self) -> None:
        """The node leaves, with the time that is left for what runs; until then it stays."""
        await self.looked()
        assert not self.left.called
        self.metadata.pages[ENDS] = END
        reason, limit = await self.left
        assert "taken back (terminate at 08:02:00 UTC)" in reason
        assert limit == 100.0

    async def test_a_recommendation(self) -> None:
        """It leaves when what runs is done."""
        self.metadata.pages[MAY_END] = b'{"noticeTime": "2027-01-15T08:00:00Z"}'
        reason, limit = await self.left
        assert "rebalance" in reason
        assert limit == UNTIL_DONE

    async def test_a_recommendation_that_comes_true(self) -> None:
        """What runs is given the time that is left; neither is told twice."""
        self.metadata.pages[MAY_END] = b'{"noticeTime": "2027-01-15T08:00:00Z"}'
        await self.left
        await self.looked()
        assert len(self.told) == 1
        self.metadata.pages[ENDS] = END
        end = time.monotonic() + 60
        while len(self.told) < 2:
            assert time.monotonic() < end, "it looks no more"
            await task.deferLater(reactor, 0.02)
        assert self.told[1][1] == 100.0
        assert "taken back (terminate at 08:02:00 UTC)" in self.told[1][0]

    async def test_what_breaks_meanwhile_is_asked_again(self) -> None:
        """A token that is not taken any more, a service that fails, a page that makes no sense."""
        await self.looked()
        self.metadata.token = b"two"
        await self.looked()
        self.metadata.broken = True
        await self.looked()
        self.metadata.broken = False
        self.metadata.pages[ENDS] = b"<html>"
        await self.looked()
        assert not self.left.called
        self.metadata.pages[ENDS] = END
        assert (await self.left)[1] == 100.0


def test_notices() -> None:
    """What makes no sense is none; what is over already leaves a moment."""
    assert notice_of(ENDS, b'{"action": "terminate"}', NOW) is None
    assert notice_of(ENDS, b"[]", NOW) is None
    late = notice_of(ENDS, END, NOW + 500.0)
    assert late is not None
    assert late.limit == 1.0
