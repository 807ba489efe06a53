"""What a stranger may say to the broker: hardly anything, and every name is tried."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.spread import banana, pb
from twisted.spread.flavors import RemoteCopy, setUnjellyableForClass

from asyncluster.errors import RefusedError
from asyncluster.wire.broker import LinkBroker
from asyncluster.wire.outbox import Chunk

ENTRIES = sorted(name.removeprefix("proto_") for name in dir(LinkBroker) if name.startswith("proto_"))
HARMLESS = {"version", "answer", "error", "message", "didNotUnderstand"}


class Transport(StringTransportWithDisconnection):
    """Knows `abortConnection` as a disconnection; its socket takes everything."""

    protocol: Any

    def writeSomeData(self, data: bytes) -> int:
        self.io.write(data)
        return len(data)

    def stopWriting(self) -> None:
        pass

    def abortConnection(self) -> None:
        self.loseConnection()


class Side:
    """Notes everything that gets through."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, ...]] = []

    def opened(self) -> None:
        pass

    def verb(self, name: str, args: tuple[Any, ...], proven: bool) -> object:
        self.got.append(("verb", name, args, proven))
        raise RefusedError("no")

    def batch(self, data: bytes) -> None:
        self.got.append(("batch", data))

    def stream(self, stream: int, size: int, head: bytes) -> None:
        self.got.append(("stream", stream, size, head))

    def chunk(self, stream: int, data: bytes | memoryview) -> None:
        """Pieces of one chunk, and of those that follow it in the same stream, come out as one."""
        if self.got and self.got[-1][:2] == ("chunk", stream):
            data = self.got.pop()[2] + bytes(data)
        self.got.append(("chunk", stream, bytes(data)))

    def lost(self, reason: str) -> None:
        self.got.append(("lost",))

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


def broker(proven: bool = False) -> tuple[LinkBroker, Side, Transport]:
    """A broker past Banana's choice of dialect."""
    side, transport = Side(), Transport()
    made = LinkBroker(side, is_client=False)
    made.factory = None
    transport.protocol = made
    made.makeConnection(transport)
    made.dataReceived(banana.encode(b"pb"))
    if proven:
        made.prove()
    transport.clear()
    return made, side, transport


def say(made: LinkBroker, *expression: object) -> None:
    made.dataReceived(banana.encode(list(expression)))


ARGUMENTS: dict[str, tuple[object, ...]] = {
    "batch": (b"x",),
    "stream": (1, 100_000, b"x"),
    "chunk": (1, b"x"),
    "cachemessage": (1, 1, b"m", 1, [b"tuple"], [b"dictionary"]),
    "decref": (1,),
    "decache": (1,),
    "uncache": (1,),
}


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name not in HARMLESS])
def test_no_other_entry_before_the_proof(entry: str) -> None:
    """Each `proto_` method but the few harmless ones ends a stranger's connection and reaches nothing."""
    made, side, transport = broker()
    say(made, entry.encode(), *ARGUMENTS[entry])
    assert not transport.connected
    assert side.got == [("lost",)]


@pytest.mark.parametrize("entry", ["batch", "stream", "chunk"])
def test_even_without_the_table(entry: str) -> None:
    """The methods that carry work check the proof themselves too."""
    made, side, _ = broker()
    with pytest.raises(banana.BananaError):
        getattr(made, "proto_" + entry)(*ARGUMENTS[entry])
    assert side.got == []


@pytest.mark.parametrize("entry", ["cachemessage", "decref", "decache", "uncache"])
def test_stock_entries_are_closed_to_peers_too(entry: str) -> None:
    """What PB has and we do not use is refused to everybody."""
    made, _, transport = broker(proven=True)
    say(made, entry.encode(), *ARGUMENTS[entry])
    assert not transport.connected


@pytest.mark.parametrize("method", [b"login", b"loginAnonymous", b"verb", b"__class__", b"remote_x"])
def test_calls_of_strangers_are_told_to_be_such(method: bytes) -> None:
    """A stranger's call reaches `verb` with proven=False, whatever its name; no attribute is looked up."""
    made, side, transport = broker()
    say(made, b"message", 1, b"root", method, 1, [b"tuple"], [b"dictionary"])
    assert side.got == [("verb", method.decode(), (), False)]
    assert b"RefusedError" in transport.value()


@pytest.mark.parametrize("target", [b"other", 1, -1, b""])
def test_only_the_root_object(target: object) -> None:
    """No other object can be named."""
    made, side, transport = broker(proven=True)
    say(made, b"message", 1, target, b"verb", 1, [b"tuple"], [b"dictionary"])
    assert not transport.connected
    assert side.got == [("lost",)]


class Registered(RemoteCopy):
    """What some other library in the process may have registered."""

    made = 0

    def setCopyableState(self, state: object) -> None:
        Registered.made += 1


setUnjellyableForClass("another.package.Thing", Registered)


