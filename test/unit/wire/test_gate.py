"""Tests of the gate before the TCP port."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from asyncluster.config.fields import LONGEST_PROOF
from asyncluster.wire.gate import PATIENCE, GateFactory, Limits, Ticket
from asyncluster.wire.subnets import parse


class Inner(Protocol):
    """What sits behind the gate."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.got: list[bytes] = []
        self.lost = 0

    def dataReceived(self, data: bytes) -> None:
        """For Twisted."""
        self.got.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        """For Twisted."""
        self.lost += 1


class Wire(StringTransport):
    """A transport that notes an abort and ends its protocol, as the reactor does a moment later."""

    aborted = False

    def abortConnection(self) -> None:
        """For the gate."""
        self.aborted = True


class Place:
    """A gate with everything around it."""

    def __init__(self, limits: Limits | None = None, networks: str = "10.0.0.0/8, fd00::/8") -> None:
        self.clock = Clock()
        self.inners: list[Inner] = []
        self.fault: BaseException | None = None
        self.nothing = False
        limits = Limits(4, 2, 20.0, 3, 100) if limits is None else limits
        self.gate = GateFactory(self.clock, parse(networks), self.build, limits)

    def build(self, ticket: Ticket, address: IAddress) -> Inner | None:
        """For the gate."""
        if self.fault is not None:
            raise self.fault
        if self.nothing:
            return None
        self.inners.append(Inner(ticket))
        return self.inners[-1]

    def knock(self, host: str) -> tuple[Any, Wire] | None:
        """A connection from there; None when it was refused."""
        kind = IPv6Address if ":" in host else IPv4Address
        protocol = self.gate.buildProtocol(kind("TCP", host, 4242))
        if protocol is None:
            return None
        wire = Wire()
        protocol.makeConnection(wire)
        return protocol, wire

    def enter(self, host: str = "10.0.0.1") -> tuple[Any, Wire, Inner]:
        """A connection that must be let in."""
        before = len(self.inners)
        knocked = self.knock(host)
        assert knocked is not None
        assert len(self.inners) == before + 1
        return *knocked, self.inners[-1]

    def wait(self, host: str = "10.0.0.1") -> tuple[Any, Wire]:
        """A connection that must wait: nothing is built for it, nothing of it is read."""
        before = len(self.inners)
        knocked = self.knock(host)
        assert knocked is not None
        assert len(self.inners) == before
        assert knocked[1].producerState == "paused"
        return knocked


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    """What is logged meanwhile."""
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    yield seen
    globalLogPublisher.removeObserver(seen.append)


DONE = Failure(ConnectionDone())


@pytest.mark.parametrize("host", ["11.0.0.1", "fe80::1%eth0", "::ffff:11.0.0.1", "::1"])
def test_outside_the_subnets(host: str) -> None:
    """An address outside gets no protocol, takes no place, and the inner side never hears of it."""
    place = Place()
    assert place.knock(host) is None
    assert place.inners == []
    assert place.gate.unproven == 0


def test_addresses_without_a_host() -> None:
    """What is no TCP address is refused."""
    place = Place()
    assert place.gate.buildProtocol(UNIXAddress(b"/tmp/x")) is None
    assert place.gate.buildProtocol(None) is None


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1%eth0"])
def test_inside(host: str) -> None:
    """An address inside is let in, and both directions work on the real transport."""
    protocol, wire, inner = Place().enter(host)
    protocol.dataReceived(b"in")
    inner.transport.write(b"out")
    assert inner.transport is wire
    assert inner.ticket.address == host.removeprefix("::ffff:")
    assert (inner.got, wire.value()) == ([b"in"], b"out")


def test_cap_per_address() -> None:
    """One address has its cap, and leaves room for others; when one is proven or ended the next has its turn."""
    place = Place()
    first, second = place.enter("10.0.0.1"), place.enter("::ffff:10.0.0.1")
    (_, wire), (_, later) = place.wait("10.0.0.1"), place.wait("10.0.0.1")
    third = place.enter("10.0.0.2")
    first[2].ticket.proven()
    assert (wire.producerState, later.producerState) == ("producing", "paused")
    second[0].connectionLost(DONE)
    assert later.producerState == "producing"
    assert [inner.transport for inner in place.inners] == [first[1], second[1], third[1], wire, later]
    assert (place.gate.unproven, place.gate.waiting) == (3, 0)
    assert not any(inner.transport.aborted for inner in place.inners)


def test_ipv6_network_counts_as_one() -> None:
    """A host cannot take more places by taking more addresses of its /64."""
    place = Place()
    place.enter("fd00::1")
    place.enter("fd00::2")
    place.wait("fd00::3")
    place.enter("fd00:0:0:1::3")


