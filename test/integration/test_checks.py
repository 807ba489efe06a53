"""The port check against real sockets."""

from __future__ import annotations

import socket

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from asyncluster.supply.checks import PortCheck


class TestPort(TestCase):
    """A node's port."""

    async def test_a_port_that_answers_and_one_that_does_not(self) -> None:
        """By address, and by name where there is none; nothing is left open."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            check = PortCheck(reactor, port, 30.0)
            assert await check.check("no-such-name", "127.0.0.1") == ""
            assert await check.check("localhost", "") == ""
        missing = await check.check("no-such-name", "127.0.0.1")
        assert missing.startswith(f"port {port} at 127.0.0.1 does not answer")
        assert "does not answer" in await check.check("no-such-name.invalid", "")
