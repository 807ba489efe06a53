"""Both ends of the wire over loopback: hello, TLS, both proofs, batches, streams, calls."""

from __future__ import annotations

import ipaddress
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from asyncluster import errors
from asyncluster.model.messages import Beat, Message, Task
from asyncluster.model.peer import Role
from asyncluster.wire import connect, conversation, hello
from asyncluster.wire.accounts import Credentials, Verifier, make_verifier
from asyncluster.wire.connect import connect_tcp, connect_unix
from asyncluster.wire.gate import GateFactory, Limits
from asyncluster.wire.link import Link
from asyncluster.wire.listen import UnixFactory, tcp_factory
from asyncluster.wire.proof import Doorkeeper, JoinerProof
from asyncluster.wire.tls import make

pytestmark = pytest.mark.real

GOOD = Credentials("nodes", "node password", "server password")


class Recorder:
    """A handler that keeps what came."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.seen: list[Message] = []
        self.ended: Deferred[str] = Deferred()
        self.wanted = 0
        self.enough: Deferred[None] = Deferred()

    def messages(self, messages: list[Message]) -> None:
        self.seen += messages
        if len(self.seen) >= self.wanted > 0 and not self.enough.called:
            self.enough.callback(None)

    def lost(self, reason: str) -> None:
        self.ended.callback(reason)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        if name == "echo":
            return args
        if name == "bug":
            raise ZeroDivisionError("secret inside")
        raise errors.RefusedError(f"no {name} here")


class Accounts:
    """One account for nodes, one for people."""

    def __init__(self) -> None:
        self.known = [make_verifier("nodes", "node", "node password", iterations=4096),
                      make_verifier("ann", "client", "her password", iterations=4096)]  # fmt: skip

    def find(self, name: str, role: str) -> Verifier | None:
        return next((one for one in self.known if (one.name, one.role) == (name, role)), None)


class WireTests(TestCase):
    """A master's doors on loopback."""

    subnets = "127.0.0.0/8"
    limits = Limits(total=64, per_address=16, deadline=10.0, waiting=1024)

    def setUp(self) -> None:
        self.masters: list[Recorder] = []
        folder = Path(tempfile.mkdtemp())
        self.path = str(folder / "socket")
        keeper = Doorkeeper(Accounts(), "server password", iterations=4096)
        networks = [ipaddress.ip_network(self.subnets)]
        self.gate: GateFactory = tcp_factory(reactor, make(), keeper, networks, self.limits, self.welcome)
        self.tcp = reactor.listenTCP(0, self.gate, interface="127.0.0.1")
        self.unix = reactor.listenUNIX(self.path, UnixFactory(reactor, "", self.welcome, self.limits))
        self.port = self.tcp.getHost().port

    async def tearDown(self) -> None:
        for recorder in self.masters:
            recorder.link.abort()
            await recorder.ended
        await self.tcp.stopListening()
        await self.unix.stopListening()

    def welcome(self, link: Link) -> Recorder:
        self.masters.append(Recorder(link))
        return self.masters[-1]

    async def join(self, credentials: Credentials = GOOD, role: Role = Role.NODE) -> tuple[Link, Recorder, Recorder]:
        ours: list[Recorder] = []

        def handler(link: Link) -> Recorder:
            ours.append(Recorder(link))
            return ours[0]

        link = await connect_tcp(reactor, "127.0.0.1", self.port, role, credentials, handler)
        return link, ours[0], self.masters[-1]

    async def test_a_node_joins(self) -> None:
        """With both passwords a node is proven by its account, and its place at the gate is free again."""
        link, _, master = await self.join()
        assert (master.link.peer.role, master.link.peer.name) == (Role.NODE, "nodes")
        assert link.peer.role is Role.MASTER
        assert self.gate.unproven == 0

    async def test_batches_both_ways_in_order(self) -> None:
        """Messages arrive in order, small and large, in both directions."""
        link, ours, master = await self.join()
        messages: list[Message] = [Task(1, seq, 1, 0, b"x" * (3_000_000 if seq == 50 else 100)) for seq in range(100)]
        master.wanted = ours.wanted = 100
        link.send_all(messages)
        master.link.send_all(messages)
        await master.enough
        await ours.enough
        assert master.seen == messages
        assert ours.seen == messages

    async def test_calls(self) -> None:
        """Verbs are answered with basic values; refusals arrive as RefusedError with their sentence."""
        link, _, _ = await self.join()
        value = (1, -5, "é", b"\xff", 2.5, None, True, [1, (2,)], {"a": {"b": 1}}, 2**40)
        assert await link.call("echo", *value) == value
        with pytest.raises(errors.RefusedError, match="no such here"):
            await link.call("such")

    async def test_a_bug_does_not_travel(self) -> None:
        """An error inside is logged on that side; the peer learns only that there was one."""
        link, _, _ = await self.join()
        with pytest.raises(errors.RefusedError) as caught:
            await link.call("bug")
        assert "secret" not in str(caught.value)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    async def test_wrong_node_password(self) -> None:
        """The master refuses; no handler is made."""
        with pytest.raises(errors.ProofError, match="wrong password"):
            await self.join(Credentials("nodes", "wrong", "server password"))
        assert self.masters == []

    async def test_wrong_server_password(self) -> None:
        """The node refuses the master, which never hears that it is proven."""
        with pytest.raises(errors.ProofError, match="server password"):
            await self.join(Credentials("nodes", "node password", "wrong"))
        assert self.masters == []

    async def test_a_person_joins_without_the_server_password(self) -> None:
        """A client proves its own account only."""
        _, _, master = await self.join(Credentials("ann", "her password"), Role.CLIENT)
        assert (master.link.peer.role, master.link.peer.name) == (Role.CLIENT, "ann")

    async def test_a_node_account_is_no_person(self) -> None:
        """An account serves in its role only."""
        with pytest.raises(errors.ProofError):
            await self.join(GOOD, Role.CLIENT)

    async def test_unix_peer_is_who_the_kernel_says(self) -> None:
        """On the UNIX socket no password is asked."""
        await connect_unix(reactor, self.path, Role.CLIENT, "", Recorder)
        assert self.masters[-1].link.peer.address.startswith("unix:pid")

    async def test_no_nodes_on_the_unix_socket(self) -> None:
        """A node must prove its password."""
        with pytest.raises(errors.RefusedError, match="TCP"):
            await connect_unix(reactor, self.path, Role.NODE, "", Recorder)

    async def test_no_master(self) -> None:
        """A socket that is not there, and a port where nobody listens."""
        with pytest.raises(errors.MasterNotFoundError, match="no master answers"):
            await connect_unix(reactor, self.path + "x", Role.CLIENT, "", Recorder)
        with pytest.raises(errors.MasterNotFoundError, match="no master answers"):
            await connect_tcp(reactor, "127.0.0.1", 1, Role.CLIENT, GOOD, Recorder)

    async def test_another_protocol_version(self) -> None:
        """A peer that is too new or too old is told so, with both sides named."""
        self.patch(conversation, "PROTOCOL", hello.PROTOCOL + 2)
        with pytest.raises(errors.VersionMismatchError, match=r"protocol 1.*protocol 3|protocol 3.*protocol 1"):
            await self.join()
        assert self.masters == []

    async def test_a_replayed_proof(self) -> None:
        """What one proof said, said again on another connection, is refused."""
        said: list[dict[str, object]] = []

        class Recording(JoinerProof):
            def start(self) -> dict[str, object]:
                said.append(super().start())
                return said[-1]

            def answer(self, message: object) -> dict[str, object] | None:
                answer = super().answer(message)
                if answer is not None:
                    said.append(answer)
                return answer

        class Replaying(JoinerProof):
            def start(self) -> dict[str, object]:
                self.left = iter(said)
                return next(self.left)

            def answer(self, message: object) -> dict[str, object] | None:
                if "refused" in dict(message):  # type: ignore[call-overload]  # a dictionary, as the wire brings it
                    raise errors.ProofError("refused")
                return next(self.left)

        self.patch(connect, "JoinerProof", Recording)
        await self.join()
        assert len(said) == 4
        self.patch(connect, "JoinerProof", Replaying)
        with pytest.raises(errors.ProofError, match="refused"):
            await self.join()
        assert len(self.masters) == 1

    async def test_closing_sends_what_waits(self) -> None:
        """`close` comes after everything queued before it."""
        link, _, master = await self.join()
        master.wanted = 200
        link.send_all([Task(1, seq, 1, 0, b"y" * 50_000) for seq in range(200)])
        link.close()
        await master.ended
        assert len(master.seen) == 200
        self.masters.remove(master)

    async def test_calls_fail_when_the_link_ends(self) -> None:
        """Nobody waits for ever."""
        link, ours, master = await self.join()
        master.verb = lambda name, args: Deferred()  # type: ignore[method-assign]  # never answers
        waiting = link.call("echo")
        master.link.abort()
        with pytest.raises(errors.LinkLostError):
            await waiting
        await ours.ended
        link.send(Beat(1))

    async def test_a_peer_that_breaks_the_protocol(self) -> None:
        """Garbage in a batch ends the link with a line in the log, not with a crash."""
        link, _, master = await self.join()
        link._broker.send_batch(b"\xc1garbage")
        await master.ended
        self.masters.remove(master)