def test_cap_in_total() -> None:
    """All addresses together have a cap; those inside stay, and the next comes in as one of them is proven."""
    place = Place()
    inside = [place.enter(f"10.0.0.{number}") for number in range(4)]
    _, wire = place.wait("10.0.0.9")
    assert not any(wire.aborted for _, wire, _ in inside)
    inside[0][2].ticket.proven()
    assert place.inners[-1].transport is wire
    place.inners[-1].ticket.proven()
    place.enter("10.0.0.9")


def test_who_waited_is_read_and_counted_like_others() -> None:
    """Its bytes pass to the inner protocol from its turn on, up to the limit."""
    place = Place()
    inside = [place.enter(), place.enter()]
    protocol, wire = place.wait()
    inside[0][2].ticket.proven()
    protocol.dataReceived(b"x" * 100)
    assert place.inners[-1].got == [b"x" * 100]
    assert not wire.aborted
    protocol.dataReceived(b"y")
    assert wire.aborted


def test_no_room_to_wait(events: list[LogEvent]) -> None:
    """Who finds no room is refused; one from an address that has none there displaces a greedy one's newest."""
    place = Place(Limits(1, 1, 20.0, 2, 100))
    place.enter("10.0.0.1")
    (_, first), (_, second) = place.wait("10.0.0.1"), place.wait("10.0.0.1")
    assert place.knock("10.0.0.1") is None
    _, other = place.wait("10.0.0.2")
    assert [first.aborted, second.aborted, other.aborted] == [False, True, False]
    assert place.gate.waiting == 2
    assert place.knock("10.0.0.3") is None
    place.gate.stopFactory()
    assert sum(event["count"] for event in events) == 3


def test_patience() -> None:
    """Who has waited for too long is let go, and takes no turn any more; who was let in has the whole deadline."""
    place = Place()
    inside = [place.enter(), place.enter()]
    place.clock.advance(5)
    _, lucky = place.wait()
    _, late = place.wait()
    place.clock.advance(14)
    inside[0][2].ticket.proven()  # and `lucky` is let in, 19 s from the start
    place.clock.advance(1)  # the other one inside is over its deadline, and its socket is not gone yet
    place.clock.advance(5)
    assert (late.aborted, lucky.aborted, place.gate.waiting) == (True, False, 0)
    inside[1][0].connectionLost(DONE)
    place.clock.advance(13)
    assert not lucky.aborted
    place.clock.advance(1)
    assert lucky.aborted
    assert len(place.inners) == 3


def test_a_stranger_that_keeps_silent_keeps_nobody_out() -> None:
    """Silent connections of one address fill its share; another address is proven at once, again and again."""
    place = Place()
    place.enter("10.6.6.6")
    place.enter("10.6.6.6")
    for _ in range(3):
        place.wait("10.6.6.6")
    for _ in range(100):
        place.enter("10.0.0.1")[2].ticket.proven()
    assert place.gate.waiting == 3


def test_a_flood_delays_by_the_deadline_at_most() -> None:
    """With the longest that the configuration allows, whatever those who flood do when they are dropped."""
    deadline = LONGEST_PROOF
    assert deadline < PATIENCE
    place = Place(Limits(4, 2, deadline, 100))
    flood: list[tuple[str, Any, Wire]] = []
    entered: list[float] = []
    mine = None
    for quarter in range(4 * 120):
        place.clock.advance(0.25)
        for each in [each for each in flood if each[2].aborted]:
            each[1].connectionLost(DONE)
            flood.remove(each)
        for host in ("10.6.6.1", "10.6.6.2"):
            while len([each for each in flood if each[0] == host]) < 6:
                knocked = place.knock(host)
                assert knocked is not None
                flood.append((host, *knocked))
        if quarter == 10:
            mine = place.wait("10.0.0.1")
        if mine is not None and not entered and any(inner.transport is mine[1] for inner in place.inners):
            entered.append(place.clock.seconds())
    assert mine is not None
    assert [seconds - 2.75 <= deadline for seconds in entered] == [True]


def test_one_that_waits_goes_away() -> None:
    """Its turn is the next one's."""
    place = Place()
    inside = [place.enter(), place.enter()]
    gone, _ = place.wait()
    _, wire = place.wait()
    gone.connectionLost(DONE)
    inside[0][2].ticket.proven()
    assert place.inners[-1].transport is wire


def test_a_turn_that_cannot_be_taken(events: list[LogEvent]) -> None:
    """Where `build` fails for one that waited, that one is dropped, and the next has its turn."""
    place = Place(Limits(1, 1, 20.0, 1024, 100))
    inside = place.enter()
    waiting = [place.wait() for _ in range(2)]
    place.fault = ZeroDivisionError()
    inside[2].ticket.proven()
    assert all(wire.aborted for _, wire in waiting)
    place.fault = None
    assert (place.gate.unproven, place.gate.waiting) == (0, 0)
    assert any("could not be let in" in str(event["log_format"]) for event in events)
    place.enter()


