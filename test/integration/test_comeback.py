"""`Cluster` and a master that drops its links and is restarted, over a real socket.

The master is a stand-in on the private reactor: it writes down what it gets, calls the tasks itself, and keeps to
docs/wire.md about what is `Kept`.
"""

from __future__ import annotations

import pickle
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from asyncluster.client.futures import Cluster
from asyncluster.client.thread import reactor_thread
from asyncluster.errors import LinkLostError, RefusedError
from asyncluster.model.messages import Beat, Cancel, Close, Code, Kept, Message, Outcome, Result, Step, Task
from asyncluster.wire.gate import Limits
from asyncluster.wire.link import Link
from asyncluster.wire.listen import UnixFactory

pytestmark = pytest.mark.real

LIMIT = 60
JOB = 5


class StandIn:
    """A master with one job.  It loses a link after some messages, and forgets those that came after them."""

    def __init__(self, path: str, seed: int) -> None:
        self.path = path
        self.realm = "first"
        self.reactor = reactor_thread().reactor
        self.chance = random.Random(seed)
        self.patience = 10**9  # messages until the link is dropped
        self.codes: dict[int, Any] = {}
        self.got: list[Message] = []
        self.unheard: list[Result] = []
        self.links: list[Handler] = []
        self.lost = 0
        self.last: Deferred[None] = Deferred()
        self.port: Any = None

    def run(self, function: Any) -> None:
        """In the reactor's thread."""

        async def call() -> None:
            outcome = function()
            if outcome is not None:
                await outcome

        reactor_thread().run(call, LIMIT)

    def listen(self) -> None:
        self.port = self.reactor.listenUNIX(
            self.path, UnixFactory(self.reactor, "", self.welcome, Limits(64, 16, 10.0, 1024))
        )

    async def stop(self) -> None:
        """As a master that was killed."""
        for handler in self.links:
            handler.link.abort()
        await self.port.stopListening()
        await self.alone()

    def alone(self) -> Deferred[None]:
        """Fires when the last link has ended."""
        self.last = Deferred()
        if not self.links:
            self.last.callback(None)
        return self.last

    def welcome(self, link: Link) -> Handler:
        self.links.append(Handler(self, link))
        return self.links[-1]

    def take(self, message: Message) -> list[Result]:
        """A message of the job; the result of a task."""
        self.got.append(message)
        if isinstance(message, Code):
            self.codes[message.code] = pickle.loads(message.payload)
        if not isinstance(message, Task):
            return []
        args, kwargs = pickle.loads(message.payload)
        value = pickle.dumps(self.codes[message.code](*args, **kwargs))
        return [Result(JOB, message.seq, 1, Outcome.VALUE, value, 1)]


class Handler:
    """The master's end of one link."""

    def __init__(self, master: StandIn, link: Link) -> None:
        self.master, self.link = master, link
        self.told: list[Result] = []
        self.heard = 0

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        master = self.master
        if name == "realm":
            return master.realm
        if name == "open_job":
            return JOB
        if name == "nodes":
            return [{"slots": 2}]
        if name == "resume" and args == (JOB,):
            self.tell(list(master.unheard))
            return {"kept": len(master.got), "heartbeat": 30.0, "silence": 60.0}
        raise RefusedError(f"no {name} here")

    def tell(self, results: list[Result]) -> None:
        self.told += results
        self.link.send_all(results)

    def messages(self, messages: list[Message]) -> None:
        master, results = self.master, []
        for message in messages:
            if not self.link.connected:  # dropped: this was never written down
                return
            if isinstance(message, Kept):
                for result in self.told[: message.count - self.heard]:
                    master.unheard.remove(result)
                self.told = self.told[message.count - self.heard :]
                self.heard = message.count
            elif isinstance(message, Code | Step | Task | Cancel):
                results += master.take(message)
                master.patience -= 1
                if master.patience == 0:
                    master.unheard += results
                    self.link.abort()
                    master.patience = master.chance.randrange(1, 3000)
                    return
            elif isinstance(message, Close):
                self.link.send(message)
            elif not isinstance(message, Beat):
                self.link.abort()
        master.unheard += results
        self.tell(results)
        self.link.send(Kept(JOB, len(master.got)))

    def lost(self, reason: str) -> None:
        self.master.links.remove(self)
        self.master.lost += 1
        if not self.master.links and not self.master.last.called:
            self.master.last.callback(None)


@pytest.fixture
def master(tmp_path: Path) -> Iterator[StandIn]:
    master = StandIn(str(tmp_path / "s"), seed=1)
    master.run(master.listen)
    yield master
    master.run(master.stop)


def seqs(master: StandIn) -> list[int]:
    return [message.seq for message in master.got if isinstance(message, Task)]


def test_links_that_break_all_the_time(master: StandIn) -> None:
    """Small calls and streamed ones: each reaches the master once and in order, each result its caller."""
    master.patience = 700
    with Cluster(socket=master.path, output=None) as cluster:
        futures = []
        for number in range(10_000):
            futures.append(cluster.submit(abs, -number))
            if number % 500 == 0:
                futures.append(cluster.submit(abs, -(1 << 8_000_000)))
        values = [future.result(LIMIT) for future in futures]
    assert [value for value in values if value < 1 << 64] == list(range(10_000))
    assert len(values) == 10_020
    assert seqs(master) == list(range(10_020))
    master.run(master.alone)
    assert master.unheard == []
    assert master.lost > 3


def test_a_restarted_master(master: StandIn) -> None:
    """It comes back at the same socket; what was submitted meanwhile is done then."""
    told: list[str] = []
    back = threading.Event()

    def printer(place: str, stream: int, line: str) -> None:
        told.append(line)
        if line.endswith("is back"):
            back.set()

    with Cluster(socket=master.path, output=printer) as cluster:
        assert cluster.submit(abs, -1).result(LIMIT) == 1
        master.run(master.stop)
        futures = [cluster.submit(abs, -number) for number in range(100)]
        master.run(master.listen)
        assert back.wait(LIMIT)
        assert [future.result(LIMIT) for future in futures] == list(range(100))
    assert len(told) == 2
    assert told[0].startswith("the connection to the master ended: ")


def test_a_master_that_began_anew(master: StandIn) -> None:
    """It knows nothing of the job, and the calls say so."""
    with Cluster(socket=master.path, output=None) as cluster:
        master.run(master.stop)
        future = cluster.submit(abs, -1)
        master.realm = "second"
        master.run(master.listen)
        with pytest.raises(LinkLostError, match="it began anew"):
            future.result(LIMIT)


def test_a_program_that_ends_meanwhile(master: StandIn) -> None:
    """Nobody waits, and nothing of a try is left at the master."""
    cluster = Cluster(socket=master.path, output=None)
    master.run(master.stop)
    future = cluster.submit(abs, -1)
    cluster.shutdown(cancel_futures=True)
    assert future.cancelled()
    master.run(master.listen)
    with Cluster(socket=master.path) as other:
        assert other.submit(abs, -1).result(LIMIT) == 1
        assert len(master.links) == 1


def test_a_program_that_ends_in_the_middle_of_a_try(master: StandIn) -> None:
    """Somebody listens and says nothing; the connection to him ends with the program's wish for it."""
    cluster = Cluster(socket=master.path, output=None)
    master.run(master.stop)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(master.path)
        mute.listen()
        mute.settimeout(LIMIT)
        there, _ = mute.accept()
        with there:
            cluster.shutdown(cancel_futures=True)
            there.settimeout(LIMIT)
            while there.recv(4096):
                pass
    Path(master.path).unlink()
    master.run(master.listen)