@pytest.mark.parametrize(
    "jelly",
    [
        [b"another.package.Thing", [b"dictionary"]],
        [b"twisted.spread.pb.CopyableFailure", [b"dictionary"]],
        [b"remote", 5],
        [b"local", b"root"],
        [b"cache", 1, b"x", [b"dictionary"]],
        [b"class", b"os.system"],
        [b"function", b"os.system"],
        [b"module", b"os"],
        [b"method", b"x", [b"None"], [b"class", b"os.x"]],
        [b"instance", [b"class", b"os.x"], [b"dictionary"]],
        [b"persistent", 1],
        [b"set", 1],
        [b"builtins.list", 1],
        [b"decimal", 1, 1],
    ],
)
def test_closed_list_of_types(jelly: list[object]) -> None:
    """Nothing but basic values is ever made of what a peer sends, proven or not."""
    made, side, transport = broker(proven=True)
    say(made, b"message", 1, b"root", b"verb", 1, [b"tuple", jelly], [b"dictionary"])
    assert not transport.connected
    assert side.got == [("lost",)]
    assert Registered.made == 0


@pytest.mark.parametrize(
    "expression",
    [
        [],
        [5],
        [b"message"],
        [b"message", b"a", b"root", b"verb", 1, [b"tuple"], [b"dictionary"]],
        [b"message", 1, b"root", 5, 1, [b"tuple"], [b"dictionary"]],
        [b"message", 1, b"root", b"verb", 1, [b"unicode", b"\xff"], [b"dictionary"]],
        [b"message", 1, b"root", b"verb", 1, 7, [b"dictionary"]],
        [b"answer", 77, 1],
        [b"error", 77, [b"a", b"b"]],
        [b"version", 5],
        [b"batch", 5],
        [b"chunk", b"a", b"b"],
        [b"stream", 1, -2, b"x"],
        b"just a string",
        5,
    ],
)
def test_malformed(expression: object) -> None:
    """Whatever is malformed ends the connection, and nothing is raised into the reactor."""
    made, side, transport = broker(proven=True)
    made.dataReceived(banana.encode(expression))
    assert not transport.connected
    assert side.got == [("lost",)]


def test_what_we_send_is_plain_pb() -> None:
    """A batch is an ordinary Banana expression: a stock decoder reads it."""
    made, _, transport = broker(proven=True)
    made.send_batch(b"z" * 1000)
    assert banana.decode(transport.value()) == [b"batch", b"z" * 1000]


def test_pb_own_login_is_not_there() -> None:
    """The stock root with its MD5 login is not what answers here."""
    made, _, _ = broker()
    assert not isinstance(made.localObjectForID(b"root"), pb.Root)


@given(
    st.lists(st.tuples(st.sampled_from("bcsv"), st.binary(min_size=1, max_size=300)), max_size=12),
    st.lists(st.integers(1, 200)),
)
def test_all_arrives_however_it_is_cut(parts: list[tuple[str, bytes]], cuts: list[int]) -> None:
    """Batches, chunks, heads of streams and calls, in whatever pieces the network brings them, keep their order."""
    sender, _, wire = broker(proven=True)
    made, side, _ = broker(proven=True)
    expected = Side()
    for kind, data in parts:
        if kind == "b":
            sender.send_batch(data)
            expected.batch(data)
        elif kind == "v":
            sender.call("verb", "look", (data,))
            expected.got.append(("verb", "verb", ("look", (data,)), True))
        else:
            head = b"head" if kind == "s" else b""
            sender.send_chunk(Chunk(len(data), data, head, 400))
            if head:
                expected.stream(len(data), 400, head)
            expected.chunk(len(data), data)
    stream = wire.value()
    for cut in cuts:
        made.dataReceived(stream[:cut])
        stream = stream[cut:]
    made.dataReceived(stream)
    assert side.got == expected.got
    assert made.between_expressions


def test_what_looks_like_a_batch_inside_another() -> None:
    """A payload that is cut where it happens to look like a batch is still a payload."""
    sender, _, wire = broker(proven=True)
    sender.send_batch(b"fake")
    fake = wire.value()
    wire.clear()
    sender.send_chunk(Chunk(7, b"before" + fake))
    made, side, _ = broker(proven=True)
    whole = wire.value()
    made.dataReceived(whole[: whole.index(fake)])
    made.dataReceived(whole[whole.index(fake) :])
    assert side.got == [("chunk", 7, b"before" + fake)]


def test_nothing_is_heard_after_an_abort() -> None:
    """Neither the rest of what came with it nor what comes later."""
    sender, _, wire = broker(proven=True)
    for number in range(3):
        sender.send_batch(b"%d" % number)
    made, side, transport = broker(proven=True)
    transport.abortConnection = lambda: None  # the connection's end comes a turn later
    side.batch = lambda data: (side.got.append(data), made.abort())  # type: ignore[method-assign, func-returns-value]
    made.dataReceived(wire.value())
    made.dataReceived(wire.value())
    assert side.got == [b"0"]