def test_deadline() -> None:
    """Who is not proven in time is dropped; who is proven is left alone for ever."""
    place = Place()
    _, slow_wire, _ = place.enter()
    _, wire, inner = place.enter()
    place.clock.advance(19)
    inner.ticket.proven()
    assert not slow_wire.aborted
    place.clock.advance(1)
    assert slow_wire.aborted
    place.clock.advance(10_000)
    assert not wire.aborted


def test_raw_bytes_before_the_proof() -> None:
    """Too many raw bytes before the proof: dropped, and the rest reaches nobody."""
    protocol, wire, inner = Place().enter()
    protocol.dataReceived(b"x" * 100)
    assert not wire.aborted
    protocol.dataReceived(b"y")
    protocol.dataReceived(b"z" * 10)
    assert wire.aborted
    assert inner.got == [b"x" * 100]


def test_nothing_passes_after_the_deadline() -> None:
    """What was read already when the deadline struck reaches nobody."""
    place = Place()
    protocol, wire, inner = place.enter()
    place.clock.advance(20)
    protocol.dataReceived(b"late")
    assert wire.aborted
    assert inner.got == []


def test_after_the_proof_the_gate_is_out_of_the_way() -> None:
    """A proven peer may send what it likes, straight to the inner protocol; its end is heard of."""
    protocol, wire, inner = Place().enter()
    inner.ticket.proven()
    inner.ticket.proven()
    assert protocol.dataReceived == inner.dataReceived
    protocol.dataReceived(b"x" * 1000)
    protocol.connectionLost(DONE)
    assert (wire.aborted, inner.lost, inner.got) == (False, 1, [b"x" * 1000])


def test_proof_within_a_read() -> None:
    """`proven` may be called from within a read, where it will be called from."""
    place = Place()
    protocol, wire, inner = place.enter()
    inner.dataReceived = lambda data: inner.ticket.proven()  # type: ignore[method-assign]
    protocol.dataReceived(b"x" * 90)
    protocol.dataReceived(b"x" * 90)
    assert not wire.aborted
    assert place.gate.unproven == 0


def test_nobody_decides_the_limits_but_the_configuration() -> None:
    """There are no second defaults that a door could be opened with."""
    with pytest.raises(TypeError):
        Limits()  # type: ignore[call-arg]  # that is the point


def test_every_place_is_freed_once() -> None:
    """However connections end, and in whatever order, the count comes back to what is really there."""
    dice = random.Random(7)
    place = Place(Limits(10, 4, 20.0, 5, 100))
    open_ones: list[tuple[Any, Wire]] = []
    for _ in range(2000):
        knocked = place.knock(f"10.0.0.{dice.randrange(3)}")
        if knocked is not None:
            open_ones.append(knocked)
        for inner in dice.sample(place.inners, min(2, len(place.inners))):
            for act in dice.sample([inner.ticket.proven, inner.ticket.gone, lambda: None], dice.randrange(3)):
                act()
        dice.shuffle(open_ones)
        for protocol, wire in open_ones[:]:
            if wire.aborted or (protocol is open_ones[0][0] and dice.random() < 0.5):
                protocol.connectionLost(DONE)
                open_ones.remove((protocol, wire))
        place.clock.advance(dice.random())
        alive = [inner for inner in place.inners if inner.ticket._gate is not None]
        assert place.gate.unproven == len(alive) <= 10
        assert place.gate.waiting <= 5
    assert len(place.inners) > 500
    for protocol, _ in open_ones:
        protocol.connectionLost(DONE)
    assert (place.gate.unproven, place.gate.waiting) == (0, 0)
    place.gate.stopFactory()
    assert place.clock.getDelayedCalls() == []


def test_build_may_refuse_or_fail() -> None:
    """A `build` that gives nothing, or raises, leaves no place taken and no timer running."""
    place = Place()
    place.nothing = True
    assert place.knock("10.0.0.1") is None
    place.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        place.knock("10.0.0.1")
    assert place.gate.unproven == 0
    assert place.clock.getDelayedCalls() == []


def test_connection_that_never_came_about() -> None:
    """A place whose socket died between accept and start is freed by the deadline."""
    place = Place()
    place.gate.buildProtocol(IPv4Address("TCP", "10.0.0.1", 4242))
    assert place.gate.unproven == 1
    place.clock.advance(20)
    assert place.gate.unproven == 0


def test_log_is_limited_in_rate(events: list[LogEvent]) -> None:
    """A flood makes one line a second with a count, and nothing is lost at the end."""
    place = Place()
    for _ in range(1000):
        place.knock("11.0.0.1")
    assert [event["count"] for event in events] == [1]
    place.clock.advance(1)
    assert [event["count"] for event in events] == [1, 999]
    place.knock("11.0.0.2")
    assert len(events) == 2
    place.gate.stopFactory()
    assert [event["count"] for event in events] == [1, 999, 1]
    assert events[2]["last"] == "outside the subnets: 11.0.0.2"
    assert place.clock.getDelayedCalls() == []