class CrowdTests(WireTests):
    """The same doors, where few may be at the proof at once."""

    limits = Limits(total=4, per_address=2, deadline=10.0, waiting=100)

    def setUp(self) -> None:
        super().setUp()
        self.silent: list[Protocol] = []

    async def tearDown(self) -> None:
        for stranger in self.silent:
            stranger.transport.abortConnection()
        await super().tearDown()
        while self.gate.unproven or self.gate.waiting:
            await deferLater(reactor, 0.01)

    async def stranger(self, address: str) -> Protocol:
        """Somebody who connects from there and says nothing."""
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port, bindAddress=(address, 0))
        self.silent.append(await endpoint.connect(Factory.forProtocol(Protocol)))
        return self.silent[-1]

    async def inside(self, unproven: int, waiting: int) -> None:
        """Until so many are at the proof, and so many wait."""
        while (self.gate.unproven, self.gate.waiting) != (unproven, waiting):
            await deferLater(reactor, 0.01)

    async def test_more_at_once_than_there_are_places(self) -> None:
        """All of them get in, each at its first attempt."""
        links = await gatherResults([Deferred.fromCoroutine(self.join()) for _ in range(40)])
        assert len(self.masters) == len(links) == 40
        assert (self.gate.unproven, self.gate.waiting) == (0, 0)

    async def test_strangers_of_one_address_keep_nobody_out(self) -> None:
        """They fill their share and wait; nodes from another address come in meanwhile."""
        for _ in range(10):
            await self.stranger("127.0.0.2")
        await self.inside(2, 8)
        await gatherResults([Deferred.fromCoroutine(self.join()) for _ in range(10)])
        assert (self.gate.unproven, self.gate.waiting) == (2, 8)

    async def test_the_next_place_is_not_for_who_came_most_often(self) -> None:
        """Where strangers hold all places, the first that is free goes to the address whose turn it is."""
        first = await self.stranger("127.0.0.2")
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.3"):
            await self.stranger(address)
        await self.inside(4, 0)
        joining = Deferred.fromCoroutine(self.join())
        await self.inside(4, 1)
        for _ in range(5):
            await self.stranger("127.0.0.3")
        await self.inside(4, 6)
        first.transport.abortConnection()
        await joining
        assert len(self.masters) == 1

    async def test_no_room_to_wait(self) -> None:
        """Who is one too many is let go, and is told where to look."""
        self.gate._places.room = 0
        for _ in range(2):
            await self.stranger("127.0.0.1")
        await self.inside(2, 0)
        with pytest.raises(errors.MasterNotFoundError, match="too many unproven"):
            await self.join()
        assert self.masters == []


for name in [name for name in dir(WireTests) if name.startswith("test_")]:
    setattr(CrowdTests, name, None)


class SubnetTests(WireTests):
    """The same doors, for another network."""

    subnets = "10.0.0.0/8"

    async def join(self, credentials: Credentials = GOOD, role: Role = Role.NODE) -> tuple[Link, Recorder, Recorder]:
        raise NotImplementedError

    async def test_an_address_outside(self) -> None:
        """Our address is refused before TLS, with a hint where to look."""
        with pytest.raises(errors.MasterNotFoundError, match="subnets"):
            await WireTests.join(self)


for name in [name for name in dir(WireTests) if name.startswith("test_")]:
    setattr(SubnetTests, name, None)
